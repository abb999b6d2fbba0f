"""What the audit can't judge it says, and accuses nobody of it."""

from concurrent.futures import Executor

import pytest

from bank.board.audit.audit import LATE_S, Audit
from bank.board.audit.finding import Weight
from bank.board.audit.run import tell
from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from bank.formats.entry import ClaimEntry
from mixmint.errors import UserError
from tests.unit.bank.board.accusation.cheats import BANK
from tests.unit.bank.board.audit.books import Books
from tests.unit.bank.board.audit.reports import NOW_S, audited


async def test_another_banks_log_is_not_audited_as_full_of_lies(books: Books, pool: Executor) -> None:
    """Whoever names a wrong key is told so."""
    books.fill(1)
    books.publish()
    reader = LogReader(FolderSource(books.folder.path), books.verifier)
    with pytest.raises(UserError, match=BANK.public.hex()):
        await Audit(reader, pool, 2, bank_key=bytes(32)).run(NOW_S)
    assert (await Audit(reader, pool, 2, bank_key=BANK.public).run(NOW_S)).passed


async def test_a_board_that_stands_still_is_late_and_no_thief(books: Books, pool: Executor) -> None:
    """The audit passes, and says what it means."""
    books.fill(1)
    report = await audited(books, pool, now_s=NOW_S + LATE_S)
    assert report.passed
    assert [finding.weight for finding in report.findings] == [Weight.LATE]


async def test_entries_of_a_kind_to_come_are_counted_and_accuse_nobody(books: Books, pool: Executor) -> None:
    """A newer board may know more."""
    books.close([b"\x50something new"])
    report = await audited(books, pool)
    assert report.passed
    assert report.kinds[0x50] == 1
    assert any("unknown kinds" in what for what in report.unchecked)


async def test_what_could_not_be_checked_is_said(books: Books, pool: Executor) -> None:
    """A bank that never states, or stops confirming, isn't told from an honest one: so it isn't praised."""
    books.close([books.withdraw(), books.withdraw()])
    never = await audited(books, pool)
    assert never.passed
    assert never.unchecked[0].startswith("2 entries about coins, of this log")
    books.close([books.state()])
    assert (await audited(books, pool)).unchecked == []
    old = books.edge.size
    books.close([*books.exchange(), ClaimEntry(bytes(3)).encode()])
    # Of the same old place: nothing behind it is ever confirmed.
    books.close([books.state(size=old)])
    stopped = await audited(books, pool)
    assert stopped.passed
    (coins,) = stopped.unchecked
    assert coins.startswith(f"2 entries about coins, behind the first {old}")
    assert tell(stopped, [None] * len(stopped.findings)).endswith(
        "Whatever could be checked is as it must be."
    )
