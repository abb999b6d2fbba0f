"""bank/board/writing/journal.py and coins.py: what is written, on a real database; and what becomes files."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bank.board.feed import Batch
from bank.board.log.folder import TileFolder
from bank.board.log.tree import leaf_hash, root_of
from bank.board.reading.cursor import MOST_ROUND_BYTES
from bank.board.rounds import FULL_ROUND_BYTES, check_round, is_mark
from bank.board.totals import Totals
from bank.board.writing import journal as written
from bank.board.writing.coins import SLICES, CoinIndex
from bank.board.writing.journal import MIGRATIONS, MOST_UNPUBLISHED, Sequenced, Taken
from bank.formats.coin import bank_id
from bank.formats.entry import MOST_ENTRY_BYTES, AnswerEntry, PostedEntry, decode_entry, make_replaced_entry
from mixmint.database import open_database
from mixmint.errors import FatalError, Unavailable

MAKERS = 6
NOTE = b"a note"
T = TypeVar("T")


class Journal:
    """A database and files, with transactions as store and publisher make them."""

    def __init__(self, folder: Path, round_entries: int = 1000) -> None:
        folder.mkdir(exist_ok=True)
        self.connection = open_database(folder / "board.db", MIGRATIONS, durable=False)
        self.folder = TileFolder(folder / "log")
        self.round_entries = round_entries
        self.index = CoinIndex(lambda first, stop: self.folder.entries(first, stop, stop))
        self.index.load(self.connection, self.head.number, self.head.size)

    @property
    def head(self) -> written.ClosedRound:
        return written.head(self.connection)[0]

    def take(self, first: int, groups: Sequence[Sequence[bytes]]) -> Taken:
        batch = Batch(first, groups)
        return self.run(lambda db: written.take_batch(db, batch, self.round_entries, self.head.number))

    def sequence(self, now_s: float = 200.0) -> Sequenced:
        return self.run(lambda db: self._sequence(db, now_s))

    def _sequence(self, db: sqlite3.Connection, now_s: float) -> Sequenced:
        edge_at = lambda closed: self.folder.edge(closed.size)  # noqa: E731 - as short as it is
        return written.sequence(db, self.index, edge_at, self.head.number, now_s)

    def close_round(self, now_s: float = 200.0) -> None:
        sequenced = self.sequence(now_s)
        self.folder.write(sequenced.files)
        self.run(lambda db: written.commit(db, sequenced.closed, NOTE))

    def fail_to_sequence(self) -> None:
        """As when the disk is full at COMMIT: all was done, and nothing of it lasts."""
        self.connection.execute("BEGIN IMMEDIATE")
        self._sequence(self.connection, 300.0)
        self.connection.execute("ROLLBACK")

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(self.connection)
        except BaseException:
            # SQLite ends the transaction itself when the disk is full.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        return result

    def rounds(self) -> list[list[bytes]]:
        """Every round's entries, after all checks that a reader makes, and some more."""
        head, found, leaves, first, closed_s = self.head, [], [], 0, 0
        for _, part in self.folder.entries(0, head.size, head.size):
            for leaf in part:
                leaves.append(leaf)
                if is_mark(leaf):
                    found.append(leaves[first:])
                    mark = check_round(found[-1], len(found), first, closed_s)
                    row = self.connection.execute("SELECT * FROM rounds WHERE round = ?", (len(found),))
                    closed = written.read_round(row.fetchone())
                    assert (closed.first, closed.size, closed.closed_at_s) == (
                        first,
                        len(leaves),
                        mark.closed_at_s,
                    )
                    assert closed.root == root_of([leaf_hash(leaf) for leaf in leaves])
                    first, closed_s = len(leaves), mark.closed_at_s
        assert first == head.size
        return [entries[:-1] for entries in found]

    def find(self, coin: bytes) -> list[int]:
        return self.index.find(self.connection, coin)

    @property
    def totals(self) -> Totals:
        return self.head.totals


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


def test_groups_wait_for_the_round_and_come_out_sorted(journal: Journal, mint) -> None:
    """What waits is promised for the next round; nothing of it is shown before."""
    taken = journal.take(1, [[mint.spent(1), mint.certified(2)], [mint.certified(1)]])
    assert taken == Taken(True, 3, 1, 0)
    assert journal.rounds() == []
    journal.close_round()
    assert journal.rounds() == [sorted([mint.certified(1), mint.certified(2), mint.spent(1)])]
    assert journal.take(3, []) == Taken(True, 3, 1, 1)


