"""
Packets and reply blocks of the real sizes without their encryption, for runs of many thousands.

    key id 16 || token 16 || command 21 || length 2 || message, filled to 2,286 bytes

`on_paper` puts them in the place of the real ones. Everything above packets is the real code.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from mix.packet.build import BlockSecrets, ReplyBlock, Route
from mix.packet.command import NO_ID, Command, CommandType
from mix.packet.geometry import ADDRESSED_BYTES, MESSAGE_BYTES, REPLY_BLOCK_BYTES, Addressed, Packet
from mixmint.database import open_database

PLACES = (
    "replyblocks.post",
    "replyblocks.service",
    "replyblocks.intake",
    "replyblocks.long.requests",
    "replyblocks.long.hosting",
)
TOKEN_AT = 16
COMMAND_AT = 32
LENGTH_AT = 53
MESSAGE_AT = 55
NONCE_BYTES = 16


def token_of(packet: Addressed) -> bytes:
    """Whose mailbox it ends in."""
    return bytes(packet[TOKEN_AT:COMMAND_AT])


def build_forward(route: Route, message: bytes) -> Addressed:
    command = Command(CommandType.DELIVER, NO_ID)
    packet = _packet(route.hops[0].key_id + route.token, command, message)
    # No two packets are the same, whatever they carry: the network drops what it has seen.
    return Addressed(packet[:-NONCE_BYTES] + os.urandom(NONCE_BYTES))


def build_reply_block(route: Route, expires_s: int) -> tuple[ReplyBlock, BlockSecrets]:
    block_id = os.urandom(16)
    head = route.hops[0].key_id + route.token + block_id
    block = head + bytes(REPLY_BLOCK_BYTES - 4 - len(head)) + expires_s.to_bytes(4)
    return ReplyBlock(block), BlockSecrets(block_id, (bytes(16),) * 6)


def use_reply_block(block: ReplyBlock, message: bytes) -> Addressed:
    return _packet(block[:32], Command(CommandType.REPLY, block[32:48]), message)


def unwrap(secret: bytes, packet: Packet) -> Any:
    return SimpleNamespace(command=packet[COMMAND_AT - 16 : LENGTH_AT - 16], packet=packet)


def open_forward(unwrapped: Any) -> bytes:
    data = unwrapped.packet
    length = int.from_bytes(data[LENGTH_AT - 16 : MESSAGE_AT - 16])
    return bytes(data[MESSAGE_AT - 16 : MESSAGE_AT - 16 + length])


def open_reply(secrets: BlockSecrets, unwrapped: Any) -> bytes:
    return open_forward(unwrapped)


@contextmanager
def on_paper() -> Iterator[None]:
    """Packets without encryption, databases that don't wait for the disk (nobody pulls the plug here)."""
    with ExitStack() as stack:
        for place in PLACES:
            for paper in (
                build_forward,
                build_reply_block,
                use_reply_block,
                unwrap,
                open_forward,
                open_reply,
            ):
                if hasattr(import_module(place), paper.__name__):
                    stack.enter_context(patch(f"{place}.{paper.__name__}", paper))
        for place in ("replyblocks.store", "replyblocks.remembering"):
            stack.enter_context(patch(f"{place}.open_database", partial(open_database, durable=False)))
        yield


def _packet(head: bytes, command: Command, message: bytes) -> Addressed:
    if len(message) > MESSAGE_BYTES:
        raise ValueError("too long")
    filled = head + command.encode() + len(message).to_bytes(2) + message
    return Addressed(filled.ljust(ADDRESSED_BYTES, b"\0"))
