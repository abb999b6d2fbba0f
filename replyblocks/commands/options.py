"""Options that several commands share, and how they print."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from replyblocks.unlocking import FILE_OPTION

if TYPE_CHECKING:
    from replyblocks.member import Member
    from replyblocks.post import Post

T = TypeVar("T")

DEFAULT_HOME = Path("~/.mixmint")

Command = Callable[..., Any]


def home_option(command: Command) -> Command:
    """``--home DIR``: the member's folder; ``--passphrase-file FILE``: what opens it, if that is locked."""
    return _passphrase_option(_home_option(command))


def _passphrase_option(command: Command) -> Command:
    return click.option(
        "--passphrase-file",
        type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
        # Not handed to the command: whatever opens the home finds it (replyblocks/unlocking.py).
        expose_value=False,
        callback=_keep_passphrase_file,
        help="A file whose first line is the folder's passphrase, - for standard input; else you are asked.",
    )(command)


def _keep_passphrase_file(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.meta[FILE_OPTION] = value


def _home_option(command: Command) -> Command:
    return click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        default=DEFAULT_HOME,
        envvar="MIXMINT_HOME",
        show_default=True,
        callback=lambda _context, _parameter, value: value.expanduser(),
        help="The member's folder.",
    )(command)


def json_option(command: Command) -> Command:
    """``--json``: for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def print_json(value: Any) -> None:
    """One JSON document. Everything but ASCII is escaped, so hostile text can't reach the terminal."""
    click.echo(json.dumps(value, indent=2))


def with_post(member: "Member", work: "Callable[[Post], Awaitable[T]]") -> T:
    """Open the member's post, do the work, close it."""

    async def whole() -> T:
        from replyblocks.post import Post  # the network's libraries, loaded only when something runs

        async with Post(member) as post:
            return await work(post)

    return asyncio.run(whole())
