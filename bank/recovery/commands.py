"""``mixmint bank recover`` and ``mixmint bank balances``: when a bank must be replaced."""

import asyncio
import json
import sys
from pathlib import Path

import click

from bank.recovery.options import FILE, PATH, POLICY
from mixmint.keys import write_secret

_JSON = click.option("--json", "as_json", is_flag=True, help="For programs: one JSON document.")


@click.command("recover")
@click.argument("folder", metavar="DIR", type=PATH)
@click.option("--board", "where", required=True, help="The board's URL, or the folder of any mirror.")
@click.option("--balances", type=FILE, required=True, help="The list of accounts: mixmint bank balances.")
@click.option(
    "--change", "changes", type=FILE, required=True, multiple=True, help="A signed change; all there were."
)
@click.option(
    "--withdrawn-since",
    "accepted_units",
    type=click.IntRange(0),
    default=0,
    metavar="UNITS",
    help="Go on though so much was withdrawn after the list: it was mended, or is paid for twice.",
)
@POLICY
@_JSON
def recover(
    folder: Path,
    where: str,
    balances: Path,
    changes: tuple[Path, ...],
    accepted_units: int,
    policy: Path | None,
    as_json: bool,
) -> None:
    """
    Make a bank's books again, from the board and a list of accounts alone.

    DIR has the settings, the endpoint's key and the new signing key, and no books. The change must be on the
    board already. Run again after a crash, it begins anew.

    \b
    Example:
      mixmint bank recover /etc/mixmint/bank --board https://board.example.org \\
        --balances balances.json --change change
    """
    from bank.recovery.run import recover as work
    from bank.recovery.telling import tell, view

    shown = sys.stderr.isatty() and not as_json

    def progress(done: int, size: int) -> None:
        if shown:
            click.echo(f"\r{done:,} of {size:,} entries", nl=False, err=True)

    made = asyncio.run(work(folder, where, balances, changes, policy, progress, accepted_units))
    if shown:
        click.echo(err=True)
    for line in [json.dumps(view(made))] if as_json else tell(made, folder):
        click.echo(line)


@click.command("balances")
@click.option("--config", required=True, type=PATH, help="The bank's settings file.")
@click.option("--out", type=PATH, help="Write a new file, mode 0600.  [default: standard output]")
def balances(config: Path, out: Path | None) -> None:
    """
    List all accounts, for a successor; also while the bank runs.

    The one thing that a successor can't read on the board. Put it where it survives this machine, every day.

    \b
    Example:
      mixmint bank balances --config bank.toml --out /mnt/backup/balances.json
    """
    from contextlib import closing

    from bank.recovery.balances import list_balances
    from bank.recovery.record import whose
    from bank.settings import BankSettings
    from bank.stores.opening import open_for_command
    from mixmint.settings import load

    settings = load(config, BankSettings)
    bank = whose(settings)
    with closing(open_for_command(settings, bank.bank)) as store:
        listed = store.run(lambda book: list_balances(book, bank.bank, bank.key))
    if out is None:
        click.echo(listed.decode(), nl=False)
    else:
        write_secret(out, listed)
