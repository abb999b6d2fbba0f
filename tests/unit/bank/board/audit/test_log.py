"""The audit finds what a board does to its log: its rules, roots, past and receipts; honest logs pass."""

import dataclasses
from concurrent.futures import Executor
from pathlib import Path

import pytest

from bank.board.accusation.file import check_file
from bank.board.audit.audit import Audit
from bank.board.audit.chunk import CHUNK
from bank.board.audit.finding import Fault, Weight
from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from bank.board.log.tree import leaf_hash
from bank.board.receipts import sign_entry_receipt
from bank.formats.coin import coin_id
from bank.formats.entry import (
    AccountEntry,
    Kind,
    MapEntry,
    PostedEntry,
    RoundEntry,
    decode_entry,
    make_replaced_entry,
)
from bank.formats.statement import Tally
from mixmint.errors import PeerError
from mixmint.keys import SigningKey
from tests.unit.bank.board.accusation.cheats import BANK, BANK_ID, BOARD, certified
from tests.unit.bank.board.audit.books import VALUE, Books
from tests.unit.bank.board.audit.reports import NOW_S, audited, only
from tests.unit.bank.board.logs import BEGIN_S


async def test_an_honest_log_passes(books: Books, pool: Executor) -> None:
    """Withdrawals, exchanges, deposits, posted certificates, replaced coins, statements and maps."""
    books.fill(3)
    books.fill(2)
    replaced = coin_id(books.live.pop(0).public)
    books.tally = books.tally.plus(Tally(replaced=1))
    posted = certified(coin_id(books.live[0].public), *VALUE)
    books.close(
        [
            make_replaced_entry(BANK, BANK_ID, replaced, *VALUE).encode(),
            PostedEntry(posted.coin, *VALUE, posted.certificate).encode(),
            AccountEntry(bytes(32)).encode(),
        ]
    )
    books.fill(1)
    books.fill(1)
    report = await audited(books, pool)
    assert report.passed
    # The same certificate twice is noted, no more.
    assert [finding.fault for finding in report.findings] == [Fault.REPEATED]
    assert (report.statements, report.maps, report.rounds) == (4, 4, books.round)
    assert report.bank_key == BANK.public
    assert report.confirmed > 0
    assert report.checkpoint.size == len(books.leaves)


