"""Where an order's entries must stand on the board."""

import pytest

from bank.formats.coin import CoinId, CoinKey
from bank.formats.entry import CertifiedEntry, Entry, PostedEntry, RoundEntry, SpentEntry
from bank.formats.order import Order, Output, sign_order
from mixmint.errors import PeerError
from mixmint.keys import SigningKey
from wallet.receipts.executed import executed

KEY = SigningKey(b"k" * 32)
PAID, CHANGE = Output(CoinId(bytes([1]) * 32), 3), Output(CoinId(bytes([2]) * 32), 0)
ORDER = sign_order(Order(bytes(32), bytes(16), 9, (CoinKey(KEY.public),), (PAID, CHANGE)), [KEY], bytes(16))
SPENT = SpentEntry(KEY.public, ORDER.seal, ORDER.signatures[0])
MARKS: dict[int, Entry] = {9: RoundEntry(4, 0, 0), 19: RoundEntry(5, 0, 10), 29: RoundEntry(6, 0, 20)}


def own(output: Output) -> CertifiedEntry:
    return CertifiedEntry(output.coin, output.exponent, 1, bytes(64))


def posted(output: Output) -> PostedEntry:
    return PostedEntry(output.coin, output.exponent, 1, bytes(64))


def shown_in(found: dict[int, Entry]) -> int:
    """With the marks of the rounds that have any; the round that is named."""
    marks = {end: mark for end, mark in MARKS.items() if any(end - 9 <= at < end for at in found)}
    return executed(found | marks, ORDER.seal, ORDER.order.inputs, ORDER.order.outputs)[0].number


def test_what_holders_posted_may_come_later() -> None:
    """Each in a round of its own; the payment was made when all of it was there."""
    assert shown_in({11: own(CHANGE), 12: own(PAID), 13: SPENT}) == 5
    assert shown_in({11: own(CHANGE), 13: SPENT, 24: posted(PAID)}) == 6
    assert shown_in({1: SPENT, 15: posted(CHANGE), 24: posted(PAID)}) == 6


@pytest.mark.parametrize(
    "found",
    [
        {11: own(CHANGE), 13: SPENT, 24: own(PAID)},
        {1: own(CHANGE), 13: SPENT, 14: posted(PAID)},
        {1: posted(CHANGE), 12: own(PAID), 13: SPENT},
    ],
)
def test_nothing_else_may_be_in_another_round(found: dict[int, Entry]) -> None:
    """A certificate of the bank's own, or one that was there before the order's coins were spent."""
    with pytest.raises(PeerError, match="not all in one round"):
        shown_in(found)


def test_each_mark_is_of_a_round_that_has_something() -> None:
    """And none is missing."""
    entries: dict[int, Entry] = {11: own(CHANGE), 12: own(PAID), 13: SPENT}
    for marks in (MARKS, {}, {29: MARKS[29]}):
        with pytest.raises(PeerError, match="mark of their round"):
            executed(entries | marks, ORDER.seal, ORDER.order.inputs, ORDER.order.outputs)
