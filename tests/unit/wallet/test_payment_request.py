"""Payment requests: the spec page's vector, and everything that a person can paste wrongly."""

from pathlib import Path

import pytest
import segno

from bank.formats.coin import CoinId
from bank.formats.order import Output
from mixmint.errors import MalformedMessage, UserError
from wallet.payment_request import (
    MOST_NOTE_BYTES,
    MOST_URI_CHARACTERS,
    PREFIX,
    PaymentRequest,
    ReplyTo,
    check_note,
    parse_uri,
)

PAGE = Path(__file__).parents[3] / "docs" / "spec" / "payment-request.md"
OUTPUTS = tuple(
    Output(CoinId(bytes([number]) * 32), exponent) for number, exponent in ((2, 0), (3, 2), (4, 3))
)
REQUEST = PaymentRequest(b"\x01" * 32, 1000, OUTPUTS, "two books")
REPLY = ReplyTo(b"\x06" * 32, (b"\x07" * 258, b"\x08" * 258))
HOLD = PaymentRequest(b"\x01" * 32, 1000, OUTPUTS, "two books", tau=b"\x05" * 32, reply=REPLY)


def vector() -> str:
    """The URI in the last section of the spec page, its lines put together."""
    section = PAGE.read_text().split("## 6. Vector")[1]
    return "".join(line.strip() for line in section.splitlines() if line.startswith("    "))


def test_the_pages_vector_is_this_request() -> None:
    """Both ways."""
    assert REQUEST.uri() == vector()
    assert parse_uri(vector()) == REQUEST
    assert REQUEST.units == 13


@pytest.mark.parametrize("tau", [bytes(32), b"\x05" * 32])
@pytest.mark.parametrize("reply", [None, REPLY, ReplyTo(b"\x06" * 32, REPLY.blocks[:1])])
def test_version_2_says_no_more_than_it_must(tau: bytes, reply: ReplyTo | None) -> None:
    """Without tau and blocks it is of version 1, which every wallet reads; each reads back as it was."""
    request = PaymentRequest(b"\x01" * 32, 1000, OUTPUTS, "two books", tau, reply)
    has_more = tau != bytes(32) or reply is not None
    assert request.encode()[0] == (2 if has_more else 1)
    assert parse_uri(request.uri()) == request
    assert (request.digest() == REQUEST.digest()) is not has_more


def test_the_longest_request_is_a_qr_code() -> None:
    """Sixteen coins, the longest note, a tau, two reply blocks."""
    outputs = tuple(Output(CoinId(bytes([number]) * 32), 20) for number in range(16))
    longest = PaymentRequest(bytes(32), 2**32 - 1, outputs, "x" * MOST_NOTE_BYTES, HOLD.tau, REPLY)
    assert len(longest.uri()) <= MOST_URI_CHARACTERS
    assert parse_uri(longest.uri()) == longest
    assert segno.make(longest.uri(), error="l").version <= 40


def test_white_space_around_it_is_allowed() -> None:
    """As pasting brings it."""
    assert parse_uri(f"\n  {REQUEST.uri()} \n") == REQUEST


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no payment request"),
        ("https://example.org/", "no payment request"),
        (PREFIX, "copy it again"),
        (REQUEST.uri()[:-1], "copy it again"),
        (REQUEST.uri() + "A", "copy it again"),
        (REQUEST.uri()[:40] + "!" + REQUEST.uri()[40:], "copy it again"),
        (REQUEST.uri()[:40] + "\n" + REQUEST.uri()[40:], "copy it again"),
        (REQUEST.uri().replace("A", "B", 1), "copy it again"),
        (PREFIX + "A" * 2000, "copy it again"),
    ],
)
def test_what_is_no_whole_request_is_refused_with_one_line(text: str, says: str) -> None:
    """What is wrong, and what to do."""
    with pytest.raises(UserError, match=says):
        parse_uri(text)


def test_any_changed_letter_is_found() -> None:
    """By the checksum, or because it isn't the one encoding."""
    uri = REQUEST.uri()
    for at in range(len(PREFIX), len(uri), 7):
        changed = uri[:at] + ("B" if uri[at] != "B" else "C") + uri[at + 1 :]
        with pytest.raises(UserError):
            parse_uri(changed)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x03" + REQUEST.encode()[1:], "version"),
        (b"\x02" + REQUEST.encode()[1:], "length"),
        (b"\x02" + REQUEST.encode()[1:] + bytes(32) + b"\x00", "counts"),
        (b"\x02" + REQUEST.encode()[1:] + bytes(32) + b"\x03" + bytes(32 + 3 * 258), "counts"),
        (HOLD.encode()[:-1], "length"),
        (REQUEST.encode()[:37] + b"\x00" + REQUEST.encode()[38:], "counts"),
        (REQUEST.encode()[:37] + b"\x11" + REQUEST.encode()[38:], "counts"),
        (REQUEST.encode() + b"\x00", "length"),
        (REQUEST.encode()[:-1], "length"),
        (PaymentRequest(bytes(32), 1, (OUTPUTS[1], OUTPUTS[0])).encode(), "order-of-outputs"),
        (PaymentRequest(bytes(32), 1, (OUTPUTS[0], OUTPUTS[0])).encode(), "order-of-outputs"),
        (PaymentRequest(bytes(32), 1, (Output(CoinId(bytes(32)), 21),)).encode(), "value"),
        (REQUEST.encode()[:-1] + b"\xff", "note"),
    ],
)
def test_other_bytes_are_refused_by_reason(data: bytes, reason: str) -> None:
    """Counts, order, values, text."""
    with pytest.raises(MalformedMessage) as refusal:
        PaymentRequest.decode(data)
    assert refusal.value.reason == reason


def test_notes_have_a_bound_in_bytes() -> None:
    """Not in letters."""
    assert check_note("é" * 127)
    with pytest.raises(UserError, match="shorten"):
        check_note("é" * 128)


def test_repr_shows_no_ids() -> None:
    """A log would link them."""
    assert OUTPUTS[0].coin.hex() not in repr(REQUEST)
    assert "units=13" in repr(REQUEST)
