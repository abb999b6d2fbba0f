"""A bank's keys, one after the other: which of them counts where."""

import pytest

from bank.formats.entry import KeyChangeEntry, TermsEntry, check_entry, decode_entry
from bank.formats.succession import BankKeys, Cut, KeyChange
from bank.formats.terms import PublishedTerms
from mixmint.errors import MalformedMessage, PeerError
from mixmint.keys import SigningKey

FIRST, SECOND, THIRD = (SigningKey(bytes([number]) * 32) for number in (1, 2, 3))
AUTHORITIES = tuple(SigningKey(bytes([number]) * 32) for number in (11, 12, 13))
PUBLIC = frozenset(each.public for each in AUTHORITIES)
KEYS = BankKeys(FIRST.public)


def change(number: int, old: SigningKey, new: SigningKey, size: int) -> KeyChange:
    return KeyChange(KEYS.id, number, old.public, new.public, Cut(size, bytes(32)), 100)


def test_at_each_leaf_counts_the_key_that_was_in_force_there() -> None:
    """Below the cut the old key's word stands, from it on only the new one's."""
    keys = KEYS.after(change(1, FIRST, SECOND, 10)).after(change(2, SECOND, THIRD, 30))
    assert [keys.key_at(leaf) for leaf in (0, 9)] == [FIRST.public] * 2
    assert [keys.key_at(leaf) for leaf in (10, 29)] == [SECOND.public] * 2
    assert keys.key_at(30) == keys.current == THIRD.public
    assert keys.id == KEYS.id


def test_the_same_change_again_changes_nothing() -> None:
    """Whoever reads the board twice gets the same keys; other signatures of it are the same change."""
    once = KEYS.after(change(1, FIRST, SECOND, 10))
    assert once.after(change(1, FIRST, SECOND, 10).signed_by(AUTHORITIES[0])) == once


@pytest.mark.parametrize(
    "bad",
    [
        change(2, SECOND, THIRD, 30),
        change(1, SECOND, THIRD, 30),
        change(3, SECOND, THIRD, 30),
        change(2, FIRST, THIRD, 30),
        change(2, SECOND, FIRST, 30),
        change(2, SECOND, THIRD, 9),
    ],
    ids=["fits", "number-again", "number-left-out", "old", "back", "cut-before"],
)
def test_a_change_that_does_not_follow_is_refused(bad: KeyChange) -> None:
    """All but the first, which shows that the others are refused for what is changed in them."""
    keys = KEYS.after(change(1, FIRST, SECOND, 10))
    if bad == change(2, SECOND, THIRD, 30):
        assert keys.after(bad).current == THIRD.public
        return
    with pytest.raises(PeerError, match="succession"):
        keys.after(bad)


def test_a_change_holds_when_enough_authorities_signed_it() -> None:
    """Two of three; a stranger's signature, or one moved to another change, counts for nothing."""
    made = change(1, FIRST, SECOND, 10)
    one = made.signed_by(AUTHORITIES[0])
    two = one.signed_by(AUTHORITIES[1])
    assert two.holds(PUBLIC, 2)
    assert not one.holds(PUBLIC, 2)
    assert not one.signed_by(THIRD).holds(PUBLIC, 2)
    assert not one.signed_by(AUTHORITIES[0]).holds(PUBLIC, 2)
    assert not made.holds(PUBLIC, 0)
    moved = KeyChange(made.bank, 1, made.old, THIRD.public, made.cut, 100, two.signatures)
    assert not moved.holds(PUBLIC, 1)


def test_a_change_and_terms_are_entries_with_one_encoding() -> None:
    """Round trip; a byte more, a byte less, signatures out of order are malformed."""
    signed = change(1, FIRST, SECOND, 10).signed_by(AUTHORITIES[1]).signed_by(AUTHORITIES[0])
    terms = PublishedTerms(KEYS.id, 1, 3600, 12, 3, 60, 60, 600).signed_by(FIRST)
    assert terms.holds(FIRST.public)
    assert not terms.holds(SECOND.public)
    for entry in (KeyChangeEntry(signed), TermsEntry(terms)):
        data = entry.encode()
        check_entry(data)
        assert decode_entry(data) == entry
        for bad in (data + b"\0", data[:-1]):
            with pytest.raises(MalformedMessage):
                decode_entry(bad)
            with pytest.raises(MalformedMessage):
                check_entry(bad)
    one, other = signed.signatures
    swapped = KeyChange(signed.bank, 1, signed.old, signed.new, signed.cut, 100, (other, one))
    with pytest.raises(MalformedMessage, match="order-of-signatures"):
        decode_entry(KeyChangeEntry(swapped).encode())
