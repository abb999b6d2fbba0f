"""``mixmint wallet restore``."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replyblocks.commands.options import home_option, json_option
from wallet.commands.running import read_text, say

if TYPE_CHECKING:
    from replyblocks.member import Member
    from wallet.restoring.scan import Told
    from wallet.restoring.session import Restored
    from wallet.restoring.words import SeedWords

_STAGES = {"board": "reading the board", "deep": "looking far past the last coin"}
NOT_BROUGHT_BACK = """\
What words and board can't bring back:
- coins that you had written to a bearer file and that nobody has exchanged yet: they show as yours again,
  and whoever is first has them;
- coins that you had got in a bearer file and not exchanged yet: run `mixmint wallet receive` on it again;
- notes, receipts and the history; a payment request that was open is paid all the same, but shows no note;
- the mailbox and its mail."""


@click.command()
@click.option("--words", type=click.Path(path_type=Path, dir_okay=False), help="A file with the 24 words.")
@click.option(
    "--backup", type=click.Path(path_type=Path, dir_okay=False), help="A backup file, instead of words."
)
@click.option(
    "--backup-passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="A file whose first line is the backup's passphrase.",
)
@click.option("--board", help="A board's URL or a mirror's folder, instead of the directory's board.")
@click.option(
    "--device", type=click.IntRange(min=0, max=255), default=0, help="This copy's number, at least."
)
@click.option(
    "--processes", type=click.IntRange(min=1), help="How many processes derive. Default: one a core."
)
@click.option("--network", type=click.Path(path_type=Path, dir_okay=False), help="The network file.")
@click.option("--gateway", help="The gateway that takes in and keeps your packets.")
@home_option
@json_option
def restore(
    words: Path | None,
    backup: Path | None,
    backup_passphrase_file: Path | None,
    board: str | None,
    device: int,
    processes: int | None,
    network: Path | None,
    gateway: str | None,
    home: Path,
    as_json: bool,
) -> None:
    """
    Bring a wallet back: from its 24 words and the board, or from a backup file.

    The words come from --words, from standard input, or are typed (and not shown). The whole board is read,
    and the bank asked nothing. Once it is read the wallet can be used; then 1,048,576 coins past the last one
    of each kind are looked for. Cut short, run `mixmint wallet restore` again: it goes on. The new wallet has
    a device number of its own, so the old one may turn up and be used too.

    Example: mixmint wallet restore --network network.toml --gateway g1
    """
    if backup is not None:
        if words or board or device:
            raise click.UsageError(
                "--backup brings everything along: no --words, --board or --device with it"
            )
        _finish(_from_backup(home, network, gateway, backup, backup_passphrase_file), as_json=as_json)
        return
    from wallet.restoring.session import begin
    from wallet.restoring.workers import cores

    member, goes_on = begin(home, network, gateway, lambda: _words(words), device)
    if goes_on and not as_json:
        say(f"going on with the restore in {home}")
    found = asyncio.run(_search(member, board, processes or cores(), quiet=as_json))
    _finish(found, as_json=as_json)
    if not as_json:
        say(NOT_BROUGHT_BACK)


def _words(file: Path | None) -> "SeedWords":
    from replyblocks.unlocking import typed
    from wallet.restoring.words import SeedWords

    if file is None and sys.stdin.isatty():
        return SeedWords.parse(typed("24 words, in one line"))
    return SeedWords.parse(read_text(file, "a wallet's words"))


def _from_backup(
    home: Path, network: Path | None, gateway: str | None, backup: Path, file: Path | None
) -> "Restored":
    from replyblocks.unlocking import passphrase_from
    from wallet.restoring.session import restore_backup

    return restore_backup(home, network, gateway, backup, passphrase_from(file, "passphrase of the backup"))


async def _search(member: "Member", board: str | None, processes: int, *, quiet: bool) -> "Restored":
    from wallet.restoring.session import Restored, scanning

    with _bars(quiet=quiet) as told:
        async with scanning(member, board, processes, told) as (scan, purse):
            await scan.near()
            if not quiet:
                found = Restored.of(purse)
                say(
                    f"{found.units:,} units in {found.free:,} coins are yours; the wallet can be used. Now "
                    "looking far past the last one; stopped here, `mixmint wallet restore` goes on later"
                )
            await scan.deep()
            return Restored.of(purse)


@contextmanager
def _bars(*, quiet: bool) -> "Iterator[Told]":
    """Progress, on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as progress:
        tasks = {stage: progress.add_task(text, visible=False) for stage, text in _STAGES.items()}

        def told(stage: str, done: int, total: int) -> None:
            progress.update(tasks[stage], completed=done, total=total, visible=True)

        yield told


def _finish(found: "Restored", *, as_json: bool) -> None:
    if as_json:
        view = {
            "account": found.account.hex(),
            "free": found.units,
            "coins": found.free,
            "spent": found.spent,
            "device": found.device,
        }
        click.echo(json.dumps(view, indent=2))
        return
    click.echo(f"{found.units:,} units in {found.free:,} coins are free; {found.spent:,} coins were spent")
    click.echo(f"account key: {found.account.hex()}")
    click.echo(f"this copy has device number {found.device}; other copies may be used beside it")
