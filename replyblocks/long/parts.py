"""
Bytes cut into parts that fit a packet, and sets of parts. Pure (docs/spec/long-conversation.md, section 1).

All parts but the last are full, so there is one way only to cut something.
"""

from collections.abc import Collection, Mapping

from mix.packet.geometry import MESSAGE_BYTES
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, labelled_hash

LONG_BODY = Label("mixmint/long-body/v1")
DIGEST_BYTES = 16
HEAD_BYTES = 1 + 16 + DIGEST_BYTES + 4 + 4 + 2
PART_BYTES = MESSAGE_BYTES - HEAD_BYTES
MOST_BYTES = 1 << 20
"""The longest request, and the longest answer: 1 MiB."""


def digest(data: bytes) -> bytes:
    """16 bytes that name a body or an answer."""
    return labelled_hash(LONG_BODY, data)[:DIGEST_BYTES]


def count_parts(size: int) -> int:
    """Of ``size`` bytes; nothing at all is one empty part."""
    return max(1, -(-size // PART_BYTES))


def part_size(size: int, part: int) -> int:
    """How many bytes that part of ``size`` bytes has."""
    return min(size - part * PART_BYTES, PART_BYTES)


def cut(data: bytes, part: int) -> bytes:
    """One part of it, counted from 0."""
    return data[part * PART_BYTES : (part + 1) * PART_BYTES]


def join(parts: Mapping[int, bytes], name: bytes) -> bytes:
    """All parts in their order. Raises MalformedMessage (``digest``) when that isn't what ``name`` names."""
    data = b"".join(parts[part] for part in range(len(parts)))
    if digest(data) != name:
        raise MalformedMessage("digest")
    return data


def to_bits(parts: Collection[int], count: int) -> bytes:
    """A set of parts, one bit each; part 0 is the highest bit of the first byte."""
    bits = bytearray(-(-count // 8))
    for part in parts:
        bits[part // 8] |= 0x80 >> part % 8
    return bytes(bits)


def from_bits(bits: bytes, count: int) -> frozenset[int]:
    """Raises MalformedMessage (``bits``): another length, or a part that there isn't."""
    parts = frozenset(part for part in range(8 * len(bits)) if bits[part // 8] & 0x80 >> part % 8)
    if len(bits) != -(-count // 8) or any(part >= count for part in parts):
        raise MalformedMessage("bits")
    return parts
