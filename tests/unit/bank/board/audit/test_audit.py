"""The audit finds each cheat in a log, and accuses by a file that holds by itself; honest logs pass."""

import dataclasses
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from bank.board.accusation.file import check_file
from bank.board.audit.audit import LATE_S, Audit, Report
from bank.board.audit.chunk import CHUNK
from bank.board.audit.finding import Fault, Weight
from bank.board.audit.run import tell
from bank.board.audit.spill import Spilled
from bank.board.log.note import Note
from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from bank.board.log.tree import leaf_hash
from bank.board.receipts import sign_entry_receipt
from bank.formats.coin import coin_id
from bank.formats.entry import (
    AccountEntry,
    ClaimEntry,
    Entry,
    Kind,
    MapEntry,
    PostedEntry,
    RoundEntry,
    StatementEntry,
    decode_entry,
    make_replaced_entry,
)
from bank.formats.statement import MOST_ROWS, Row, Tally, sign_statement, units_of
from mixmint.errors import PeerError, UserError
from mixmint.keys import SigningKey
from tests.unit.bank.board.accusation.cheats import BANK, BANK_ID, BOARD, certified, fresh_id, spent
from tests.unit.bank.board.audit.books import VALUE, Books
from tests.unit.bank.board.logs import BEGIN_S

NOW_S = BEGIN_S + 60


@pytest.fixture
def pool() -> Iterator[Executor]:
    """Threads stand in for processes: the work is the same, and its start costs nothing."""
    with ThreadPoolExecutor(2) as made:
        yield made


@pytest.fixture
def books(tmp_path: Path) -> Books:
    made = Books(tmp_path / "log")
    made.open()
    return made


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


@pytest.mark.parametrize("confirmed", [False, True])
async def test_a_coin_spent_twice_is_found(books: Books, pool: Executor, *, confirmed: bool) -> None:
    """Far apart in the log; with the bank's word for it, it is the bank's doing."""
    books.fill(1)
    coin = books.live[0]
    books.close([books.deposit()])
    books.fill(1)
    books.close([spent(coin, os.urandom(32)).encode()])
    if confirmed:
        books.close([books.state(tally=books.tally)])
    whom, holds = only(await audited(books, pool), Fault.ENDED_TWICE)
    assert holds
    assert is_bank(whom) == confirmed


async def test_a_spent_entry_repeated_is_noted_only(books: Books, pool: Executor) -> None:
    """The same order's entry gives nothing out a second time."""
    books.fill(1)
    entry = books.deposit()
    books.close([entry])
    books.close([entry])
    report = await audited(books, pool)
    assert report.passed
    assert [finding.fault for finding in report.findings] == [Fault.REPEATED]


async def test_a_coin_spent_and_replaced_is_found(books: Books, pool: Executor) -> None:
    """In the bank's own confirmed words."""
    books.fill(1)
    coin = coin_id(books.live[0].public)
    books.close([books.deposit()])
    books.close([make_replaced_entry(BANK, BANK_ID, coin, *VALUE).encode()])
    books.close([books.state()])
    whom, holds = only(await audited(books, pool), Fault.ENDED_TWICE)
    assert holds
    assert is_bank(whom)


async def test_an_id_certified_twice_is_found(books: Books, pool: Executor) -> None:
    """Whoever posted the second certificate, the bank signed both."""
    books.fill(1)
    other = certified(coin_id(books.live[0].public), VALUE[0], VALUE[1] + 1)
    books.close([PostedEntry(other.coin, other.exponent, other.epoch, other.certificate).encode()])
    whom, holds = only(await audited(books, pool), Fault.CERTIFIED_TWICE)
    assert holds
    assert is_bank(whom)


async def test_a_coin_spent_without_certificate_is_found(books: Books, pool: Executor) -> None:
    """Only the whole log shows that there is none."""
    books.fill(1)
    books.close([spent(SigningKey.generate(), bytes(32)).encode()])
    _, holds = only(await audited(books, pool), Fault.NEVER_CERTIFIED)
    assert not holds


@pytest.mark.parametrize("confirmed", [False, True])
async def test_a_false_signature_is_found(books: Books, pool: Executor, *, confirmed: bool) -> None:
    """A spent entry that the coin didn't sign: taken for its own by the bank, or not."""
    books.fill(1)
    false = dataclasses.replace(spent(books.live[0], bytes(32)), signature=bytes(64)).encode()
    books.close([false])
    if confirmed:
        books.close([books.state()])
    whom, holds = only(await audited(books, pool), Fault.FALSE)
    assert holds
    assert is_bank(whom) == confirmed


async def test_a_false_posted_certificate_needs_the_log(books: Books, pool: Executor) -> None:
    """It isn't the bank's doing, and whose key it should bear only the log says."""
    books.fill(1)
    books.close([PostedEntry(fresh_id(), *VALUE, bytes(64)).encode()])
    whom, holds = only(await audited(books, pool), Fault.FALSE)
    assert not holds
    assert not is_bank(whom)


async def test_a_hundred_false_entries_are_a_few_files_and_a_number(books: Books, pool: Executor) -> None:
    """A flood of lies hides nothing and fills no disk."""
    books.fill(1)
    coin = SigningKey.generate()
    for _ in range(100):
        books.close([dataclasses.replace(spent(coin, os.urandom(32)), signature=bytes(64)).encode()])
    books.close([spent(books.live[0], bytes(32)).encode(), spent(books.live[0], bytes([1]) * 32).encode()])
    report = await audited(books, pool)
    assert {finding.fault for finding in report.findings} == {Fault.FALSE, Fault.ENDED_TWICE}
    assert sum(finding.accusation is not None for finding in report.findings) == 9
    assert any("92 more" in finding.sentence for finding in report.findings)


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


async def test_another_banks_log_is_not_audited_as_full_of_lies(books: Books, pool: Executor) -> None:
    """Whoever names a wrong key is told so."""
    books.fill(1)
    books.publish()
    reader = LogReader(FolderSource(books.folder.path), books.verifier)
    with pytest.raises(UserError, match=BANK.public.hex()):
        await Audit(reader, pool, 2, bank_key=bytes(32)).run(NOW_S)
    assert (await Audit(reader, pool, 2, bank_key=BANK.public).run(NOW_S)).passed


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
