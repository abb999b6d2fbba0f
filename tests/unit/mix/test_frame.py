"""Frames: fixed sizes, one encoding for one content."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mix.frame import (
    HEAD_BYTES,
    MOST_FRAME_BYTES,
    MOST_PACKETS,
    Frame,
    FrameId,
    decode_frame,
    encode_frame,
    is_frame_size,
    slots,
)
from mix.packet.geometry import ADDRESSED_BYTES
from mixmint.errors import MalformedMessage

ID = FrameId(bytes(range(16)))


@given(st.integers(0, MOST_PACKETS))
def test_a_frame_comes_back_and_shows_only_sixteens(count: int) -> None:
    """Round trip; the size tells ceil(count / 16) and nothing finer."""
    frame = Frame(ID, os.urandom(count * ADDRESSED_BYTES))
    data = encode_frame(frame, os.urandom)
    assert decode_frame(data) == frame
    assert len(data) == HEAD_BYTES + max(16, (count + 15) // 16 * 16) * ADDRESSED_BYTES
    assert is_frame_size(len(data))


def test_an_empty_frame_looks_like_one_of_sixteen() -> None:
    """An observer can't tell whether a link carries anything."""
    assert len(encode_frame(Frame(ID, b""), os.urandom)) == HEAD_BYTES + 16 * ADDRESSED_BYTES
    assert slots(0) == slots(16) == 16
    assert slots(17) == 32


def test_filling_is_new_each_time_and_the_packets_are_not() -> None:
    """A resent frame carries the same packets under the same id."""
    frame = Frame(ID, os.urandom(ADDRESSED_BYTES))
    first, second = encode_frame(frame, os.urandom), encode_frame(frame, os.urandom)
    assert first != second
    assert decode_frame(first) == decode_frame(second)


@pytest.mark.parametrize(
    "size",
    [
        0,
        1,
        HEAD_BYTES,
        HEAD_BYTES + ADDRESSED_BYTES,
        HEAD_BYTES + 16 * ADDRESSED_BYTES - 1,
        HEAD_BYTES + 17 * ADDRESSED_BYTES,
        MOST_FRAME_BYTES + 16 * ADDRESSED_BYTES,
    ],
)
def test_a_size_that_no_frame_has_is_refused_before_reading(size: int) -> None:
    """The check needs Content-Length only."""
    assert not is_frame_size(size)
    with pytest.raises(MalformedMessage, match="frame"):
        decode_frame(bytes(size))


@pytest.mark.parametrize("count", [17, 32, 256, 300, 65535])
def test_a_count_that_does_not_fit_its_size_is_refused(count: int) -> None:
    """A peer can't signal by sending a larger frame than it needs, nor make us read past the end."""
    data = ID + count.to_bytes(2, "big") + bytes(16 * ADDRESSED_BYTES)
    with pytest.raises(MalformedMessage, match="frame"):
        decode_frame(data)
    larger = ID + (16).to_bytes(2, "big") + bytes(32 * ADDRESSED_BYTES)
    with pytest.raises(MalformedMessage, match="frame"):
        decode_frame(larger)


def test_the_repr_shows_no_packet() -> None:
    """Frames end up in logs of failed tests and in tracebacks."""
    packets = os.urandom(ADDRESSED_BYTES)
    assert packets.hex()[:8] not in repr(Frame(ID, packets))
