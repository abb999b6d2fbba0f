"""``mixmint address``, ``send`` and ``reply``: writing to people."""

import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from mixmint.errors import PendingError, Unavailable, UserError
from replyblocks.address import MOST_CHARACTERS, Address, decode_address
from replyblocks.commands.options import home_option, json_option, print_json, with_post
from replyblocks.envelope import MOST_TEXT_BYTES
from replyblocks.member import Member, create_member, open_member
from replyblocks.outbox import DEFAULT_BLOCKS
from replyblocks.post import Post

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

    Example: mixmint address --create --network network.toml --gateway g1
    """
    if create:
        if network is None or gateway is None:
            raise click.UsageError("--create needs --network FILE and --gateway NAME")
        member = create_member(home, network, gateway)
    else:
        member = open_member(home)
    text = Address.of(member).encode()
    if as_json:
        print_json({"address": text, "gateway": member.settings.gateway})
    else:
        click.echo(text)
    try:
        with_post(member, Post.reach)
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

    return with_post(member, work)


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
