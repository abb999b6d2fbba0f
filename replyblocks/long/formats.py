"""
The packets of a long conversation (docs/spec/long-conversation.md, sections 2 and 3).

    to the service    5 a part of the request      6 ask: which parts have you, or: give these of the answer
    from the service  7 state: I have these parts  8 a part of the answer

All but the state begin with a head that says which request and which bytes it is about, so that packets that
disagree never meet.
"""

from dataclasses import dataclass, field

from mix.packet.build import ReplyBlock
from mix.packet.geometry import MESSAGE_BYTES, REPLY_BLOCK_BYTES
from mixmint.errors import MalformedMessage
from replyblocks.formats import MOST_ATTEMPT, REQUEST_ID_BYTES, Format
from replyblocks.long.parts import HEAD_BYTES, MOST_BYTES, count_parts, part_size

_DIGEST_AT = 1 + REQUEST_ID_BYTES
_SIZE_AT = _DIGEST_AT + 16
_EXPIRES_AT = _SIZE_AT + 4
_REST_AT = _EXPIRES_AT + 4
_PAIR_BYTES = 2 + REPLY_BLOCK_BYTES
_PAIRS_AT = _REST_AT + 2

MOST_PAIRS = (MESSAGE_BYTES - _PAIRS_AT) // _PAIR_BYTES
"""How many parts of an answer one packet can ask for, since each needs a reply block: 7."""


@dataclass(frozen=True, slots=True)
class Head:
    """
    Which bytes: the request's id (16 bytes), their digest (16) and size, and when the request expires (Unix
    seconds; zero in answers).
    """

    request_id: bytes
    digest: bytes
    size: int
    expires_s: int = 0

    @property
    def parts(self) -> int:
        return count_parts(self.size)

    def encode(self) -> bytes:
        return self.request_id + self.digest + self.size.to_bytes(4) + self.expires_s.to_bytes(4)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a request, or of an answer: format 5 or 8 || head 40 || part 2 || data."""

    head: Head
    part: int
    data: bytes = field(repr=False)

    def encode(self, kind: Format) -> bytes:
        return kind.to_bytes(1) + self.head.encode() + self.part.to_bytes(2) + self.data


@dataclass(frozen=True, slots=True)
class Ask:
    """
    format 6 || head 40 || attempt 1 || count 1 || for each: part of the answer 2 || reply block 258

    ``pairs``: 1 to 7 wanted parts of the answer, each with the block that it is to come by.
    """

    head: Head
    attempt: int
    pairs: tuple[tuple[int, ReplyBlock], ...]

    def encode(self) -> bytes:
        pairs = b"".join(part.to_bytes(2) + block for part, block in self.pairs)
        counts = self.attempt.to_bytes(1) + len(self.pairs).to_bytes(1)
        return Format.LONG_ASK.to_bytes(1) + self.head.encode() + counts + pairs


def decode_part(data: bytes, kind: Format) -> Part:
    """Read hostile bytes. Raises MalformedMessage: ``length``, ``format``, ``size``, ``part``."""
    head = _decode_head(data, kind)
    part = int.from_bytes(data[_REST_AT:HEAD_BYTES])
    if part >= head.parts:
        raise MalformedMessage("part")
    if len(data) - HEAD_BYTES != part_size(head.size, part):
        raise MalformedMessage("length")
    return Part(head, part, data[HEAD_BYTES:])


def decode_ask(data: bytes) -> Ask:
    """Read hostile bytes. Raises MalformedMessage: ``length``, ``format``, ``size``, ``attempt``."""
    head = _decode_head(data, Format.LONG_ASK)
    attempt, count = data[_REST_AT], data[_REST_AT + 1]
    if attempt > MOST_ATTEMPT:
        raise MalformedMessage("attempt")
    if not 1 <= count <= MOST_PAIRS or len(data) != _PAIRS_AT + count * _PAIR_BYTES:
        raise MalformedMessage("length")
    starts = range(_PAIRS_AT, len(data), _PAIR_BYTES)
    return Ask(
        head,
        attempt,
        tuple(
            (int.from_bytes(data[at : at + 2]), ReplyBlock(data[at + 2 : at + _PAIR_BYTES])) for at in starts
        ),
    )


def encode_state(request_id: bytes, bits: bytes) -> bytes:
    """format 7 || request id 16 || one bit for each part of the request"""
    return Format.LONG_STATE.to_bytes(1) + request_id + bits


def decode_state(data: bytes, request_id: bytes) -> bytes:
    """The bits. Raises MalformedMessage: ``length``, ``format``, or ``foreign``: about another request."""
    if len(data) <= _DIGEST_AT:
        raise MalformedMessage("length")
    if data[0] != Format.LONG_STATE:
        raise MalformedMessage("format")
    if data[1:_DIGEST_AT] != request_id:
        raise MalformedMessage("foreign")
    return data[_DIGEST_AT:]


def _decode_head(data: bytes, kind: Format) -> Head:
    if not HEAD_BYTES <= len(data) <= MESSAGE_BYTES:
        raise MalformedMessage("length")
    if data[0] != kind:
        raise MalformedMessage("format")
    size = int.from_bytes(data[_SIZE_AT:_EXPIRES_AT])
    # Before anything is stored: nobody gets more room than this by claiming a size.
    if size > MOST_BYTES:
        raise MalformedMessage("size")
    return Head(
        data[1:_DIGEST_AT], data[_DIGEST_AT:_SIZE_AT], size, int.from_bytes(data[_EXPIRES_AT:_REST_AT])
    )
