"""Addresses as text."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mix.packet.geometry import Token
from mixmint.errors import UserError
from replyblocks.address import PREFIX, Address, decode_address

ADDRESS = Address("village", "g1", Token(bytes(range(16))), bytes(range(32)), bytes(range(32, 64)))


def test_an_address_survives_a_round_trip_and_a_clumsy_paste() -> None:
    """Line breaks, spaces and capitals don't matter."""
    text = ADDRESS.encode()
    assert decode_address(text) == ADDRESS
    clumsy = " \n".join(text[at : at + 30].upper() for at in range(0, len(text), 30))
    assert decode_address(clumsy) == ADDRESS


@given(st.data())
def test_any_changed_character_is_noticed(data: st.DataObject) -> None:
    """A typing error never leads to a stranger's mailbox."""
    text = ADDRESS.encode()
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz234567").filter(lambda one: one != text[at]))
    with pytest.raises(UserError):
        decode_address(text[:at] + other + text[at + 1 :])


@given(st.text(max_size=300))
def test_any_text_is_an_address_or_a_user_error(text: str) -> None:
    """Never another exception."""
    for candidate in (text, PREFIX + text):
        with pytest.raises(UserError):
            decode_address(candidate)


def test_truncated_and_longer_texts_are_refused() -> None:
    """Every prefix, and anything behind the end."""
    text = ADDRESS.encode()
    for end in range(len(text)):
        with pytest.raises(UserError):
            decode_address(text[:end])
    for more in ("a", "aa", "=", "aaaaaaaa"):
        with pytest.raises(UserError):
            decode_address(text + more)


def test_an_address_that_nothing_can_be_sent_to_is_refused() -> None:
    """Its endpoint key is of small order, or not canonical: refused before anything is queued for it."""
    for endpoint in (bytes(32), bytes([1]) + bytes(31), bytes([0xFF]) * 32):
        with pytest.raises(UserError, match="no good"):
            decode_address(replace(ADDRESS, endpoint=endpoint).encode())


def test_the_encoding_is_frozen() -> None:
    """The vector of docs/spec/message.md."""
    payload = b"\x01" + ADDRESS.token + ADDRESS.endpoint + ADDRESS.sealing + b"\x07village" + b"g1"
    digits = ADDRESS.encode().removeprefix(PREFIX).upper()
    data = base64.b32decode(digits + "=" * (-len(digits) % 8))
    assert data[:-5] == payload
    assert data[-5:].hex() == "1b72768a2f"


def test_its_repr_shows_no_token() -> None:
    """Logs must not hold addresses."""
    assert "\\x0" not in repr(ADDRESS)
