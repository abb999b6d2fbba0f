"""``mixmint bank change ...``: what the network's authorities sign when a bank's key is replaced."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bank.recovery.options import FILE, NETWORK, PATH, POLICY
from mixmint.errors import UserError
from mixmint.keys import PUBLIC_BYTES, SEED_BYTES, SigningKey, read_secret, write_new, write_secret

if TYPE_CHECKING:
    from mix.directory import Directory


@click.group("change")
def change() -> None:
    """Replace a bank's key: what the network's authorities sign."""


@change.command("key")
@click.argument("file", metavar="FILE", type=PATH)
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
@NETWORK
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
@click.option("--out", type=PATH, required=True, help="The change's file, to be made.")
@POLICY
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
@click.argument("file", metavar="FILE", type=FILE)
@click.option("--key", "key_path", type=FILE, required=True, help="The authority's key file.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def sign(file: Path, key_path: Path, yes: bool) -> None:
    """
    Read what a change says, and add an authority's signature to its file.

    \b
    Example:
      mixmint bank change sign change --key authority.key
    """
    from bank.recovery.change import in_words, read_change, text_of
    from mixmint.files import write_whole

    made = read_change(file)
    key = SigningKey(read_secret(key_path, SEED_BYTES))
    click.echo(in_words(made))
    if not yes and not click.confirm("Sign this?"):
        raise UserError("nothing is signed")
    write_whole(file, text_of(made.signed_by(key)).encode())
    click.echo(f"signed by {key.public.hex()}")


@change.command("check")
@click.argument("file", metavar="FILE", type=FILE)
@NETWORK
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
@click.argument("file", metavar="FILE", type=FILE)
@NETWORK
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


@change.command("descriptor")
@click.argument("folder", metavar="DIR", type=PATH)
@NETWORK
@click.option("--gateway", help="The gateway that the new bank sits behind.  [default: the old one's]")
@click.option("--url", help="Its public URL.  [default: the old one's]")
def descriptor(folder: Path, network: Path, gateway: str | None, url: str | None) -> None:
    """
    Make the new bank's endpoint key, if DIR has none, and the descriptor for the next directory.

    For a successor who doesn't have the old bank's endpoint.key, or moves. DIR has the settings and the new
    signing key.

    \b
    Example:
      mixmint bank change descriptor newbank --network network.toml --gateway g2
    """
    from bank.recovery.endpoint import new_endpoint
    from bank.recovery.run import CONFIG, Network
    from bank.settings import BankSettings
    from mixmint.settings import load

    settings, found = load(folder / CONFIG, BankSettings), Network.load(network)
    _bank(found.directory, settings.name)
    service = found.directory.service(settings.name)
    path, key = new_endpoint(folder, settings, service, gateway, url, time.time())
    click.echo(f"give {path} to the authorities, who admit it, or build the next directory with it:")
    click.echo(f"    mixmint directory admit|build ... --successor {settings.name}={key.public.hex()}")


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
