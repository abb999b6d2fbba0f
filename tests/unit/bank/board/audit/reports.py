"""An audit of books, and what is read in its report."""

from concurrent.futures import Executor

from bank.board.accusation.file import check_file
from bank.board.audit.audit import Audit, Report
from bank.board.audit.finding import Fault, Weight
from bank.board.log.note import Note
from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from tests.unit.bank.board.accusation.cheats import BANK, BANK_ID
from tests.unit.bank.board.audit.books import Books
from tests.unit.bank.board.logs import BEGIN_S

NOW_S = BEGIN_S + 60


async def audited(books: Books, pool: Executor, since: Note | None = None, now_s: float = NOW_S) -> Report:
    books.publish()
    reader = LogReader(FolderSource(books.folder.path), books.verifier)
    return await Audit(reader, pool, 2, since).run(now_s)


def only(report: Report, fault: Fault) -> tuple[str, bool]:
    """The one fault found: whom it accuses, and whether its file holds alone."""
    assert not report.passed
    assert {finding.fault for finding in report.findings} == {fault}, report.findings
    finding = report.findings[0]
    assert finding.weight is Weight.CHEAT
    assert finding.accusation is not None
    verdict = check_file(finding.accusation)
    assert finding.against == verdict.whom.text()
    return finding.against, verdict.holds


def is_bank(whom: str) -> bool:
    return whom == f"bank {BANK_ID.hex()} with key {BANK.public.hex()}"
