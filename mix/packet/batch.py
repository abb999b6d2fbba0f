"""
Unwrapping a frame's packets in one go, and the bytes in which a worker process hands them back.

    request  addressed packets, 2,286 bytes each
    result   count 2 || refused 4 x 2 || names, 32 bytes each || delays, 4 bytes each || packets, 2,286 each

All numbers are big-endian. A name is key id 16 || tag 16: what the replay filter needs. A delay is in
milliseconds. The packet of the same place has the command's id in front: a mix finds an addressed packet for
the next hop there, a gateway a token and the packet to keep under it.

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
DELAY_BYTES = 4


@dataclass(frozen=True, slots=True)
class Expected:
    """
    The command that a node takes: RELAY at a mix, MAILBOX at a gateway. ``most_delay_ms``: a longer delay is
    refused, and any at all where mixes decide; else a packet could be told from others by it.
    """

    command: CommandType
    most_delay_ms: int = 0


RELAY = Expected(CommandType.RELAY)
MAILBOX = Expected(CommandType.MAILBOX)


@dataclass(frozen=True, slots=True)
class Batch:
    """
    A batch unwrapped.

    ``names[i]`` and ``delays_ms[i]`` belong to the i-th 2,286 bytes of ``packets``. ``refused`` counts by
    reason what is dropped.
    """

    names: tuple[tuple[KeyId, Tag], ...]
    delays_ms: tuple[int, ...]
    packets: bytes
    refused: Mapping[str, int]

    def __repr__(self) -> str:
        return f"Batch({len(self.names)} packets)"


def unwrap_batch(
    secrets: Mapping[KeyId, bytes],
    expected: Expected,
    packets: bytes,
    random: Callable[[int], bytes],
) -> bytes:
    """
    Unwrap addressed packets; the result as bytes.

    ``secrets``: the Sphinx keys accepted now. ``random(n)``: n random bytes.

    Raises ValueError if ``packets`` isn't a whole number of packets, or more than 65,535: frames are checked
    before they come here.
    """
    count, rest = divmod(len(packets), ADDRESSED_BYTES)
    if rest or count > 0xFFFF:
        raise ValueError("not a whole number of addressed packets")
    refused = dict.fromkeys(REASONS, 0)
    done: list[tuple[bytes, bytes, bytes, bytes]] = []
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
        delay = command[-DELAY_BYTES:]
        if command[0] != expected.command or int.from_bytes(delay) > expected.most_delay_ms:
            refused["command"] += 1
            continue
        number = numbers[8 * place : 8 * place + 8]
        done.append((number, key_id + unwrapped.tag, delay, command[1:17] + unwrapped.packet))
    done.sort()
    head = _HEAD.pack(len(done), *refused.values())
    _, names, delays, packets_out = zip(*done, strict=True) if done else ((), (), (), ())
    return b"".join((head, *names, *delays, *packets_out))


def decode_batch(result: bytes) -> Batch:
    """The reverse of `unwrap_batch`. Raises ValueError for bytes that aren't one: our worker is broken."""
    if len(result) < _HEAD.size:
        raise ValueError("no result of a batch")
    count, *refused = _HEAD.unpack_from(result)
    delays_at = _HEAD.size + count * _NAME_BYTES
    packets_at = delays_at + count * DELAY_BYTES
    if len(result) != packets_at + count * ADDRESSED_BYTES:
        raise ValueError("no result of a batch")
    names = tuple(
        (KeyId(result[at : at + KEY_ID_BYTES]), Tag(result[at + KEY_ID_BYTES : at + _NAME_BYTES]))
        for at in range(_HEAD.size, delays_at, _NAME_BYTES)
    )
    delays_ms = struct.unpack_from(f">{count}I", result, delays_at)
    return Batch(names, delays_ms, result[packets_at:], dict(zip(REASONS, refused, strict=True)))