@pytest.mark.parametrize("first", [1, 2, 4, 2**40])
def test_a_batch_that_does_not_begin_where_expected_is_not_taken_at_all(
    journal: Journal, mint, first: int
) -> None:
    """A replay, an overlap and a gap all get the number to go on with."""
    journal.take(1, [[mint.certified(1)], [mint.certified(2)]])
    again = journal.take(first, [[mint.certified(3)], [mint.certified(4)]])
    assert (again.taken, again.next_group, again.round) == (False, 3, 1)
    journal.close_round()
    assert len(journal.rounds()[0]) == 2


def test_a_full_round_takes_no_more_and_groups_are_told_their_own(tmp_path: Path, mint) -> None:
    """An order's entries are never split over two rounds, and the round promised is the exact one."""
    journal = Journal(tmp_path, round_entries=3)
    groups = [[mint.certified(2 * n), mint.certified(2 * n + 1)] for n in range(1, 6)]
    assert journal.take(1, groups) == Taken(True, 6, 3, 2)
    assert journal.take(6, [[mint.certified(20)]]) == Taken(True, 7, 3, 3)
    for _ in range(3):
        journal.close_round()
    assert [len(entries) for entries in journal.rounds()] == [4, 4, 3]


def test_long_entries_close_a_round_before_it_is_too_long_for_readers(journal: Journal) -> None:
    """A bank may feed answers of 32 KB; with 64 MiB of them in one round, no reader would ever go on."""
    answers = [AnswerEntry(bytes([n]) * (MOST_ENTRY_BYTES - 1)).encode() for n in range(31)]
    for first in range(1, 41):
        taken = journal.take(first, [answers])
    assert taken.round == 3
    assert taken.full == 2
    for _ in range(3):
        journal.close_round()
    sizes = [sum(map(len, entries)) for entries in journal.rounds()]
    assert sum(sizes) == 40 * 31 * MOST_ENTRY_BYTES
    assert max(sizes) < FULL_ROUND_BYTES + (1 << 20) < MOST_ROUND_BYTES


def test_groups_without_entries_are_counted_and_stored_nowhere(tmp_path: Path, mint) -> None:
    """They stand for changes of the bank's books that show nothing; no round is opened for one."""
    journal = Journal(tmp_path, round_entries=1)
    assert journal.take(1, [[], [mint.certified(1)], [], []]) == Taken(True, 5, 1, 1)
    assert journal.connection.execute("SELECT count(*) FROM waiting").fetchone() == (1,)


def test_what_comes_while_a_round_is_on_its_way_is_for_the_next(journal: Journal, mint) -> None:
    """A sequenced round's leaves are fixed, though its checkpoint isn't signed yet."""
    journal.take(1, [[mint.certified(1)]])
    sequenced = journal.sequence()
    assert journal.take(2, [[mint.certified(2)]]).round == 2
    again = journal.sequence(now_s=900.0)
    assert (again.closed, again.files) == (sequenced.closed, sequenced.files)
    journal.close_round()
    journal.close_round()
    assert journal.rounds() == [[mint.certified(1)], [mint.certified(2)]]


def test_a_second_process_that_signed_is_noticed(journal: Journal, mint) -> None:
    """Compare and swap: whoever comes second must not show its signature."""
    sequenced = journal.sequence()
    journal.close_round()
    with pytest.raises(FatalError, match="another process"):
        journal.run(lambda db: written.commit(db, sequenced.closed, NOTE))


def test_with_too_many_full_rounds_behind_nothing_is_taken(tmp_path: Path, mint) -> None:
    """The backlog is bounded; the clock may still be asked for, and it goes on when a round is out."""
    journal = Journal(tmp_path, round_entries=1)
    journal.take(1, [[mint.certified(n)] for n in range(1, MOST_UNPUBLISHED + 1)])
    more = MOST_UNPUBLISHED + 1
    with pytest.raises(Unavailable):
        journal.take(more, [[mint.certified(more)]])
    assert journal.take(more, []).taken
    journal.close_round()
    assert journal.take(more, [[mint.certified(more)]]).round == more


