"""``mixmint wallet words``, ``passphrase`` and ``backup``."""

import asyncio
import json
import sys
from pathlib import Path

import click

from mixmint.errors import UserError
from mixmint.keys import write_secret
from replyblocks.commands.options import home_option, json_option
from wallet.commands.running import say

_FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)


@click.command()
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write them to a new file.")
@home_option
@json_option
def words(out: Path | None, home: Path, as_json: bool) -> None:
    """
    Show the 24 words that bring the wallet back. Write them down, on paper.

    Whoever has them has all your coins, also those of later. On a terminal you are asked first; with --out
    they go to a new file that only you can read.

    Example: mixmint wallet words
    """
    from wallet.restoring.session import seed_words

    if out is None and not sys.stdout.isatty():
        raise UserError("words are shown on a terminal only; or write them to a file: --out FILE")
    if out is None and as_json:
        raise UserError("words are never printed for programs; write them to a file: --out FILE")
    found = asyncio.run(seed_words(home))
    if out is None:
        click.confirm("Whoever sees these words owns your coins. Is nobody looking?", abort=True)
        click.echo("\n".join(found.lines()))
        return
    write_secret(out, ("\n".join(found.lines()) + "\n").encode())
    if as_json:
        click.echo(json.dumps({"out": str(out)}, indent=2))
        return
    say(f"wrote the words to {out}; print or copy them, then delete the file")


@click.command()
@click.option("--remove", is_flag=True, help="Store the key without a passphrase again.")
@click.option("--new-passphrase-file", "file", type=_FILE, help="A file whose first line is the new one.")
@home_option
@json_option
def passphrase(remove: bool, file: Path | None, home: Path, as_json: bool) -> None:
    """
    Set, change or remove the passphrase of your home: coins, operations, post and mail.

    Without one, whoever can read your files has your coins. With one, every command asks for it, or takes it
    from --passphrase-file; a daemon takes it from the file that `passphrase_file` in member.toml names.
    Copies of the home that were made before still open as they did.

    Example: mixmint wallet passphrase
    """
    from wallet.restoring.session import change_passphrase

    if remove and file is not None:
        raise click.UsageError("--remove or --new-passphrase-file, not both")
    asyncio.run(change_passphrase(home, file, remove=remove))
    if as_json:
        click.echo(json.dumps({"home": str(home), "locked": not remove}, indent=2))
    elif remove:
        click.echo(f"{home} has no passphrase any more: whoever can read its files has your coins")
    else:
        click.echo(f"{home} opens with the new passphrase only. Nobody can tell it to you if you forget it")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--backup-passphrase-file", type=_FILE, help="A file whose first line is the backup's passphrase."
)
@home_option
@json_option
def backup(file: Path, backup_passphrase_file: Path | None, home: Path, as_json: bool) -> None:
    """
    Write the whole wallet to a new FILE, encrypted under a passphrase of its own.

    Beyond what the words bring back it has notes, receipts, open requests and what became of handed-over
    coins. The wallet may be at work meanwhile. Bring it back with `mixmint wallet restore --backup FILE`.

    Example: mixmint wallet backup /media/stick/wallet-2026-11.mixmint
    """
    from replyblocks.unlocking import chosen_passphrase
    from wallet.restoring.session import back_up

    back_up(home, file, chosen_passphrase(backup_passphrase_file, "passphrase for the backup"))
    if as_json:
        click.echo(json.dumps({"file": str(file), "bytes": file.stat().st_size}, indent=2))
    else:
        click.echo(f"wrote {file}; it opens with its passphrase only")
