"""Packets of long conversations: what is written is read, hostile bytes are dropped before they are kept."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mix.packet.build import ReplyBlock
from mix.packet.geometry import MESSAGE_BYTES, REPLY_BLOCK_BYTES
from mixmint.errors import MalformedMessage
from replyblocks.formats import Format
from replyblocks.long.formats import (
    MOST_PAIRS,
    Ask,
    Head,
    Part,
    decode_ask,
    decode_part,
    decode_state,
    encode_state,
)
from replyblocks.long.parts import MOST_BYTES, PART_BYTES, count_parts, cut, digest, from_bits, join, to_bits

ID = bytes(range(16))


def head(size: int) -> Head:
    return Head(ID, bytes(16), size, 1000)


@given(st.integers(0, 5 * PART_BYTES))
def test_what_is_cut_is_joined(size: int) -> None:
    """Every part fits a packet, and only all of them together are the bytes that the head names."""
    data = os.urandom(size)
    one = Head(ID, digest(data), size, 1000)
    packets = [Part(one, part, cut(data, part)).encode(Format.LONG_PART) for part in range(one.parts)]
    assert max(map(len, packets)) <= MESSAGE_BYTES
    parts = {part.part: part.data for part in (decode_part(each, Format.LONG_PART) for each in packets)}
    assert join(parts, one.digest) == data
    with pytest.raises(MalformedMessage, match="digest"):
        join(parts, digest(data + b"x"))


def test_a_question_fits_a_packet() -> None:
    """With as many reply blocks as there may be."""
    pairs = tuple((part, ReplyBlock(os.urandom(REPLY_BLOCK_BYTES))) for part in range(MOST_PAIRS))
    ask = Ask(head(10), 4, pairs)
    assert len(ask.encode()) <= MESSAGE_BYTES < len(ask.encode()) + REPLY_BLOCK_BYTES
    assert decode_ask(ask.encode()) == ask


@given(st.sets(st.integers(0, 20)))
def test_sets_of_parts_have_one_encoding(parts: set[int]) -> None:
    """And a bit for a part that there isn't makes it no set."""
    assert from_bits(to_bits(parts, 21), 21) == parts
    for wrong in (to_bits(parts, 21) + b"\0", to_bits(parts, 21)[:-1], to_bits({21}, 22)):
        with pytest.raises(MalformedMessage, match="bits"):
            from_bits(wrong, 21)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "length"),
        (Part(head(10), 0, bytes(9)).encode(Format.LONG_PART), "length"),
        (Part(head(10), 0, bytes(11)).encode(Format.LONG_PART), "length"),
        (Part(head(10), 1, b"").encode(Format.LONG_PART), "part"),
        (Part(head(PART_BYTES + 1), 0, b"x").encode(Format.LONG_PART), "length"),
        (Part(head(MOST_BYTES + 1), 0, bytes(PART_BYTES)).encode(Format.LONG_PART), "size"),
        (Part(head(2**32 - 1), 65535, bytes(PART_BYTES)).encode(Format.LONG_PART), "size"),
        (Part(head(10), 0, bytes(10)).encode(Format.LONG_ANSWER), "format"),
    ],
    ids=["nothing", "short", "long", "beyond", "not-full", "too-much", "far-too-much", "an-answer"],
)
def test_hostile_parts_are_dropped(data: bytes, reason: str) -> None:
    """Wrong counts and sizes are seen before anything is stored."""
    with pytest.raises(MalformedMessage, match=reason):
        decode_part(data, Format.LONG_PART)


def test_hostile_questions_and_states_are_dropped() -> None:
    """Too many blocks or none, half a block, another request."""
    block = ReplyBlock(bytes(REPLY_BLOCK_BYTES))
    good = Ask(head(10), 0, ((0, block),)).encode()
    for wrong, reason in (
        (Ask(head(10), 0, ()).encode(), "length"),
        (good[:-1], "length"),
        (good + b"\0", "length"),
        (Ask(head(10), 5, ((0, block),)).encode(), "attempt"),
        (Ask(head(MOST_BYTES + 1), 0, ((0, block),)).encode(), "size"),
    ):
        with pytest.raises(MalformedMessage, match=reason):
            decode_ask(wrong)
    state = encode_state(ID, b"\x80")
    assert decode_state(state, ID) == b"\x80"
    for wrong, reason in ((state[:17], "length"), (b"\x01" + state[1:], "format")):
        with pytest.raises(MalformedMessage, match=reason):
            decode_state(wrong, ID)
    with pytest.raises(MalformedMessage, match="foreign"):
        decode_state(state, bytes(16))


def test_a_mebibyte_is_some_hundred_packets() -> None:
    """The bound is the size's, so it is the parts' too."""
    assert count_parts(MOST_BYTES) == 528
    assert count_parts(0) == 1