def test_a_busy_feed_does_not_keep_others_out_and_they_are_bounded_too(tmp_path: Path, mint) -> None:
    """Claims against a bank must get in beside whatever it feeds."""
    journal = Journal(tmp_path, round_entries=1)
    journal.take(1, [[mint.certified(n)] for n in range(1, MOST_UNPUBLISHED + 1)])
    for n in range(MOST_UNPUBLISHED):
        journal.run(lambda db: written.submit(db, [mint.certified(100 + n)], 1, 0))  # noqa: B023 - run at once
    with pytest.raises(Unavailable):
        journal.run(lambda db: written.submit(db, [mint.certified(99)], 1, 0))


def test_after_a_recovery_the_bank_says_where_to_go_on(journal: Journal, mint) -> None:
    """It does so twice, the first time asking for the clock only; a bank that goes on blindly is told."""
    journal.run(lambda db: db.execute("UPDATE feed SET next_group = 0"))
    assert journal.take(50, [[mint.certified(1)]]) == Taken(False, 0, 0, 0)
    assert journal.take(41, []) == Taken(False, 0, 0, 0)
    assert journal.take(50, [[mint.certified(1)]]) == Taken(False, 0, 0, 0)
    assert journal.take(41, [[mint.certified(1)]]) == Taken(False, 0, 0, 0)
    # A bank that is still reading the log asks for the clock again and again, with a number too low.
    assert journal.take(40, []).next_group == journal.take(40, []).next_group == 0
    assert journal.take(41, []).next_group == 0
    assert journal.take(41, [[mint.certified(1)]]) == Taken(True, 42, 1, 0)
    assert not journal.take(41, [[mint.certified(1)]]).taken


def test_submitted_entries_come_into_the_round_that_is_open(journal: Journal, mint) -> None:
    """They wait beside the feed's, in one round."""
    journal.take(1, [[mint.certified(1)]])
    taken = journal.run(lambda db: written.submit(db, [mint.spent(1), mint.spent(2)], 1000, 0))
    assert taken.round == 1
    journal.close_round()
    assert journal.rounds() == [sorted([mint.certified(1), mint.spent(1), mint.spent(2)])]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_however_the_outbox_is_cut_groups_stay_whole_and_nothing_is_lost_or_doubled(
    tmp_path_factory: pytest.TempPathFactory, mint, data: st.DataObject
) -> None:
    """Any batches, closings and restarts in between: the log is the outbox, in order, in whole groups."""
    path = tmp_path_factory.mktemp("cut")
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=12))
    numbers = iter(range(1, 1000))
    groups = [[mint.certified(next(numbers)) for _ in range(size)] for size in sizes]
    journal = Journal(path, round_entries=data.draw(st.integers(1, 8)))
    at, promised = 0, {}
    while at < len(groups):
        count = data.draw(st.integers(1, len(groups) - at))
        try:
            taken = journal.take(at + 1, groups[at : at + count])
        except Unavailable:
            journal.close_round()
            continue
        assert taken.taken
        assert not journal.take(at + 1, groups[at : at + count]).taken
        at += count
        promised[at] = taken.round
        if data.draw(st.booleans()):
            journal.close_round()
        if data.draw(st.booleans()):
            journal.sequence()
        if data.draw(st.booleans()):
            journal.connection.close()
            journal = Journal(path, journal.round_entries)
    while journal.head.number < taken.round:
        journal.close_round()
    rounds = journal.rounds()
    assert sorted(entry for entries in rounds for entry in entries) == sorted(
        entry for group in groups for entry in group
    )
    where = {entry: number for number, entries in enumerate(rounds, start=1) for entry in entries}
    places = [{where[entry] for entry in group} for group in groups]
    assert all(len(place) == 1 for place in places)
    assert [min(place) for place in places] == sorted(min(place) for place in places)
    assert {at: min(places[at - 1]) for at in promised} == promised
    assert journal.connection.execute("SELECT count(*) FROM waiting").fetchone() == (0,)
    journal.connection.close()


