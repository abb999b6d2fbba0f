"""``mixmint address``, ``send``, ``inbox`` and ``reply``: messages between people."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mixmint.errors import PendingError, Unavailable, UserError
from replyblocks.address import MOST_CHARACTERS, Address, address_of, decode_address
from replyblocks.commands.options import home_option, json_option, print_json
from replyblocks.envelope import MOST_TEXT_BYTES, longest_text
from replyblocks.inbox import InboxRow
from replyblocks.member import Member, create_member, open_member
from replyblocks.outbox import DEFAULT_BLOCKS, OutboxRow
from replyblocks.post import Post
from replyblocks.terminal import preview, printable

T = TypeVar("T")

PREVIEW_CHARACTERS = 48

file_option = click.option(
    "--file", "text_file", type=click.File("rb"), help="Read the text from a file, not from standard input."
)


@click.command()
@home_option
@json_option
@click.option("--create", is_flag=True, help="Make the member first; needs --network and --gateway.")
@click.option("--network", type=click.Path(path_type=Path), help="The network file.")
@click.option("--gateway", help="The gateway that keeps this member's packets.")
def address(home: Path, as_json: bool, create: bool, network: Path | None, gateway: str | None) -> None:
    """
    Print this member's address: whoever has it can write to you.

    Example: mixmint address --create --network network.toml --gateway g1 > alice.address
    """
    if create:
        if network is None or gateway is None:
            raise click.UsageError("--create needs --network FILE and --gateway NAME")
        member = create_member(home, network, gateway)
    else:
        member = open_member(home)
    text = address_of(member).encode()
    if as_json:
        print_json({"address": text, "gateway": member.settings.gateway})
    else:
        click.echo(text)
    try:
        _with_post(member, Post.reach)
    except Unavailable as error:
        click.echo(f"mixmint: the address isn't open yet: {error}; run this command again", err=True)


@click.command()
@click.argument("address_file", type=click.File("r"), required=False)
@file_option
@home_option
@json_option
@click.option(
    "--blocks",
    default=DEFAULT_BLOCKS,
    show_default=True,
    help="Reply blocks to send along: the answer may be as many packets (2 KB each) long.",
)
@click.option("--again", type=int, metavar="NUMBER", help="Send a message of `mixmint inbox sent` once more.")
def send(
    address_file: Any, text_file: Any, home: Path, as_json: bool, blocks: int, again: int | None
) -> None:
    """
    Send an anonymous message to the address in ADDRESS_FILE; the text comes from standard input.

    The receiver can answer (`mixmint reply`) without learning who you are. Nothing tells you that it was
    read, except an answer.

    Example: echo "meet at the mill" | mixmint send bob.address
    """
    member = open_member(home)
    if again is not None:

        async def send_again(post: Post) -> int:
            post.messages.outbox.send_again(again)
            return again

        number = _write(member, send_again)
    else:
        if address_file is None:
            raise click.UsageError("name the file that holds the address, or --again NUMBER")
        to = _read_address(address_file)
        text = _read_text(text_file)

        async def queue(post: Post) -> int:
            return post.messages.outbox.queue(to, text, time.time(), blocks)

        number = _write(member, queue)
    _say_sent(number, as_json)


@click.command()
@click.argument("number", type=int)
@file_option
@home_option
@json_option
def reply(number: int, text_file: Any, home: Path, as_json: bool) -> None:
    """
    Answer message NUMBER of the inbox, through the reply blocks that it carried.

    You don't learn to whom, and the other side doesn't learn from whom. `mixmint inbox` shows how long the
    answer may be.

    Example: echo "I'll be there" | mixmint reply 1
    """
    member = open_member(home)
    text = _read_text(text_file)

    async def queue(post: Post) -> int:
        return post.messages.answer(number, text, time.time())

    _say_sent(_write(member, queue), as_json)


@click.group(invoke_without_command=True)
@home_option
@json_option
@click.option("--wait", "wait_s", type=float, default=0.0, help="Wait so many seconds for a new message.")
@click.option("--offline", is_flag=True, help="Don't ask the gateway.")
@click.pass_context
def inbox(context: click.Context, home: Path, as_json: bool, wait_s: float, offline: bool) -> None:
    """
    Fetch messages and list them.

    Examples: mixmint inbox --wait 60; mixmint inbox read 1
    """
    context.obj = (home, as_json)
    if context.invoked_subcommand is not None:
        return

    async def listing(post: Post) -> list[tuple[int, InboxRow]]:
        if not offline:
            await post.send_queued()
            await _fetch_messages(post, wait_s)
        return post.messages.inbox.all()

    member = open_member(home)
    rows = _with_post(member, listing)
    if as_json:
        print_json({"messages": [_inbox_json(member, number, row) for number, row in rows]})
    else:
        Console().print(_inbox_table(member, rows) if rows else "no messages")


@inbox.command()
@click.argument("number", type=int)
@click.pass_obj
def read(common: tuple[Path, bool], number: int) -> None:
    """
    Show message NUMBER.

    Example: mixmint inbox read 1
    """
    home, as_json = common

    async def reading(post: Post) -> InboxRow:
        row = post.messages.inbox.get(number)
        post.messages.inbox.mark_read(number)
        return row

    member = open_member(home)
    row = _with_post(member, reading)
    if as_json:
        print_json({**_inbox_json(member, number, row), "text": row.text})
        return
    console = Console()
    about = f", answers your message {row.answer_to}" if row.answer_to else ""
    console.print(Text(f"message {number}, {_date(row.hour)}{about}; {_answerable(member, row)}", "dim"))
    click.echo(printable(row.text))


@inbox.command()
@click.argument("number", type=int)
@click.pass_obj
def delete(common: tuple[Path, bool], number: int) -> None:
    """
    Delete message NUMBER for ever.

    Example: mixmint inbox delete 1
    """
    home, as_json = common

    async def deleting(post: Post) -> None:
        post.messages.inbox.delete(number)

    _with_post(open_member(home), deleting)
    if as_json:
        print_json({"deleted": number})


@inbox.command()
@click.pass_obj
def sent(common: tuple[Path, bool]) -> None:
    """
    List what was sent, and what became of it: queued, sent, answered.

    Example: mixmint inbox sent
    """
    home, as_json = common

    async def listing(post: Post) -> list[tuple[int, OutboxRow]]:
        return post.messages.outbox.all()

    rows = _with_post(open_member(home), listing)
    if as_json:
        messages = [
            {"number": number, "state": row.state, "date": _date(row.hour), "answers": row.answers}
            for number, row in rows
        ]
        print_json({"messages": messages})
        return
    table = Table("no.", "state", "date", "text", box=None)
    for number, row in rows:
        table.add_row(str(number), row.state, _date(row.hour), Text(preview(row.text, PREVIEW_CHARACTERS)))
    Console().print(table if rows else "nothing was sent")


def _with_post(member: Member, work: Callable[[Post], Awaitable[T]]) -> T:
    async def whole() -> T:
        async with Post(member) as post:
            return await work(post)

    return asyncio.run(whole())


def _write(member: Member, queue: Callable[[Post], Awaitable[int]]) -> int:
    """Queue a message and send what is queued. Raises PendingError when it is queued but not sent."""

    async def work(post: Post) -> int:
        number = await queue(post)
        try:
            await post.send_queued()
        except Unavailable as error:
            raise PendingError(
                f"message {number} is queued ({error}); `mixmint inbox` sends it later"
            ) from None
        return number

    return _with_post(member, work)


async def _fetch_messages(post: Post, wait_s: float) -> None:
    """Fetch what waits; if there is no complete message in it, go on for ``wait_s``."""
    give_up = time.monotonic() + wait_s
    report = await post.poll(0)
    while not report.messages and (left_s := give_up - time.monotonic()) > 0:
        report = await post.poll(left_s)


def _read_address(file: Any) -> Address:
    return decode_address(file.read(2 * MOST_CHARACTERS))


def _read_text(file: Any) -> str:
    """The text, from the file or from standard input. Raises UserError: too long, or not UTF-8."""
    data = (file or sys.stdin.buffer).read(MOST_TEXT_BYTES + 1)
    if len(data) > MOST_TEXT_BYTES:
        raise UserError(f"the text is longer than {MOST_TEXT_BYTES} bytes; send it in parts")
    try:
        return str(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise UserError("the text isn't UTF-8; messages are text") from None


def _say_sent(number: int, as_json: bool) -> None:
    if as_json:
        print_json({"number": number, "state": "sent"})
    else:
        click.echo(f"message {number} is on its way; an answer will be in `mixmint inbox`")


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
