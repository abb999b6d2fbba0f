"""
Messages on the wire: strict, bounded, canonical msgpack.

A message is a frozen struct, encoded as a msgpack array in field order. What is signed is the bytes as they
travelled, so each message has one encoding only: decoding encodes again and refuses any difference.
"""

from typing import Annotated, Any, TypeVar

import msgspec

from mixmint.errors import MalformedMessage

Bytes16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Bytes32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Bytes64 = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
UInt32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The base of every msgpack message. Fields are positional: add new ones as new message kinds."""


T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()


def encode(message: Any) -> bytes:
    """The one encoding of a message."""
    return _encoder.encode(message)


def decode(data: bytes, kind: type[T], max_bytes: int) -> T:
    """
    Read one message of the given kind from hostile bytes.

    Raises MalformedMessage with reason ``size`` (more than ``max_bytes``), ``encoding`` (not msgpack, wrong
    types, lengths or field count, trailing bytes) or ``not-canonical`` (another encoding of the same values).
    """
    if len(data) > max_bytes:
        raise MalformedMessage("size")
    try:
        message = msgspec.msgpack.decode(data, type=kind, strict=True)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise MalformedMessage("encoding") from None
    if _encoder.encode(message) != data:
        raise MalformedMessage("not-canonical")
    return message
