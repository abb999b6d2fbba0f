"""``mixmint inbox``: reading what people wrote."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mixmint.errors import Unavailable
from replyblocks.commands.options import home_option, json_option, print_json, with_post
from replyblocks.delivery import Delivery
from replyblocks.doctor import count_requests, describe_counts
from replyblocks.envelope import longest_text
from replyblocks.inbox import InboxRow
from replyblocks.member import Member, open_member
from replyblocks.outbox import OutboxRow
from replyblocks.post import Post
from replyblocks.terminal import preview, printable

PREVIEW_CHARACTERS = 48


@dataclass(frozen=True)
class Common:
    """What all parts of the command share."""

    home: Path
    as_json: bool


def own_options(command: Callable[..., None]) -> Callable[..., Any]:
    """``--home`` and ``--json`` may stand behind a subcommand's name as well as before it."""

    def combined(common: Common, home: Path | None, as_json: bool, **arguments: Any) -> None:
        folder = home.expanduser() if home else common.home
        command(common=Common(folder, as_json or common.as_json), **arguments)

    named: Callable[..., Any] = wraps(command)(combined)
    home_here = click.option("--home", type=click.Path(path_type=Path), help="The member's folder.")
    return home_here(json_option(click.pass_obj(named)))


@click.group(invoke_without_command=True)
@home_option
@json_option
@click.option("--wait", "wait_s", type=float, default=0.0, help="Wait so many seconds for something unread.")
@click.option("--offline", is_flag=True, help="Don't ask the gateway.")
@click.pass_context
def inbox(context: click.Context, home: Path, as_json: bool, wait_s: float, offline: bool) -> None:
    """
    Fetch messages and list them.

    Examples: mixmint inbox --wait 60; mixmint inbox read 1
    """
    context.obj = Common(home, as_json)
    if context.invoked_subcommand is not None:
        return

    async def listing(post: Post) -> list[tuple[int, InboxRow]]:
        if not offline:
            try:
                await post.send_queued()
                await _fetch_messages(post, wait_s)
            except Unavailable as error:
                raise Unavailable(f"{error} (what is here already: mixmint inbox --offline)") from None
        rows = post.messages.inbox.all()
        if as_json:
            # JSON holds the whole texts, so whoever asked for it has them.
            post.messages.inbox.mark_read(*(number for number, row in rows if not row.is_read))
        return rows

    member = open_member(home)
    rows = with_post(member, listing)
    if as_json:
        print_json({"messages": [_inbox_json(member, number, row) for number, row in rows]})
    else:
        Console().print(_inbox_table(member, rows) if rows else "no messages")


@inbox.command()
@click.argument("number", type=int)
@own_options
def read(common: Common, number: int) -> None:
    """
    Show message NUMBER.

    Example: mixmint inbox read 1
    """

    async def reading(post: Post) -> InboxRow:
        row = post.messages.inbox.get(number)
        post.messages.inbox.mark_read(number)
        return row

    member = open_member(common.home)
    row = with_post(member, reading)
    if common.as_json:
        print_json(_inbox_json(member, number, row))
        return
    console = Console()
    about = f", answers your message {row.answer_to}" if row.answer_to else ""
    console.print(Text(f"message {number}, {_date(row.hour)}{about}; {_answerable(member, row)}", "dim"))
    click.echo(printable(row.text))


@inbox.command()
@click.argument("number", type=int)
@own_options
def delete(common: Common, number: int) -> None:
    """
    Delete message NUMBER for ever.

    Example: mixmint inbox delete 1
    """

    async def deleting(post: Post) -> None:
        post.messages.inbox.delete(number)

    with_post(open_member(common.home), deleting)
    if common.as_json:
        print_json({"deleted": number})


@inbox.command()
@own_options
def sent(common: Common) -> None:
    """
    List what was sent, and what became of it.

    queued: the gateway hasn't taken it yet. sent: it is on its way. at service: the service has all of it.
    answered. overdue: nothing came back for longer than usual. lost: nothing can come back any more.

    Requests to services are counted by state, because `mixmint wallet` looks after them.

    Example: mixmint inbox sent
    """

    async def listing(post: Post) -> tuple[list[tuple[int, OutboxRow]], dict[int, Delivery], Counter[str]]:
        outbox = post.messages.outbox
        return outbox.all(), outbox.deliveries(time.time()), count_requests(post)

    rows, deliveries, requests = with_post(open_member(common.home), listing)
    if common.as_json:
        messages = [
            {"number": number, "state": deliveries[number], "date": _date(row.hour), "answers": row.answers}
            for number, row in rows
        ]
        print_json({"messages": messages, "requests": dict(requests)})
        return
    table = Table("no.", "state", "date", "text", box=None)
    for number, row in rows:
        text = Text(preview(row.text, PREVIEW_CHARACTERS))
        table.add_row(str(number), deliveries[number], _date(row.hour), text)
    console = Console()
    console.print(table if rows else "nothing was sent")
    if requests:
        console.print(f"requests to services: {describe_counts(requests)}")


async def _fetch_messages(post: Post, wait_s: float) -> None:
    """Fetch what waits; while there is nothing unread, go on for ``wait_s``."""
    give_up = time.monotonic() + wait_s
    await post.poll(0)
    while not post.messages.inbox.has_unread() and (left_s := give_up - time.monotonic()) > 0:
        await post.poll(left_s)


def _inbox_json(member: Member, number: int, row: InboxRow) -> dict[str, Any]:
    return {
        "number": number,
        "date": _date(row.hour),
        "read": row.is_read,
        "answered": row.is_answered,
        "answer_to": row.answer_to,
        "longest_answer": _longest_answer(member, row),
        "text": row.text,
    }


def _inbox_table(member: Member, rows: list[tuple[int, InboxRow]]) -> Table:
    table = Table("no.", "date", "text", "answer", box=None)
    for number, row in rows:
        about = f"(answers {row.answer_to}) " if row.answer_to else ""
        text = Text(about + preview(row.text, PREVIEW_CHARACTERS), "" if row.is_read else "bold")
        table.add_row(str(number), _date(row.hour), text, _answerable(member, row))
    return table


def _longest_answer(member: Member, row: InboxRow) -> int:
    """How many bytes an answer may have now."""
    usable = len(row.usable_blocks(member.directory, time.time()))
    return longest_text(usable, 0) if usable else 0


def _answerable(member: Member, row: InboxRow) -> str:
    longest = _longest_answer(member, row)
    done = "answered" if row.is_answered else ""
    if longest == 0:
        return done or "can't be answered"
    return f"{done + ', ' if done else ''}answer up to {longest} bytes"


def _date(hour: int) -> str:
    """In UTC, to the hour."""
    return datetime.fromtimestamp(hour, UTC).strftime("%Y-%m-%d %H:00 UTC")
