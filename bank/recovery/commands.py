"""``mixmint bank recover``, ``bank balances`` and ``bank change ...``: when a bank must be replaced."""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mixmint.errors import UserError
from mixmint.keys import PUBLIC_BYTES, SEED_BYTES, SigningKey, read_secret, write_new, write_secret

if TYPE_CHECKING:
    from mix.directory import Directory

_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_NETWORK = click.option(
    "--network", type=_FILE, required=True, help="The network file: whose signatures count."
)
_POLICY = click.option(
    "--policy",
    type=_FILE,
    help="Which witnesses must have seen the log.  [default: policy beside the network]",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="For programs: one JSON document.")


@click.command("recover")
@click.argument("folder", metavar="DIR", type=_PATH)
@click.option("--board", "where", required=True, help="The board's URL, or the folder of any mirror.")
@click.option("--balances", type=_FILE, required=True, help="The list of accounts: mixmint bank balances.")
@click.option(
    "--change", "changes", type=_FILE, required=True, multiple=True, help="A signed change; all there were."
)
@_POLICY
@_JSON
def recover(
    folder: Path, where: str, balances: Path, changes: tuple[Path, ...], policy: Path | None, as_json: bool
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

    shown = sys.stderr.isatty() and not as_json

    def progress(done: int, size: int) -> None:
        if shown:
            click.echo(f"\r{done:,} of {size:,} entries", nl=False, err=True)

    made = asyncio.run(work(folder, where, balances, changes, policy, progress))
    if shown:
        click.echo(err=True)
    if as_json:
        said = {
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
        }
        click.echo(json.dumps(said))
        return
    click.echo(f"{made.coins:,} coins of {made.certified_units:,} units are certified on the board")
    click.echo(
        f"{made.spent:,} of them, {made.spent_units:,} units, are spent; replaced: {made.replaced_units:,}"
    )
    click.echo(f"{made.outstanding_units:,} units are owed to the holders of coins")
    click.echo(f"{made.accounts:,} accounts with {made.account_units:,} units are taken over from the list")
    if made.void:
        click.echo(f"{made.void:,} entries are void: the old key signed them above the cut")
    if made.false:
        click.echo(f"{made.false:,} entries bear false signatures and were left out: run mixmint board audit")
    click.echo(f"the books are in place; start the bank: mixmint bank run --config {folder / 'bank.toml'}")


@click.command("balances")
@click.option("--config", required=True, type=_PATH, help="The bank's settings file.")
@click.option("--out", type=_PATH, help="Write a new file, mode 0600.  [default: standard output]")
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


@click.group("change")
def change() -> None:
    """Replace a bank's key: what the network's authorities sign."""


@change.command("key")
@click.argument("file", metavar="FILE", type=_PATH)
def make_key(file: Path) -> None:
    """
    Make a new signing key for a bank, and print its public half for the authorities.

    \b
    Example:
      mixmint bank change key /etc/mixmint/bank/bank.key
    """
    key = SigningKey.generate()
    write_secret(file, key.seed)
    click.echo(key.public.hex())


@change.command("draft")
@_NETWORK
@click.option("--bank", "name", default="bank", show_default=True, help="The bank's name in the directory.")
@click.option("--board", default="board", show_default=True, help="The board's name in the directory.")
@click.option("--from", "where", help="Another URL, or a mirror's folder.  [default: the board's URL]")
@click.option("--new", required=True, metavar="PUBLICHEX", help="The new signing key, 64 hex digits.")
@click.option(
    "--answer-rounds",
    type=click.IntRange(1, 10_000_000),
    default=60_480,
    show_default=True,
    help="Rounds for which the new bank answers what the old one left.",
)
@click.option("--out", type=_PATH, required=True, help="The change's file, to be made.")
@_POLICY
def draft(
    network: Path,
    name: str,
    board: str,
    where: str | None,
    new: str,
    answer_rounds: int,
    out: Path,
    policy: Path | None,
) -> None:
    """
    Draft a change of a bank's key, cut at the board's newest checkpoint.

    \b
    Example:
      mixmint bank change draft --network network.toml \\
        --new 5f1d...e3 --out change
    """
    from bank.recovery.change import draft as draft_change
    from bank.recovery.change import in_words, text_of
    from bank.recovery.run import Network, board_at

    key = _public(new)
    found = Network.load(network, policy)
    source = where or found.directory.service(board).url
    founding = _bank(found.directory, name)

    async def work() -> str:
        async with board_at(source, found, board) as reader:
            made = await draft_change(reader, founding, found.authorities, key, answer_rounds)
        write_new(out, text_of(made).encode())
        return in_words(made, found.authorities)

    click.echo(asyncio.run(work()))
    click.echo(f"give {out} to the authorities: mixmint bank change sign {out} --key FILE")


@change.command("sign")
@click.argument("file", metavar="FILE", type=_FILE)
@click.option("--key", "key_path", type=_FILE, required=True, help="The authority's key file.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def sign(file: Path, key_path: Path, yes: bool) -> None:
    """
    Read what a change says, and add an authority's signature to its file.

    \b
    Example:
      mixmint bank change sign change --key authority.key
    """
    from bank.recovery.change import in_words, read_change, text_of
    from mix.directory.build import write_directory

    made = read_change(file)
    key = SigningKey(read_secret(key_path, SEED_BYTES))
    click.echo(in_words(made))
    if not yes and not click.confirm("Sign this?"):
        raise UserError("nothing is signed")
    write_directory(file, text_of(made.signed_by(key)).encode())
    click.echo(f"signed by {key.public.hex()}")


@change.command("check")
@click.argument("file", metavar="FILE", type=_FILE)
@_NETWORK
def check(file: Path, network: Path) -> None:
    """
    Say what a change says, and whether enough authorities signed it; exit code 1 when not.

    \b
    Example:
      mixmint bank change check change --network network.toml
    """
    from bank.recovery.change import in_words, read_change
    from mix.directory import load_authorities

    made, who = read_change(file), load_authorities(network)
    click.echo(in_words(made, who))
    if not made.holds(who.keys, who.threshold):
        raise UserError("it doesn't count yet")


@change.command("publish")
@click.argument("file", metavar="FILE", type=_FILE)
@_NETWORK
@click.option("--board", default="board", show_default=True, help="The board's name in the directory.")
def publish(file: Path, network: Path, board: str) -> None:
    """
    Put a signed change on the board. From its round on the board takes nothing from the old key.

    \b
    Example:
      mixmint bank change publish change --network network.toml
    """
    import aiohttp

    from bank.board.claims.client import submit
    from bank.formats.entry import KeyChangeEntry
    from bank.recovery.change import read_change
    from bank.recovery.run import Network
    from mixmint.errors import PeerError

    made, found = read_change(file), Network.load(network)
    service = found.directory.service(board)
    entry = KeyChangeEntry(made).encode()

    async def work() -> int:
        async with aiohttp.ClientSession() as session:
            return (await submit(service.url, service.identity, entry, session)).round

    try:
        round_ = asyncio.run(work())
    except PeerError as error:
        raise UserError(f"the board doesn't take it ({error}); see: mixmint bank change check") from None
    click.echo(f"the change is on the board with round {round_}")


def _public(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != PUBLIC_BYTES:
        raise UserError("a key is 64 hex digits; `mixmint bank change key` prints it")
    return key


def _bank(directory: "Directory", name: str) -> bytes:
    service = directory.service(name)
    if service.kind != "bank":
        raise UserError(f"{name} is no bank but a {service.kind}")
    return service.identity
