"""
What a packet's message can be: the first byte says which, and in which version (docs/spec/conversation.md).

Requests and answers are exactly one packet each. The packet's own padding makes them all the same size.
"""

from dataclasses import dataclass
from enum import IntEnum

from mix.packet.build import ReplyBlock
from mix.packet.geometry import MESSAGE_BYTES, REPLY_BLOCK_BYTES
from mixmint.errors import MalformedMessage

REQUEST_ID_BYTES = 16
MOST_ATTEMPT = 4
"""The first sending is attempt 0, and there are at most 4 resends."""

_BLOCKS_AT = 1 + REQUEST_ID_BYTES + 1 + 4
_LENGTH_AT = _BLOCKS_AT + 2 * REPLY_BLOCK_BYTES
_BODY_AT = _LENGTH_AT + 2
_ANSWER_BODY_AT = 1 + REQUEST_ID_BYTES + 2

REQUEST_BODY_BYTES = MESSAGE_BYTES - _BODY_AT
"""The longest body of a request: 1,491 bytes."""

ANSWER_BODY_BYTES = MESSAGE_BYTES - _ANSWER_BODY_AT
"""The longest body of an answer: 2,012 bytes."""

LOOP_NONCE_BYTES = 16


class Format(IntEnum):
    """The first byte of every message."""

    REQUEST = 1
    ANSWER = 2
    FRAGMENT = 3
    LOOP = 4
    LONG_PART = 5
    LONG_ASK = 6
    LONG_STATE = 7
    LONG_ANSWER = 8


@dataclass(frozen=True, slots=True)
class RequestMessage:
    """
    One sending of a request, as the service's endpoint opens it:

    format 1 || request id 16 || attempt 1 || expires 4 || two reply blocks, 258 each || length 2 || body

    ``attempt`` counts the sendings from 0. ``expires_s``, Unix seconds: afterwards the service drops it. Id
    and body are the request; attempt, expiry and blocks belong to this sending of it.
    """

    request_id: bytes
    attempt: int
    expires_s: int
    blocks: tuple[ReplyBlock, ReplyBlock]
    body: bytes

    def encode(self) -> bytes:
        """At most 2,031 bytes. Raises ValueError when the body is longer than REQUEST_BODY_BYTES."""
        if len(self.body) > REQUEST_BODY_BYTES:
            raise ValueError(f"a request's body has at most {REQUEST_BODY_BYTES} bytes")
        return b"".join(
            (
                Format.REQUEST.to_bytes(1),
                self.request_id,
                self.attempt.to_bytes(1),
                self.expires_s.to_bytes(4),
                *self.blocks,
                len(self.body).to_bytes(2),
                self.body,
            )
        )


def decode_request(data: bytes) -> RequestMessage:
    """Read a request from hostile bytes. Raises MalformedMessage: ``format``, ``length``, ``attempt``."""
    if len(data) < _BODY_AT:
        raise MalformedMessage("length")
    if data[0] != Format.REQUEST:
        raise MalformedMessage("format")
    if data[17] > MOST_ATTEMPT:
        raise MalformedMessage("attempt")
    if int.from_bytes(data[_LENGTH_AT:_BODY_AT]) != len(data) - _BODY_AT:
        raise MalformedMessage("length")
    second_at = _BLOCKS_AT + REPLY_BLOCK_BYTES
    return RequestMessage(
        data[1:17],
        data[17],
        int.from_bytes(data[18:_BLOCKS_AT]),
        (ReplyBlock(data[_BLOCKS_AT:second_at]), ReplyBlock(data[second_at:_LENGTH_AT])),
        data[_BODY_AT:],
    )


def encode_answer(request_id: bytes, body: bytes) -> bytes:
    """
    format 1 || request id 16 || length 2 || body: at most 2,031 bytes.

    An empty body says that the service refuses the request (its id was used with another body). Raises
    ValueError when the body is longer than ANSWER_BODY_BYTES.
    """
    if len(body) > ANSWER_BODY_BYTES:
        raise ValueError(f"an answer's body has at most {ANSWER_BODY_BYTES} bytes")
    return b"".join((Format.ANSWER.to_bytes(1), request_id, len(body).to_bytes(2), body))


def decode_answer(data: bytes, request_id: bytes) -> bytes:
    """
    The body of the answer to ``request_id``.

    Raises MalformedMessage: ``format``, ``length``, or ``foreign``: an answer to another request than the one
    that this reply block was made for.
    """
    if len(data) < _ANSWER_BODY_AT:
        raise MalformedMessage("length")
    if data[0] != Format.ANSWER:
        raise MalformedMessage("format")
    if data[1:17] != request_id:
        raise MalformedMessage("foreign")
    if int.from_bytes(data[17:_ANSWER_BODY_AT]) != len(data) - _ANSWER_BODY_AT:
        raise MalformedMessage("length")
    return data[_ANSWER_BODY_AT:]