def test_empty_rounds_close_and_the_clock_never_runs_backwards(journal: Journal) -> None:
    """Rounds are the network's clock, also when the machine's is set back."""
    for now_s in (500.9, 300.0, 501.0):
        journal.close_round(now_s)
    closed = [row[0] for row in journal.connection.execute("SELECT closed_at FROM rounds ORDER BY round")]
    assert closed == [500, 500, 501]
    assert journal.rounds() == [[], [], []]


def test_a_full_disk_leaves_the_state_before_and_the_next_attempt_goes_on(journal: Journal, mint) -> None:
    """Nothing half-written, and the same batch is taken once there is room."""
    journal.take(1, [[mint.certified(1)]])
    (pages,) = journal.connection.execute("PRAGMA page_count").fetchone()
    journal.connection.execute(f"PRAGMA max_page_count={pages}")
    groups = [[mint.certified(n)] for n in range(2, 200)]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        journal.take(2, groups)
    assert journal.take(5, []).next_group == 2
    journal.connection.execute("PRAGMA max_page_count=1000000")
    assert journal.take(2, groups).taken
    journal.close_round()
    assert len(journal.rounds()[0]) == 199


def test_totals_follow_the_entries(journal: Journal, mint) -> None:
    """Certified, spent, coins and accounts; a coin made and spent in one round counts as both."""
    account = b"\x02" + b"a" * 32
    journal.take(1, [[account], [mint.certified(1, 3), mint.certified(2, 2), mint.spent(1)]])
    journal.close_round()
    assert journal.totals == Totals(12, 8, 2, 1, 1, 0, 0)
    journal.take(3, [[mint.spent(2), mint.certified(3, 0)]])
    journal.close_round()
    assert journal.totals == Totals(13, 12, 3, 2, 1, 0, 0)


def test_a_cheating_bank_is_recorded_and_counted(journal: Journal, mint) -> None:
    """Certified twice, spent twice, spent without being certified: all stay on the board, as evidence."""
    journal.take(1, [[mint.certified(1, 3)], [mint.spent(1)], [mint.certified(1, 5)]])
    journal.close_round()
    journal.take(4, [[mint.spent(1, b"f" * 32)], [mint.spent(9)], [mint.certified(1, 3)]])
    journal.close_round()
    assert journal.totals == Totals(8, 8, 1, 1, 0, 3, 1)
    assert len(journal.find(mint.coin(1))) == 5
    assert len(journal.find(mint.coin(9))) == 1
    assert sum(len(entries) for entries in journal.rounds()) == 6


def posted(mint, number: int, exponent: int = 0, epoch: int = 1) -> bytes:
    """The certificate of a coin, put on the board by its holder."""
    entry = decode_entry(mint.certified(number, exponent, epoch))
    return PostedEntry(entry.coin, entry.exponent, entry.epoch, entry.certificate).encode()


def replaced(mint, number: int, exponent: int = 0) -> bytes:
    """The bank took a coin back."""
    bank = bank_id(mint.bank.public)
    return make_replaced_entry(mint.bank, bank, mint.coin(number), exponent, 1).encode()


def test_a_certificate_that_its_holder_posts_counts_once_and_accuses_nobody(journal: Journal, mint) -> None:
    """Before or after the bank's own entry; only another value or epoch of the same coin is evidence."""
    journal.take(1, [[posted(mint, 1, 3)], [mint.certified(2, 2)], [posted(mint, 2, 2)]])
    journal.close_round()
    journal.take(4, [[mint.certified(1, 3)], [posted(mint, 1, 3)]])
    journal.close_round()
    assert journal.totals == Totals(12, 0, 2, 0, 0, 0, 0)
    assert len(journal.find(mint.coin(1))) == 2
    journal.take(6, [[posted(mint, 1, 4)], [mint.certified(3, 1)], [posted(mint, 3, 1, epoch=2)]])
    journal.close_round()
    assert (journal.totals.repeats, journal.totals.certified_units) == (2, 14)
    assert len(journal.find(mint.coin(1))) == 3


