"""Requests and answers as bytes."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mix.packet.build import ReplyBlock
from mix.packet.geometry import MESSAGE_BYTES, REPLY_BLOCK_BYTES
from mixmint.errors import MalformedMessage
from replyblocks.formats import (
    ANSWER_BODY_BYTES,
    REQUEST_BODY_BYTES,
    RequestMessage,
    decode_answer,
    decode_request,
    encode_answer,
)

BLOCKS = (ReplyBlock(os.urandom(REPLY_BLOCK_BYTES)), ReplyBlock(os.urandom(REPLY_BLOCK_BYTES)))
ID = bytes(range(16))


@given(st.binary(max_size=REQUEST_BODY_BYTES), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_requests_round_trip(body: bytes, attempt: int, expires_s: int) -> None:
    """Every field comes back."""
    message = RequestMessage(ID, attempt, expires_s, BLOCKS, body)
    assert decode_request(message.encode()) == message


def test_the_longest_request_and_answer_fill_a_packet() -> None:
    """Exactly one packet, and not a byte more."""
    assert len(RequestMessage(ID, 0, 0, BLOCKS, bytes(REQUEST_BODY_BYTES)).encode()) == MESSAGE_BYTES
    assert len(encode_answer(ID, bytes(ANSWER_BODY_BYTES))) == MESSAGE_BYTES
    with pytest.raises(ValueError, match="at most"):
        RequestMessage(ID, 0, 0, BLOCKS, bytes(REQUEST_BODY_BYTES + 1)).encode()
    with pytest.raises(ValueError, match="at most"):
        encode_answer(ID, bytes(ANSWER_BODY_BYTES + 1))


@given(st.binary(max_size=700))
def test_any_bytes_are_a_request_or_malformed(data: bytes) -> None:
    """Never another exception, and what is accepted has one encoding."""
    for candidate in (data, b"\x01" + bytes(540) + data):
        try:
            assert decode_request(candidate).encode() == candidate
        except MalformedMessage:
            continue


@pytest.mark.parametrize("change", [(0, 2), (17, 5), (538, 1), (539, 9)])
def test_wrong_fields_are_refused(change: tuple[int, int]) -> None:
    """Format, attempt, both bytes of the length."""
    data = bytearray(RequestMessage(ID, 0, 0, BLOCKS, b"body").encode())
    data[change[0]] = change[1]
    with pytest.raises(MalformedMessage):
        decode_request(bytes(data))


def test_answers_belong_to_their_request() -> None:
    """A service that mixes up two answers is noticed."""
    data = encode_answer(ID, b"yes")
    assert decode_answer(data, ID) == b"yes"
    with pytest.raises(MalformedMessage, match="foreign"):
        decode_answer(data, bytes(16))
    for broken in (data[:-1], data + b"x", b"\x01" + data[1:], data[:10], b""):
        with pytest.raises(MalformedMessage):
            decode_answer(broken, ID)
