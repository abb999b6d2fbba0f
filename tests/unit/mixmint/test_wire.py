"""Canonical, strict, bounded msgpack."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmint.errors import MalformedMessage
from mixmint.wire import Bytes16, Message, UInt32, decode, encode


class Sample(Message, frozen=True):
    name: str
    id: Bytes16
    count: UInt32


SAMPLE = Sample("m1", bytes(16), 7)


@given(st.text(), st.binary(min_size=16, max_size=16), st.integers(0, 2**32 - 1))
def test_round_trip(name: str, id_: bytes, count: int) -> None:
    """What is encoded decodes to the same message, and to the same bytes."""
    message = Sample(name, id_, count)
    assert decode(encode(message), Sample, 10_000) == message


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encode(SAMPLE) + b"\x00", "encoding"),
        (encode(SAMPLE)[:-1], "encoding"),
        (b"", "encoding"),
        (msgspec.msgpack.encode(["m1", bytes(15), 7]), "encoding"),
        (msgspec.msgpack.encode(["m1", bytes(16), -1]), "encoding"),
        (msgspec.msgpack.encode(["m1", bytes(16), 2**32]), "encoding"),
        (msgspec.msgpack.encode(["m1", bytes(16)]), "encoding"),
        (msgspec.msgpack.encode([b"m1", bytes(16), 7]), "encoding"),
        (msgspec.msgpack.encode({"name": "m1", "id": bytes(16), "count": 7}), "encoding"),
        (b"\x93\xa2\xff\xff" + encode(SAMPLE)[4:], "encoding"),
        (b"\x91" * 5000, "encoding"),
        (encode(SAMPLE)[:-1] + b"\xcc\x07", "not-canonical"),
        (msgspec.msgpack.encode(["m1", bytes(16), 7, 8]), "encoding"),
        (bytes(10_001), "size"),
    ],
)
def test_hostile_bytes_are_refused_with_a_reason(data: bytes, reason: str) -> None:
    """Every refusal is a MalformedMessage whose reason is a counter's name."""
    with pytest.raises(MalformedMessage) as caught:
        decode(data, Sample, 10_000)
    assert caught.value.reason == reason


@given(st.binary(max_size=60))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    """No byte string raises anything else, and what decodes is canonical."""
    try:
        message = decode(data, Sample, 50)
    except MalformedMessage:
        return
    assert encode(message) == data
