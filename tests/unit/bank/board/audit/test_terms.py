"""The audit reads the bank's terms: whose they are, in which order, and whether they take from coins."""

from concurrent.futures import Executor

import pytest

from bank.board.audit.audit import Audit, Report
from bank.board.audit.finding import Fault, Weight
from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from bank.formats.entry import TermsEntry
from bank.ledger import Terms
from mixmint.keys import SigningKey
from tests.unit.bank.board.accusation.cheats import BANK, BANK_ID
from tests.unit.bank.board.audit.books import Books
from tests.unit.bank.board.logs import BEGIN_S

GENEROUS = Terms(life_epochs=14, claim_rounds=700)


def entry(terms: Terms, number: int, key: SigningKey = BANK) -> bytes:
    return TermsEntry(terms.published(key, BANK_ID, number)).encode()


async def audited(books: Books, pool: Executor, *rounds: bytes) -> Report:
    for each in rounds:
        books.close([each])
    books.publish()
    reader = LogReader(FolderSource(books.folder.path), books.verifier)
    return await Audit(reader, pool, 2, None).run(BEGIN_S + 60)


async def test_terms_that_follow_each_other_pass(books: Books, pool: Executor) -> None:
    """More life, other rounds; and the same entry again, which a board may repeat."""
    report = await audited(
        books, pool, entry(Terms(), 1), entry(GENEROUS, 2), entry(GENEROUS, 2), entry(GENEROUS, 3)
    )
    assert not [finding for finding in report.findings if finding.fault == Fault.TERMS]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (entry(Terms(), 2), "life of 14"),
        (entry(Terms(life_epochs=14, grace_epochs=1), 2), "17 epochs"),
        (entry(Terms(epoch_s=60, life_epochs=14), 2), "2592000 seconds"),
        (entry(GENEROUS, 3), "follow number 1"),
        (entry(Terms(life_epochs=14), 1), "follow number 1"),
    ],
    ids=["life", "grace", "epoch", "left-out", "number-twice"],
)
async def test_terms_for_the_worse_or_out_of_order_are_found(
    books: Books, pool: Executor, second: bytes, words: str
) -> None:
    """Whether the bank wrote them, or the board left some out: that only both know."""
    report = await audited(books, pool, entry(GENEROUS, 1), second)
    (found,) = [finding for finding in report.findings if finding.fault == Fault.TERMS]
    assert words in found.sentence
    assert (found.weight, found.against) == (Weight.CHEAT, "the board, or its bank")
    assert not report.passed


async def test_terms_that_the_bank_never_signed_are_false_entries(books: Books, pool: Executor) -> None:
    """And count for nothing: the true ones around them follow each other."""
    false = entry(Terms(life_epochs=2), 2, SigningKey.generate())
    report = await audited(books, pool, entry(GENEROUS, 1), false, entry(Terms(life_epochs=14), 2))
    assert {finding.fault for finding in report.findings} == {Fault.FALSE}
