"""What ``mixmint bank recover`` says when it is done: for programs, and for people. Pure."""

from collections.abc import Iterator
from pathlib import Path

from bank.recovery.opening import Rebuilt


def view(made: Rebuilt) -> dict[str, int | None]:
    """For programs. Of a list that doesn't say enough, what happened after it is null."""
    return {
        "coins": made.coins,
        "certified_units": made.certified_units,
        "spent_coins": made.spent,
        "spent_units": made.spent_units,
        "replaced_units": made.replaced_units,
        "outstanding_units": made.outstanding_units,
        "void_entries": made.void,
        "false_entries": made.false,
        "accounts": made.accounts,
        "account_units": made.account_units,
        "change_round": made.round,
        "withdrawn_since_units": made.since.withdrawn if made.since else None,
        "replaced_since_units": made.since.replaced if made.since else None,
    }


def tell(made: Rebuilt, folder: Path) -> Iterator[str]:
    """For people, line by line; ``folder``: the bank's."""
    yield f"{made.coins:,} coins of {made.certified_units:,} units are certified on the board"
    yield f"{made.spent:,} of them, {made.spent_units:,} units, are spent; replaced: {made.replaced_units:,}"
    yield f"{made.outstanding_units:,} units are owed to the holders of coins"
    yield f"{made.accounts:,} accounts with {made.account_units:,} units are taken over from the list"
    if made.since is None:
        yield (
            "WARNING: the list doesn't say what its books had counted, so how much was withdrawn after it "
            "was made can't be told: that is owed twice. `mixmint bank balances` writes lists that say it"
        )
    elif made.since.withdrawn:
        yield (
            f"WARNING: {made.since.withdrawn:,} units at least were withdrawn after the list was made, and "
            "are owed twice, unless their holders' balances were mended"
        )
    if made.since and made.since.replaced:
        yield (
            f"WARNING: coins of {made.since.replaced:,} units were replaced after the list was made: the "
            "balances that they were paid to lack them, and only their holders can say whose they are"
        )
    if made.void:
        yield f"{made.void:,} entries are void: the old key signed them above the cut"
    if made.false:
        yield f"{made.false:,} entries bear false signatures and were left out: run mixmint board audit"
    yield f"the books are in place; start the bank: mixmint bank run --config {folder / 'bank.toml'}"