def test_a_replaced_coin_leaves_circulation_and_ends_only_once(journal: Journal, mint) -> None:
    """Replaced twice, or spent as well: evidence."""
    journal.take(1, [[mint.certified(1, 3), mint.certified(2, 2)], [replaced(mint, 1, 3)]])
    journal.close_round()
    assert journal.totals == Totals(12, 0, 2, 0, 0, 0, 0, 8, 1)
    assert journal.totals.outstanding_units == 4
    journal.take(3, [[mint.spent(1)], [replaced(mint, 1, 3)], [mint.spent(2)], [replaced(mint, 2, 2)]])
    journal.close_round()
    assert journal.totals == Totals(12, 4, 2, 1, 0, 3, 0, 8, 1)
    assert len(journal.find(mint.coin(1))) == 4


rounds_of_events = st.lists(
    st.tuples(
        st.lists(
            st.one_of(
                st.tuples(st.just("certified"), st.integers(1, MAKERS), st.integers(0, 3)),
                st.tuples(st.just("spent"), st.integers(1, MAKERS), st.integers(0, 1)),
            ),
            max_size=6,
        ),
        st.sampled_from((0, 0, 1, SLICES - 1, SLICES, 40)),
        st.sampled_from(("go on", "restart", "restart on the way", "fail")),
    ),
    max_size=5,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=rounds_of_events)
def test_the_index_agrees_with_a_plain_model(
    tmp_path_factory: pytest.TempPathFactory, mint, rounds: list[tuple[list[tuple[str, int, int]], int, str]]
) -> None:
    """Whatever a bank publishes, over restarts, quiet times and failed commits: as a dictionary says."""
    path = tmp_path_factory.mktemp("model")
    journal = Journal(path)
    value: dict[int, int] = {}
    spent: set[int] = set()
    places: dict[int, list[int]] = {}
    repeats = unknown = group = 0
    for events, quiet, then in rounds:
        groups = [[_entry(mint, event)] for event in events]
        assert journal.take(group + 1, groups).taken
        group += len(groups)
        if then == "fail":
            journal.fail_to_sequence()
        if then == "restart on the way":
            journal.sequence()
            journal.connection.close()
            journal = Journal(path)
        index = journal.head.size
        journal.close_round()
        for _, (kind, coin, extra) in sorted(zip([group[0] for group in groups], events, strict=True)):
            places.setdefault(coin, []).append(index)
            index += 1
            if kind == "certified":
                repeats += coin in value
                value.setdefault(coin, 1 << extra)
            else:
                repeats += coin in spent
                unknown += coin not in spent and coin not in value
                spent.add(coin)
        for coin in range(1, MAKERS + 1):
            assert journal.find(mint.coin(coin)) == places.get(coin, [])
        for _ in range(quiet):
            journal.close_round()
        if then == "restart":
            journal.connection.close()
            journal = Journal(path)
    known = spent & value.keys()
    assert journal.totals == Totals(
        sum(value.values()), sum(value[c] for c in known), len(value), len(known), 0, repeats, unknown
    )
    for coin in range(1, MAKERS + 1):
        assert journal.find(mint.coin(coin)) == places.get(coin, [])
    journal.connection.close()


def test_a_coin_is_found_while_its_row_is_being_written(journal: Journal, mint, tmp_path: Path) -> None:
    """Readers beside an open transaction see neither its rows nor those that it took out of memory."""
    journal.take(1, [[mint.certified(1)]])
    journal.close_round()
    reader = open_database(tmp_path / "board.db", MIGRATIONS)
    for _ in range(SLICES + 1):
        journal.connection.execute("BEGIN IMMEDIATE")
        sequenced = journal._sequence(journal.connection, 200.0)
        assert journal.index.find(reader, mint.coin(1)) == [0]
        journal.connection.execute("COMMIT")
        journal.folder.write(sequenced.files)
        journal.run(lambda db: written.commit(db, sequenced.closed, NOTE))  # noqa: B023 - run at once
    reader.close()


def test_after_as_many_rounds_as_slices_every_row_is_in_the_table(journal: Journal, mint) -> None:
    """What waits in memory never waits longer, so a restart has only that much to read again."""
    journal.take(1, [[mint.certified(n)] for n in range(1, 200)])
    for _ in range(SLICES):
        journal.close_round()
    assert journal.connection.execute("SELECT count(*) FROM coins").fetchone() == (199,)


def _entry(mint, event: tuple[str, int, int]) -> bytes:
    kind, coin, extra = event
    return mint.certified(coin, extra) if kind == "certified" else mint.spent(coin, bytes([extra]) * 32)
