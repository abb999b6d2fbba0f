"""A wallet learns the bank's terms from the board."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bank.board.reading.client import Cursor
from bank.formats.entry import KeyEntry, TermsEntry
from bank.ledger import Terms
from mixmint.keys import SigningKey
from tests.unit.wallet.town import Town
from wallet.terms import newest_terms

KEY, OTHER = SigningKey(bytes(32)), SigningKey(b"\1" * 32)
BANK = b"b" * 32


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with Town(tmp_path) as made:
        yield made


def entry(number: int, key: SigningKey = KEY, bank: bytes = BANK, **terms: int) -> TermsEntry:
    return TermsEntry(Terms(**terms).published(key, bank, number))


def test_the_newest_that_the_bank_signed_count() -> None:
    """Neither a stranger's, nor another bank's, nor older ones that a board repeats."""
    good = [entry(2, claim_rounds=9), entry(1)]
    bad = [entry(3, OTHER), entry(4, bank=b"c" * 32)]
    assert newest_terms(None, [*bad, *good], BANK, KEY.public) == good[0].terms
    assert newest_terms(good[0].terms, [entry(1), *bad], BANK, KEY.public) == good[0].terms
    assert newest_terms(None, [*bad, KeyEntry(BANK, KEY.public, bytes(64))], BANK, KEY.public) is None


@pytest.mark.parametrize("less", [{"life_epochs": 1}, {"grace_epochs": 0}, {"epoch_s": 1}])
def test_terms_that_take_from_coins_are_not_believed(less: dict[str, int]) -> None:
    """The bank's own hand, and its newest: but what coins were promised stays promised."""
    before, worse, after = entry(1), entry(2, **less), entry(3, life_epochs=13)
    assert newest_terms(None, [before, worse], BANK, KEY.public) == before.terms
    assert newest_terms(None, [before, worse, after], BANK, KEY.public) == after.terms


async def test_terms_are_read_from_rounds_and_kept(town: Town) -> None:
    """Also by the next process; a wallet that begins later reads them from the bank's entries."""
    early, late = town.wallet("early"), town.wallet("late")
    assert early.books.terms() is None
    with early.purse.transaction():
        early.purse.set_fact("cursor", Cursor().encode())
    await early.teller.sync()
    known = early.books.terms()
    assert known is not None
    assert Terms.of(known) == town.signer.terms
    town.close(early)
    assert town.wallet("early").books.terms() == known
    with late.purse.transaction():
        late.books.learn_terms([TermsEntry(known)], 0)
    assert late.books.terms() == known
