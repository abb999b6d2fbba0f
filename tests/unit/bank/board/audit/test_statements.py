"""The audit finds statements that contradict the log or each other, and value that was made from nothing."""

from concurrent.futures import Executor
from pathlib import Path

import pytest

from bank.board.accusation.file import check_file
from bank.board.audit.finding import Fault
from bank.board.audit.spill import Spilled
from bank.formats.entry import AccountEntry, Entry, StatementEntry
from bank.formats.statement import MOST_ROWS, Row, Tally, sign_statement, units_of
from tests.unit.bank.board.accusation.cheats import BANK, BANK_ID, certified, fresh_id
from tests.unit.bank.board.audit.books import VALUE, Books
from tests.unit.bank.board.audit.reports import audited, is_bank, only


async def test_a_statement_with_too_few_certificates_is_found(books: Books, pool: Executor) -> None:
    """Value created: a certificate that the bank gave out beside its books."""
    books.fill(1)
    hidden = certified(fresh_id(), *VALUE).encode()
    books.close([hidden])
    books.close([books.state()])
    whom, holds = only(await audited(books, pool), Fault.VALUE)
    assert holds
    assert is_bank(whom)


async def test_a_certificate_of_another_value_beside_the_books_is_found(books: Books, pool: Executor) -> None:
    """No row speaks of it, but the running totals do."""
    books.fill(1)
    books.close([certified(fresh_id(), 20, 7).encode()])
    books.close([books.state()])
    whom, holds = only(await audited(books, pool), Fault.VALUE)
    assert holds
    assert is_bank(whom)


async def test_certificates_of_a_value_that_is_stated_no_more_are_found(books: Books, pool: Executor) -> None:
    """
    Coins that are always on their way (stated, and shown a statement later) make room in the running totals
    for others, of a value whose row is never repeated.
    """
    books.fill(1)
    standing = Row(*VALUE, books.tally)
    for number in range(2, 5):
        # Stated, and published after this statement.
        coming = Row(VALUE[0], 2, Tally(withdrawn=number))
        size = books.edge.size
        statement = sign_statement(
            BANK, BANK_ID, number, size, books.root(size), units_of([standing, coming]), [coming]
        )
        books.close([StatementEntry(statement).encode()])
        books.close([certified(fresh_id(), VALUE[0], 2).encode()])
        if number == 2:
            books.close([certified(fresh_id(), VALUE[0], 2).encode()])
            assert (await audited(books, pool)).passed
            books.close([certified(fresh_id(), *VALUE).encode()])
    _, holds = only(await audited(books, pool), Fault.VALUE)
    assert not holds


async def test_a_statement_that_counts_what_never_became_public_is_found(
    books: Books, pool: Executor
) -> None:
    """Room for coins to come; the next statement shows that nothing was on its way."""
    books.fill(1)
    books.tally = books.tally.plus(Tally(withdrawn=1))
    books.close([books.state()])
    assert (await audited(books, pool)).passed
    books.close([books.state()])
    _, holds = only(await audited(books, pool), Fault.OVERSTATED)
    assert not holds


async def test_statements_that_contradict_each_other_are_found(books: Books, pool: Executor) -> None:
    """Counts that fall, two statements of one number, one that doesn't balance."""
    books.fill(1)
    before = books.tally
    books.close([books.withdraw()])
    books.close([books.state()])
    books.close([books.state(size=2, tally=before)])
    whom, holds = only(await audited(books, pool), Fault.STATEMENT)
    assert holds
    assert is_bank(whom)


async def test_a_missing_statement_is_found(books: Books, pool: Executor) -> None:
    """Numbers have no gaps."""
    books.fill(1)
    books.close([books.state(number=3)])
    _, holds = only(await audited(books, pool), Fault.STATEMENT)
    assert not holds


async def test_a_statement_about_entries_to_come_is_found(books: Books, pool: Executor) -> None:
    """A bank can't have read what stands behind its own statement."""
    books.fill(1)
    later = Books(books.folder.path.with_name("later"))
    later.append(books.leaves)
    later.tally = books.tally
    later.sequence = books.sequence
    for _ in range(3):
        later.close([])
    books.close([later.state()])
    _, holds = only(await audited(books, pool), Fault.STATEMENT)
    assert not holds


async def test_a_statements_price_does_not_grow_with_those_before_it(
    books: Books, pool: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bank that repeats every row in every statement can't make its audit last for days."""
    decoded = 0
    read = Spilled.entry

    def counted(self: Spilled, at: int) -> Entry:
        nonlocal decoded
        decoded += 1
        return read(self, at)

    monkeypatch.setattr(Spilled, "entry", counted)
    values = [(0, epoch) for epoch in range(MOST_ROWS)]
    for number in range(1, 4):
        rows = [Row(*value, Tally()) for value in values]
        size = books.edge.size
        made = sign_statement(BANK, BANK_ID, number, size, books.root(size), Tally(), rows)
        books.close([StatementEntry(made).encode()])
    assert (await audited(books, pool)).passed
    assert decoded < 20


async def test_a_count_that_falls_behind_other_statements_is_found(books: Books, pool: Executor) -> None:
    """The row's last statement isn't the one before; the running totals hide it."""
    books.fill(1)
    size, fallen = books.edge.size, books.tally.plus(Tally(spent=1, deposited=1), -1)
    row, other = Row(*VALUE, books.tally), Row(VALUE[0], 2, Tally(withdrawn=1))
    for number, rows, totals in (
        (2, [other], units_of([row, other])),
        (3, [Row(*VALUE, fallen)], units_of([row, other])),
    ):
        made = sign_statement(BANK, BANK_ID, number, size, books.root(size), totals, rows)
        books.close([StatementEntry(made).encode()])
    whom, holds = only(await audited(books, pool), Fault.STATEMENT)
    assert holds
    assert is_bank(whom)


async def test_rows_that_do_not_come_to_the_totals_are_found(books: Books, pool: Executor) -> None:
    """A sum that hides a value: only all statements together show it."""
    books.fill(1)
    size, totals = books.edge.size, units_of([Row(*VALUE, books.tally)]).plus(Tally(withdrawn=64))
    statement = sign_statement(BANK, BANK_ID, 2, size, books.root(size), totals, ())
    books.close([StatementEntry(statement).encode()])
    _, holds = only(await audited(books, pool), Fault.STATEMENT)
    assert not holds


async def test_two_statements_of_one_number_are_found(books: Books, pool: Executor) -> None:
    """The second one comes from a bank that forgot the first."""
    books.fill(1)
    books.close([books.withdraw()])
    books.close([books.state(number=1)])
    report = await audited(books, pool)
    assert any(
        finding.fault == Fault.STATEMENT and finding.accusation and check_file(finding.accusation).holds
        for finding in report.findings
    )


async def test_a_statement_of_another_log_accuses_bank_or_board(
    books: Books, pool: Executor, tmp_path: Path
) -> None:
    """The bank read something else than everyone."""
    other = Books(tmp_path / "other")
    other.open()
    other.close([AccountEntry(bytes(32)).encode()])
    strange = other.state()
    books.close([AccountEntry(bytes([1]) * 32).encode()])
    books.close([])
    books.close([strange])
    whom, holds = only(await audited(books, pool), Fault.TWO_VIEWS)
    assert holds
    assert books.verifier.text() in whom
    assert BANK.public.hex() in whom
