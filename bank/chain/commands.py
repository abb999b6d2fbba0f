"""``mixmint bank statement`` and ``check-statement``: an account's chain, shown and checked."""

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mixmint.errors import UserError

if TYPE_CHECKING:
    from bank.chain.check import Checked
    from bank.chain.file import Chain

_PATH = click.Path(path_type=Path, dir_okay=False)
_JSON = click.option("--json", "as_json", is_flag=True, help="For programs: one JSON document.")
_OUT = click.option("--out", type=_PATH, help="Write the chain to this new file.")


@click.command("statement")
@click.option("--config", required=True, type=click.Path(path_type=Path), help="The bank's settings file.")
@click.argument("public", metavar="PUBLICHEX")
@_OUT
@_JSON
def statement(config: Path, public: str, out: Path | None, as_json: bool) -> None:
    """
    Show an account's chain of statements, as the bank's books have it; also while the bank runs.

    With --out it becomes a file that anyone can check, and set beside the holder's own: it has the bank's
    signature under each statement, and the holder's newest request, which accepts them.

    \b
    Example:
      mixmint bank statement --config bank.toml 5f1d...e3 --out chain.json
    """
    from bank.chain.check import check
    from bank.commands import public_key

    chain, keys = _of_books(config, public_key(public))
    if not chain.statements:
        raise UserError(f"no account {public}; `mixmint bank account list` shows them")
    write_out(out, chain)
    show(check(chain, keys), out, as_json=as_json)


def _of_books(config: Path, account: bytes) -> "tuple[Chain, Any]":
    from bank.chain.file import Chain
    from bank.formats.account import SignedAccountRequest, sign_statement
    from bank.formats.fields import Reader
    from bank.formats.succession import BankKeys
    from bank.recovery.record import whose
    from bank.settings import BankSettings
    from bank.stores.opening import open_for_command
    from mixmint.settings import load

    settings = load(config, BankSettings)
    who = whose(settings)
    with closing(open_for_command(settings, who.bank)) as store:
        statements, accepted = store.run(
            lambda books: (books.statements(account, 0, 2**31), books.accepted(account))
        )
    keys = who.succession.keys if who.succession else BankKeys(who.founding)
    signed = tuple(sign_statement(who.key, each) for each in statements)
    requests = (SignedAccountRequest.read(Reader(accepted)),) if accepted else ()
    return Chain(who.founding, keys.changes, account, signed, requests), keys


@click.command("check-statement")
@click.argument("file", type=_PATH)
@click.argument("other", type=_PATH, required=False)
@click.option("--network", type=_PATH, help="The network file: whose word a change of the bank's key is.")
@click.option("--bank-key", metavar="HEX", help="The bank's founding key, as the directory lists it.")
@_JSON
@click.pass_context
def check_statement(
    context: click.Context,
    file: Path,
    other: Path | None,
    network: Path | None,
    bank_key: str | None,
    as_json: bool,
) -> None:
    """
    Check a chain of statements offline; with OTHER, decide between two of one account.

    It says which statement is the first where they part, and who must explain it. The file itself names the
    bank's key: with --bank-key it must be that one. Exit code 1 when a chain doesn't hold, or they part.

    \b
    Example:
      mixmint bank check-statement mine.json theirs.json --network network.toml
    """
    from bank.chain.check import check
    from bank.chain.dispute import decide

    keys, threshold = _authorities(network)
    found = []
    for path in (file, other):
        if path is not None:
            chain = _read(path)
            if bank_key is not None and chain.founding.hex() != bank_key.lower():
                raise UserError(f"{path} is of another bank than --bank-key names")
            found.append(check(chain, chain.keys(keys, threshold)))
    if len(found) == 1:
        show(found[0], None, as_json=as_json)
        context.exit(1 if found[0].fault else 0)
    verdict = decide(found[0], found[1])
    if as_json:
        fields = {name: getattr(verdict, name) for name in ("agreed", "parted", "explains", "sentence")}
        click.echo(json.dumps(fields))
    else:
        click.echo(f"both chains are one up to statement {verdict.agreed}")
        click.echo(verdict.sentence)
        if verdict.explains != "nobody":
            side = {"bank": "the bank", "shorter": "whoever shows the shorter chain"}[verdict.explains]
            click.echo(f"to be explained by {side}")
    context.exit(1 if verdict.parted else 0)


def _authorities(network: Path | None) -> tuple[Sequence[bytes] | None, int]:
    if network is None:
        return None, 1
    from mix.directory import load_authorities

    who = load_authorities(network)
    return who.keys, who.threshold


def _read(path: Path) -> "Chain":
    from bank.chain.file import MOST_FILE_BYTES, Chain

    try:
        with path.open("rb") as file:
            return Chain.decode(file.read(MOST_FILE_BYTES + 1))
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from None


def write_out(out: Path | None, chain: "Chain") -> None:
    """Write a chain to a new file, if one is asked for. Raises UserError."""
    from mixmint.keys import write_secret

    if out is None:
        return
    if out.exists():
        raise UserError(f"{out} exists already; choose another file")
    write_secret(out, chain.encode())


def show(checked: "Checked", out: Path | None, *, as_json: bool) -> None:
    """Print a chain and what a check of it finds."""
    if as_json:
        click.echo(json.dumps(_view(checked), indent=2))
        return
    click.echo(f"account {checked.chain.account.hex()}\nat bank {checked.chain.bank.hex()}")
    for each in checked.statements:
        click.echo(
            f"{each.sequence:>6}  {each.operation.name.lower():<9} {each.amount:>12,} units  "
            f"balance {each.balance:>12,}"
        )
    if checked.fault is not None:
        whose = "the bank must explain it" if checked.fault.who == "bank" else "this file proves nothing"
        click.echo(f"statement {checked.fault.sequence} {checked.fault.what}: {whose}")
        return
    held = checked.unaccepted()
    click.echo(
        f"every link holds; the holder's signature accepts statements up to {checked.accepted}"
        + (f", and not number {held.sequence}: the bank must show his request for it" if held else "")
    )
    if out is not None:
        click.echo(f"written to {out}; check it with: mixmint bank check-statement {out}")


def _view(checked: "Checked") -> dict[str, Any]:
    fault = checked.fault
    held = checked.unaccepted()
    return {
        "account": checked.chain.account.hex(),
        "bank": checked.chain.bank.hex(),
        "balance": checked.balance,
        "accepted": checked.accepted,
        "unaccepted": held.sequence if held else None,
        "fault": {"statement": fault.sequence, "who": fault.who, "what": fault.what} if fault else None,
        "statements": [
            {
                "sequence": each.sequence,
                "operation": each.operation.name.lower(),
                "amount": each.amount,
                "balance": each.balance,
                "round": each.round,
            }
            for each in checked.statements
        ],
    }
