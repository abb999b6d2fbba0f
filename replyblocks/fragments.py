"""
Fragments: a sealed message cut into packets, and put together again. Pure (docs/spec/message.md, section 3).

    format 1 || message id 16 || part 1 || parts 1 || data, 1 to 2,012 bytes

The message id is a hash of the sealed message: whatever is put together under an id either is that message or
is dropped. All parts but the last are full, so a message can be cut in one way only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NewType

from mix.packet.geometry import MESSAGE_BYTES
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, labelled_hash
from replyblocks.formats import Format

MessageId = NewType("MessageId", bytes)

MESSAGE_ID = Label("mixmint/message-id/v1")
MESSAGE_ID_BYTES = 16
HEAD_BYTES = 1 + MESSAGE_ID_BYTES + 2
DATA_BYTES = MESSAGE_BYTES - HEAD_BYTES
MOST_PARTS = 40


@dataclass(frozen=True, slots=True)
class Fragment:
    """``part`` counts from 0 to ``parts`` - 1."""

    message_id: MessageId
    part: int
    parts: int
    data: bytes = field(repr=False)

    def encode(self) -> bytes:
        return b"".join(
            (
                Format.FRAGMENT.to_bytes(1),
                self.message_id,
                self.part.to_bytes(1),
                self.parts.to_bytes(1),
                self.data,
            )
        )


def message_id(sealed: bytes) -> MessageId:
    """16 bytes that name a sealed message."""
    return MessageId(labelled_hash(MESSAGE_ID, sealed)[:MESSAGE_ID_BYTES])


def count_parts(size: int) -> int:
    """How many packets a sealed message of ``size`` bytes takes."""
    return max(1, -(-size // DATA_BYTES))


def split(sealed: bytes) -> list[Fragment]:
    """Raises ValueError when it needs more than MOST_PARTS packets."""
    parts = count_parts(len(sealed))
    if parts > MOST_PARTS:
        raise ValueError(f"a sealed message has at most {MOST_PARTS * DATA_BYTES} bytes")
    name = message_id(sealed)
    return [
        Fragment(name, part, parts, sealed[part * DATA_BYTES : (part + 1) * DATA_BYTES])
        for part in range(parts)
    ]


def decode_fragment(data: bytes) -> Fragment:
    """Read a fragment from hostile bytes. Raises MalformedMessage: ``format``, ``length``, ``parts``."""
    if not HEAD_BYTES < len(data) <= MESSAGE_BYTES:
        raise MalformedMessage("length")
    if data[0] != Format.FRAGMENT:
        raise MalformedMessage("format")
    part, parts = data[17], data[18]
    if not part < parts <= MOST_PARTS:
        raise MalformedMessage("parts")
    if part < parts - 1 and len(data) != MESSAGE_BYTES:
        raise MalformedMessage("length")
    return Fragment(MessageId(data[1:17]), part, parts, data[HEAD_BYTES:])


def join(name: MessageId, parts: Mapping[int, bytes]) -> bytes:
    """All the parts' data, in order. Raises MalformedMessage (``message-id``) when it isn't that message."""
    sealed = b"".join(parts[part] for part in range(len(parts)))
    if message_id(sealed) != name:
        raise MalformedMessage("message-id")
    return sealed
