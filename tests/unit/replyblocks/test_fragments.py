"""Cutting and joining, and the sealed envelope."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mix.packet.build import ReplyBlock
from mix.packet.geometry import MESSAGE_BYTES, REPLY_BLOCK_BYTES
from mixmint.errors import MalformedMessage
from mixmint.keys import BoxKey
from replyblocks.envelope import (
    MOST_BLOCKS,
    MOST_TEXT_BYTES,
    Envelope,
    longest_text,
    open_envelope,
    parts_for,
    seal_envelope,
    sealed_size,
)
from replyblocks.fragments import DATA_BYTES, MOST_PARTS, decode_fragment, join, message_id, split

KEY = BoxKey(bytes(range(32)))


@given(st.integers(1, 12 * DATA_BYTES), st.randoms(use_true_random=False))
def test_fragments_round_trip_in_any_order(size: int, random: object) -> None:
    """Shuffled, with copies among them: the same message, and every packet but the last is full."""
    sealed = os.urandom(size)
    encoded = [fragment.encode() for fragment in split(sealed)]
    assert {len(data) for data in encoded[:-1]} <= {MESSAGE_BYTES}
    mixed = encoded + [random.choice(encoded) for _ in range(3)]
    random.shuffle(mixed)
    fragments = [decode_fragment(data) for data in mixed]
    assert join(message_id(sealed), {one.part: one.data for one in fragments}) == sealed


@given(st.binary(max_size=300))
def test_any_bytes_are_a_fragment_or_malformed(data: bytes) -> None:
    """Never another exception, and what is accepted has one encoding."""
    for candidate in (data, b"\x03" + data):
        try:
            assert decode_fragment(candidate).encode() == candidate
        except MalformedMessage:
            continue


def test_joined_parts_must_be_the_message() -> None:
    """One wrong byte in one fragment, and it is nobody's message."""
    parts = {one.part: one.data for one in split(bytes(5000))}
    parts[1] = b"\x01" + parts[1][1:]
    with pytest.raises(MalformedMessage, match="message-id"):
        join(message_id(bytes(5000)), parts)


def test_what_is_too_long_is_not_cut() -> None:
    """The bound is exact."""
    assert len(split(bytes(MOST_PARTS * DATA_BYTES))) == MOST_PARTS
    with pytest.raises(ValueError, match="at most"):
        split(bytes(MOST_PARTS * DATA_BYTES + 1))


@given(st.text(max_size=200), st.integers(0, 5))
def test_envelopes_round_trip(text: str, count: int) -> None:
    """Text and blocks come out as they went in, in the size that was computed."""
    blocks = tuple(ReplyBlock(os.urandom(REPLY_BLOCK_BYTES)) for _ in range(count))
    envelope = Envelope(os.urandom(32), blocks, text)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return
    sealed = seal_envelope(envelope, KEY.public)
    assert len(sealed) == sealed_size(size, count)
    assert open_envelope(sealed, KEY) == envelope


def test_two_sealings_of_one_message_have_nothing_in_common() -> None:
    """The ephemeral key is fresh."""
    envelope = Envelope(bytes(32), (), "hello")
    assert seal_envelope(envelope, KEY.public)[:32] != seal_envelope(envelope, KEY.public)[:32]


@given(st.data())
def test_a_changed_envelope_does_not_open(data: st.DataObject) -> None:
    """Any byte, or the wrong key."""
    sealed = bytearray(seal_envelope(Envelope(bytes(32), (), "hello"), KEY.public))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(MalformedMessage, match="sealed"):
        open_envelope(bytes(sealed), KEY)
    with pytest.raises(MalformedMessage, match="sealed"):
        open_envelope(bytes(sealed), BoxKey(bytes(32)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "length"),
        (b"\x02" + bytes(33), "version"),
        (b"\x01" + bytes(32) + b"\x01" + bytes(257), "length"),
        (b"\x01" + bytes(32) + bytes([MOST_BLOCKS + 1]) + bytes((MOST_BLOCKS + 1) * 258), "length"),
        (b"\x01" + bytes(33) + bytes(MOST_TEXT_BYTES + 1), "length"),
        (b"\x01" + bytes(33) + b"\xff\xfe", "text"),
        (b"\x01" + bytes(33) + b"\xed\xa0\x80", "text"),
    ],
)
def test_hostile_contents_are_malformed(content: bytes, reason: str) -> None:
    """A stranger can seal anything to an address."""
    from nacl import bindings

    with pytest.raises(MalformedMessage, match=reason):
        open_envelope(bindings.crypto_box_seal(content, KEY.public), KEY)


def test_a_small_order_address_key_is_refused() -> None:
    """Nobody could open what is sealed to it, or everybody could."""
    with pytest.raises(ValueError, match="sealed"):
        seal_envelope(Envelope(bytes(32), (), "hello"), bytes(32))


@given(st.integers(1, 36), st.integers(0, MOST_BLOCKS))
def test_the_longest_text_just_fits(parts: int, blocks: int) -> None:
    """One byte more takes one packet more, or is over the bound."""
    longest = longest_text(parts, blocks)
    if longest:
        assert parts_for(longest, blocks) <= parts
        assert longest == MOST_TEXT_BYTES or parts_for(longest + 1, blocks) == parts + 1
    assert parts_for(MOST_TEXT_BYTES, MOST_BLOCKS) <= MOST_PARTS