@pytest.mark.parametrize("size", [2, 255, 256, 257, 4095, 4096, 4097, 9000])
async def test_logs_of_all_sizes_lead_to_their_roots(books: Books, pool: Executor, size: int) -> None:
    """Whole chunks, whole blocks, and what is left over; with growth from sizes in between."""
    notes = [books.sign()]
    numbers = iter(range(1 << 30))
    while books.edge.size < size:
        more = max(0, min(300, size - books.edge.size - 1))
        books.close([AccountEntry(next(numbers).to_bytes(32)).encode() for _ in range(more)])
        notes.append(books.sign())
    for note in {notes[0], notes[len(notes) // 2]}:
        assert (await audited(books, pool, note)).passed


async def test_an_older_or_another_past_is_told_apart(books: Books, pool: Executor, tmp_path: Path) -> None:
    """Less than was seen before is late; other entries than were seen before are the board's two words."""
    books.fill(1)
    other = Books(tmp_path / "other")
    other.open()
    other.fill(1)
    for _ in range(3):
        seen = other.sign()
        report = await audited(books, pool, seen)
        if other.edge.size > books.edge.size:
            assert [finding.weight for finding in report.findings] == [Weight.LATE]
            assert report.passed
        else:
            whom, holds = only(report, Fault.GROWTH)
            assert holds
            assert whom == f"board {books.verifier.text()}"
        other.close([])
        if other.round == 5:
            for _ in range(3):
                books.close([])


async def test_the_last_checkpoint_must_be_the_boards(books: Books, pool: Executor, tmp_path: Path) -> None:
    """Somebody else's note measures nothing."""
    other = Books(tmp_path / "other", SigningKey.generate())
    other.open()
    with pytest.raises(PeerError):
        await audited(books, pool, other.sign())


async def test_entries_that_are_not_what_was_signed_are_found(books: Books, pool: Executor) -> None:
    """One byte of one bundle: then nothing else is said, since it would be about other entries."""
    books.fill(1)
    books.publish()
    path = next((books.folder.path / "tile" / "entries").glob("000.p/*"))
    paths = sorted(path.parent.iterdir(), key=lambda each: int(each.name))
    data = bytearray(paths[-1].read_bytes())
    data[40] ^= 1
    paths[-1].write_bytes(data)
    whom, holds = only(await audited(books, pool), Fault.TREE)
    assert not holds
    assert books.verifier.text() in whom


def unsorted(books: Books) -> None:
    books.round += 1
    entries = sorted(books.withdraw() for _ in range(3))
    mark = RoundEntry(books.round, BEGIN_S + 60, books.edge.size)
    books.append([*entries[::-1], mark.encode()])


def gap(books: Books) -> None:
    books.round += 1
    books.close([])


def overlapping(books: Books) -> None:
    books.round += 1
    books.append([RoundEntry(books.round, BEGIN_S + 60, books.edge.size - 1).encode()])


def before_its_time(books: Books) -> None:
    books.round += 1
    books.append([RoundEntry(books.round, BEGIN_S - 1, books.edge.size).encode()])


def malformed(books: Books) -> None:
    books.close([b"\x03short"])


def unfinished(books: Books) -> None:
    books.append([AccountEntry(bytes(32)).encode()])


@pytest.mark.parametrize(
    ("cheat", "fault"),
    [
        (unsorted, Fault.ORDER),
        (gap, Fault.MARK),
        (overlapping, Fault.MARK),
        (before_its_time, Fault.MARK),
        (malformed, Fault.MALFORMED),
        (unfinished, Fault.UNFINISHED),
    ],
)
async def test_a_board_that_breaks_its_rules_is_convicted(
    books: Books, pool: Executor, cheat: object, fault: Fault
) -> None:
    """Each by a file that holds by itself."""
    assert callable(cheat)
    books.fill(1)
    cheat(books)
    report = await audited(books, pool)
    findings = [finding for finding in report.findings if finding.fault == fault]
    assert findings
    assert findings[0].accusation is not None
    verdict = check_file(findings[0].accusation)
    assert verdict.holds
    assert verdict.whom.text() == f"board {books.verifier.text()}"


@pytest.mark.parametrize("fault", [Fault.ORDER, Fault.MARK])
async def test_what_is_wrong_between_two_pieces_of_work_is_found(
    books: Books, pool: Executor, fault: Fault
) -> None:
    """The last leaf of one chunk and the first of the next; the marks of two chunks."""
    names = [AccountEntry(number.to_bytes(32)).encode() for number in range(CHUNK - books.edge.size + 1)]
    if fault is Fault.ORDER:
        names[-2:] = reversed(names[-2:])
    else:
        books.round += 1
    books.round += 1
    books.append([*names, RoundEntry(books.round, BEGIN_S + 9, books.edge.size).encode()])
    whom, holds = only(await audited(books, pool), fault)
    assert holds
    assert whom == f"board {books.verifier.text()}"


async def test_a_wrong_map_root_is_found(books: Books, pool: Executor) -> None:
    """One coin fewer than the log has; one more; a map of the middle of a round."""
    books.fill(1)
    entry = decode_entry(books.map())
    assert isinstance(entry, MapEntry)
    books.close([dataclasses.replace(entry, root=bytes(32)).encode()])
    _, holds = only(await audited(books, pool), Fault.MAP)
    assert not holds


@pytest.mark.parametrize("change", [{"coins": 99}, {"size": 3}, {"round": 7}, {"size": 2**40}])
async def test_a_map_entry_that_lies_about_itself_is_found(
    books: Books, pool: Executor, change: dict[str, int]
) -> None:
    """About its coins, its place or its round."""
    books.fill(1)
    entry = decode_entry(books.map())
    assert isinstance(entry, MapEntry)
    books.close([dataclasses.replace(entry, **change).encode()])
    _, holds = only(await audited(books, pool), Fault.MAP)
    assert holds == ("coins" not in change)


async def test_receipts_that_were_shown_are_honoured_late_or_broken(books: Books, pool: Executor) -> None:
    """Each told from the others; somebody else's receipts say nothing of this board."""
    books.fill(2)
    books.publish()
    kept = leaf_hash(books.leaves[3])
    round_ = 1 + sum(leaf[0] == Kind.ROUND for leaf in books.leaves[:3])
    missing = bytes(32)
    receipts = [
        sign_entry_receipt(BOARD, kept, round_, 0),
        sign_entry_receipt(BOARD, missing, books.round + 1, books.round),
        sign_entry_receipt(BANK, missing, 1, 0),
    ]
    reader = LogReader(FolderSource(books.folder.path), books.verifier)
    report = await Audit(reader, pool, 2, receipts=receipts).run(NOW_S)
    assert [finding.weight for finding in report.findings] == [Weight.LATE, Weight.NOTE]
    for number in range(1, books.round + 1):
        broken = [sign_entry_receipt(BOARD, missing, number, 0)]
        whom, holds = only(await Audit(reader, pool, 2, receipts=broken).run(NOW_S), Fault.RECEIPT)
        assert holds
        assert whom == f"board {books.verifier.text()}"
