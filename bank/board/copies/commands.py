"""The commands about copies of a log: ``mixmint board mirror``, ``verify`` and ``repair``."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bank.board.copies.repair import Damage
    from bank.board.log.checkpoint import Checkpoint

_PATH = click.Path(path_type=Path)
_KEY = click.option("--key", metavar="VKEY", help="The board's verifier key, as its operator publishes it.")
_NETWORK = click.option("--network", type=_PATH, help="The network file, whose directory names the board.")
_POLICY = click.option("--policy", type=_PATH, help="A policy file: which witnesses must have cosigned.")
_JSON = click.option("--json", "as_json", is_flag=True, help="For programs: JSON.")


@click.command("mirror")
@click.argument("url", metavar="URL")
@click.argument("folder", metavar="DIR", type=_PATH)
@_KEY
@_NETWORK
@_POLICY
@click.option("--follow", is_flag=True, help="Go on copying as the log grows.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.1, 86_400),
    default=10.0,
    show_default=True,
    help="Seconds between two looks of a mirror that follows.",
)
@_JSON
def mirror(
    url: str,
    folder: Path,
    key: str | None,
    network: Path | None,
    policy: Path | None,
    follow: bool,
    every_s: float,
    as_json: bool,
) -> None:
    """
    Copy a board's log into a folder, and prove all of it on the way.

    Any web server can serve the folder; a lost board is made again from it. May be stopped at any time: the
    next run goes on. A board that contradicts itself is refused, and convicted by a file.

    \b
    Example:
      mixmint board mirror https://board.example.org /srv/mirror \\
        --network network.toml --follow
    """
    from bank.board.copies.run import MirrorOptions
    from bank.board.copies.run import mirror as run

    options = MirrorOptions(url, folder, key, network, policy, every_s if follow else None, as_json)
    asyncio.run(run(options, click.echo, lambda text: click.echo(f"mixmint: {text}", err=True)))


@click.command("verify")
@click.argument("place", metavar="DIR|FILE", type=_PATH)
@_KEY
@_NETWORK
@_POLICY
@_JSON
def verify(place: Path, key: str | None, network: Path | None, policy: Path | None, as_json: bool) -> int:
    """
    Read a whole copy of a log, and name every file that is missing or damaged.

    DIR is a mirror's folder; FILE is a board's settings file, board.toml, for its own log. Exit code 0: all
    files are whole. 1: some aren't.

    \b
    Example:
      mixmint board verify /srv/mirror
    """
    from bank.board.copies.run import verify as run

    checkpoint, damages = asyncio.run(run(place, key, network, policy, quiet=as_json))
    _tell(checkpoint, damages, as_json=as_json)
    return 1 if damages else 0


@click.command("repair")
@click.option(
    "--config",
    "place",
    required=True,
    metavar="FILE|DIR",
    type=_PATH,
    help="board.toml, or a mirror's folder.",
)
@click.option("--from", "good", required=True, metavar="URL|DIR", help="Another copy of the same log.")
@_KEY
@_NETWORK
@_JSON
def repair(place: Path, good: str, key: str | None, network: Path | None, as_json: bool) -> int:
    """
    Replace missing and damaged files of a log by verified ones from another copy; nothing else is touched.

    Exit code 0: every file is whole now. 1: some could not be repaired.

    \b
    Example:
      mixmint board repair --config board/board.toml \\
        --from https://mirror.example.org
    """
    from bank.board.copies.run import repair as run

    checkpoint, damages = asyncio.run(run(place, good, key, network, quiet=as_json))
    _tell(checkpoint, damages, as_json=as_json)
    return 0 if all(damage.is_repaired for damage in damages) else 1


def _tell(checkpoint: "Checkpoint | None", damages: "list[Damage]", *, as_json: bool) -> None:
    bad = [damage for damage in damages if not damage.is_repaired]
    if as_json:
        view = {
            "size": checkpoint.size if checkpoint else None,
            "root": checkpoint.root.hex() if checkpoint else None,
            "files": [damage._asdict() for damage in damages],
            "whole": not bad,
        }
        click.echo(json.dumps(view, indent=2))
        return
    for damage in damages:
        click.echo(damage.text())
    if not bad and checkpoint:
        click.echo(f"whole: {checkpoint.size:,} entries of {checkpoint.origin}, root {checkpoint.root.hex()}")
    elif bad:
        count = "1 file is" if len(bad) == 1 else f"{len(bad)} files are"
        click.echo(f"{count} bad; to repair: mixmint board repair --config ... --from URL|DIR")
