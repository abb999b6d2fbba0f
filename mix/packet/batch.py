"""
Unwrapping a frame's packets in one go, and the bytes in which a worker process hands them back.

    request  addressed packets, 2,286 bytes each
    result   count 2 || refused 4 x 2 || names, 32 bytes each || packets, 2,286 bytes each

All numbers are big-endian. A name is key id 16 || tag 16: what the replay filter needs. The packet of the
same place has the command's id in front: a mix finds an addressed packet for the next hop there, a gateway a
token and the packet to keep under it.

The order of the result is random: whatever is written down later doesn't tell who came first.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mix.packet.command import CommandType
from mix.packet.geometry import ADDRESSED_BYTES, KEY_ID_BYTES, TAG_BYTES, KeyId, Tag
from mix.packet.unwrap import unwrap
from mixmint.errors import MalformedPacket

REASONS = ("key", "alpha", "mac", "command")
"""Why packets of a batch are refused, in the order of the result's counts."""

_HEAD = struct.Struct(f">H{len(REASONS)}H")
_NAME_BYTES = KEY_ID_BYTES + TAG_BYTES
_NO_DELAY = bytes(4)


@dataclass(frozen=True, slots=True)
class Batch:
    """
    A batch unwrapped.

    ``names[i]`` belongs to the i-th 2,286 bytes of ``packets``. ``refused`` counts by reason what is dropped.
    """

    names: tuple[tuple[KeyId, Tag], ...]
    packets: bytes
    refused: Mapping[str, int]

    def __repr__(self) -> str:
        return f"Batch({len(self.names)} packets)"


def unwrap_batch(
    secrets: Mapping[KeyId, bytes], expected: CommandType, packets: bytes, random: Callable[[int], bytes]
) -> bytes:
    """
    Unwrap addressed packets; the result as bytes.

    ``secrets``: the Sphinx keys accepted now. ``expected``: RELAY at a mix, MAILBOX at a gateway; other
    commands, and delays, which a cascade of pools doesn't have, are refused. ``random(n)``: n random bytes.

    Raises ValueError if ``packets`` isn't a whole number of packets, or more than 65,535: frames are checked
    before they come here.
    """
    count, rest = divmod(len(packets), ADDRESSED_BYTES)
    if rest or count > 0xFFFF:
        raise ValueError("not a whole number of addressed packets")
    refused = dict.fromkeys(REASONS, 0)
    done: list[tuple[bytes, bytes, bytes]] = []
    # Sorting by random numbers, all drawn at once: a fair shuffle, and 100 times cheaper than drawing one
    # number a packet from the system. Equal numbers don't occur (2^-64 each pair).
    numbers = random(8 * count)
    for place in range(count):
        at = place * ADDRESSED_BYTES
        key_id = KeyId(packets[at : at + KEY_ID_BYTES])
        secret = secrets.get(key_id)
        if secret is None:
            refused["key"] += 1
            continue
        try:
            unwrapped = unwrap(secret, packets[at + KEY_ID_BYTES : at + ADDRESSED_BYTES])
        except MalformedPacket as error:
            refused[error.reason] += 1
            continue
        command = unwrapped.command
        if command[0] != expected or command[-4:] != _NO_DELAY:
            refused["command"] += 1
            continue
        number = numbers[8 * place : 8 * place + 8]
        done.append((number, key_id + unwrapped.tag, command[1:17] + unwrapped.packet))
    done.sort()
    head = _HEAD.pack(len(done), *refused.values())
    return b"".join((head, *(name for _, name, _ in done), *(packet for _, _, packet in done)))


def decode_batch(result: bytes) -> Batch:
    """The reverse of `unwrap_batch`. Raises ValueError for bytes that aren't one: our worker is broken."""
    if len(result) < _HEAD.size:
        raise ValueError("no result of a batch")
    count, *refused = _HEAD.unpack_from(result)
    packets_at = _HEAD.size + count * _NAME_BYTES
    if len(result) != packets_at + count * ADDRESSED_BYTES:
        raise ValueError("no result of a batch")
    names = tuple(
        (KeyId(result[at : at + KEY_ID_BYTES]), Tag(result[at + KEY_ID_BYTES : at + _NAME_BYTES]))
        for at in range(_HEAD.size, packets_at, _NAME_BYTES)
    )
    return Batch(names, result[packets_at:], dict(zip(REASONS, refused, strict=True)))
