"""
A frame: what one link sends in one tick. Pure: bytes in, bytes out.

    frame id 16 || count 2 (big-endian) || slots, 2,286 bytes each

The first ``count`` slots are addressed packets, the rest is random. There are 16 to 256 slots, a multiple of
16, and never 16 more than the count needs: so the size of a frame, which everyone on the way sees, tells only
ceil(count / 16), and an empty frame looks like one with 16 packets.

Source: docs/spec/link.md, section 2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NewType

from mix.packet.geometry import ADDRESSED_BYTES
from mixmint.errors import MalformedMessage

FrameId = NewType("FrameId", bytes)

FRAME_ID_BYTES = 16
HEAD_BYTES = FRAME_ID_BYTES + 2
STEP = 16
MOST_PACKETS = 256
MOST_FRAME_BYTES = HEAD_BYTES + MOST_PACKETS * ADDRESSED_BYTES


@dataclass(frozen=True, slots=True)
class Frame:
    """``packets`` is the addressed packets one after the other: ``count`` times 2,286 bytes."""

    id: FrameId
    packets: bytes

    @property
    def count(self) -> int:
        return len(self.packets) // ADDRESSED_BYTES

    def __repr__(self) -> str:
        return f"Frame({self.id.hex()[:8]}, {self.count} packets)"


def slots(count: int) -> int:
    """How many slots a frame of ``count`` packets has."""
    return max(STEP, -(-count // STEP) * STEP)


def is_frame_size(size: int) -> bool:
    """Whether any frame has this many bytes: known from Content-Length, before the first byte is read."""
    filled, rest = divmod(size - HEAD_BYTES, ADDRESSED_BYTES)
    return rest == 0 and STEP <= filled <= MOST_PACKETS and filled % STEP == 0


def encode_frame(frame: Frame, fill: Callable[[int], bytes]) -> bytes:
    """
    The frame's bytes; ``fill(n)`` gives n random bytes.

    Filled anew at each sending: a resent frame differs in its filling, which nobody reads.
    """
    missing = (slots(frame.count) - frame.count) * ADDRESSED_BYTES
    return b"".join((frame.id, frame.count.to_bytes(2, "big"), frame.packets, fill(missing)))


def decode_frame(data: bytes) -> Frame:
    """Raises MalformedMessage (reason ``frame``) when size, count and filling don't agree."""
    if not is_frame_size(len(data)):
        raise MalformedMessage("frame")
    count = int.from_bytes(data[FRAME_ID_BYTES:HEAD_BYTES], "big")
    # One count for one size: a peer can't signal through the choice of a larger frame than it needs.
    if HEAD_BYTES + slots(count) * ADDRESSED_BYTES != len(data):
        raise MalformedMessage("frame")
    return Frame(FrameId(data[:FRAME_ID_BYTES]), data[HEAD_BYTES : HEAD_BYTES + count * ADDRESSED_BYTES])
