"""bank/board/journal.py and coins.py: what is written, on a real database."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bank.board.coins import SLICES, CoinIndex, find_coin
from bank.board.feed import Batch
from bank.board.journal import GENESIS, MIGRATIONS, Taken, close_round, newest_round, read_round, take_batch
from bank.board.rounds import check_round, unpack
from bank.board.totals import Totals
from mixmint.database import open_database
from mixmint.keys import SigningKey

KEY = SigningKey(b"k" * 32)
MAKERS = 6


class Journal:
    """A database with transactions as the store makes them."""

    def __init__(self, path: Path, round_entries: int = 1000) -> None:
        self.connection = open_database(path, MIGRATIONS, durable=False)
        self.round_entries = round_entries
        self.index = CoinIndex()

    def take(self, first: int, groups: Sequence[Sequence[bytes]]) -> Taken:
        batch = Batch(first, groups)
        return self._run(
            lambda connection: take_batch(
                connection, KEY, self.index, batch.encode(), batch, self.round_entries, 100.5
            )
        )

    def close_round(self, now_s: float = 200.0) -> None:
        self._run(lambda connection: close_round(connection, KEY, self.index, now_s))

    def fail_to_close(self) -> None:
        """As when the disk is full at COMMIT: all was done, and nothing of it lasts."""
        self.connection.execute("BEGIN IMMEDIATE")
        close_round(self.connection, KEY, self.index, 300.0)
        self.connection.execute("ROLLBACK")

    def _run(self, work: Callable[[sqlite3.Connection], object]) -> Taken:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(self.connection)
        except BaseException:
            # SQLite ends the transaction itself when the disk is full.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        return result  # type: ignore[return-value]

    def rounds(self) -> list[list[bytes]]:
        """Every round's entries, after all checks that a reader makes."""
        found, head = [], GENESIS.round
        for row in self.connection.execute("SELECT * FROM rounds ORDER BY round").fetchall():
            round_ = read_round(row).round
            bundle = self.connection.execute(
                "SELECT entries FROM bundles WHERE round = ?", (round_.number,)
            ).fetchone()
            entries = unpack(bundle[0]) if bundle else []
            check_round(round_, entries, KEY.public)
            assert (round_.number, round_.first, round_.previous) == (head.number + 1, head.next, head.digest)
            found.append(entries)
            head = round_
        return found

    @property
    def totals(self) -> Totals:
        return newest_round(self.connection).totals


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "board.db")


def test_groups_wait_for_the_round_and_come_out_sorted(journal: Journal, mint) -> None:
    """What waits is promised for the next round; nothing of it is shown before."""
    taken = journal.take(1, [[mint.spent(1), mint.certified(2)], [mint.certified(1)]])
    assert taken.taken
    assert taken.receipt.holds(
        KEY.public, Batch(1, [[mint.spent(1), mint.certified(2)], [mint.certified(1)]]).encode()
    )
    assert (taken.receipt.next_group, taken.receipt.round, taken.receipt.newest_closed) == (3, 1, 0)
    assert journal.rounds() == []
    journal.close_round()
    assert journal.rounds() == [sorted([mint.certified(1), mint.certified(2), mint.spent(1)])]
    after = journal.take(3, []).receipt
    assert (after.next_group, after.round, after.newest_closed) == (3, 1, 1)


@pytest.mark.parametrize("first", [1, 2, 4, 2**40])
def test_a_batch_that_does_not_begin_where_expected_is_not_taken_at_all(
    journal: Journal, mint, first: int
) -> None:
    """A replay, an overlap and a gap all get the number to go on with."""
    journal.take(1, [[mint.certified(1)], [mint.certified(2)]])
    again = journal.take(first, [[mint.certified(3)], [mint.certified(4)]])
    assert (again.taken, again.receipt.next_group, again.receipt.round) == (False, 3, 1)
    journal.close_round()
    assert len(journal.rounds()[0]) == 2


def test_a_full_round_closes_after_the_group_that_filled_it(tmp_path: Path, mint) -> None:
    """An order's entries are never split over two rounds."""
    journal = Journal(tmp_path / "board.db", round_entries=3)
    groups = [[mint.certified(2 * n), mint.certified(2 * n + 1)] for n in range(1, 6)]
    taken = journal.take(1, groups)
    assert [len(entries) for entries in journal.rounds()] == [4, 4]
    assert len(taken.closed) == 2
    assert (taken.receipt.round, taken.receipt.newest_closed) == (3, 2)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_however_the_outbox_is_cut_groups_stay_whole_and_nothing_is_lost_or_doubled(
    tmp_path_factory: pytest.TempPathFactory, mint, data: st.DataObject
) -> None:
    """Any batches, closings and restarts in between: the log is the outbox, in order, in whole groups."""
    path = tmp_path_factory.mktemp("cut") / "board.db"
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=12))
    numbers = iter(range(1, 1000))
    groups = [[mint.certified(next(numbers)) for _ in range(size)] for size in sizes]
    journal = Journal(path, round_entries=data.draw(st.integers(1, 8)))
    at = 0
    while at < len(groups):
        count = data.draw(st.integers(1, len(groups) - at))
        assert journal.take(at + 1, groups[at : at + count]).taken
        assert not journal.take(at + 1, groups[at : at + count]).taken
        at += count
        if data.draw(st.booleans()):
            journal.close_round()
        if data.draw(st.booleans()):
            journal.connection.close()
            journal = Journal(path, journal.round_entries)
    journal.close_round()
    rounds = journal.rounds()
    assert sorted(entry for entries in rounds for entry in entries) == sorted(
        entry for group in groups for entry in group
    )
    where = {entry: number for number, entries in enumerate(rounds) for entry in entries}
    places = [{where[entry] for entry in group} for group in groups]
    assert all(len(place) == 1 for place in places)
    assert [min(place) for place in places] == sorted(min(place) for place in places)
    journal.connection.close()


def test_empty_rounds_close_and_the_clock_never_runs_backwards(journal: Journal) -> None:
    """Rounds are the network's clock, also when the machine's is set back."""
    for now_s in (500.9, 300.0, 501.0):
        journal.close_round(now_s)
    closed = [row[6] for row in journal.connection.execute("SELECT * FROM rounds ORDER BY round")]
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
    assert journal.take(5, []).receipt.next_group == 2
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
    assert len(find_coin(journal.connection, mint.coin(1))) == 5
    assert len(find_coin(journal.connection, mint.coin(9))) == 1
    assert sum(len(entries) for entries in journal.rounds()) == 6


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
        st.sampled_from(("go on", "restart", "fail")),
    ),
    max_size=5,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=rounds_of_events)
def test_the_index_agrees_with_a_plain_model(
    tmp_path_factory: pytest.TempPathFactory, mint, rounds: list[tuple[list[tuple[str, int, int]], int, str]]
) -> None:
    """Whatever a bank publishes, over restarts, quiet times and failed commits: as a dictionary says."""
    path = tmp_path_factory.mktemp("model") / "board.db"
    journal = Journal(path)
    value: dict[int, int] = {}
    spent: set[int] = set()
    places: dict[int, list[int]] = {}
    repeats = unknown = index = 0
    for events, quiet, then in rounds:
        groups = [[_entry(mint, event)] for event in events]
        assert journal.take(index + 1, groups).taken
        if then == "fail":
            journal.fail_to_close()
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
        assert find_coin(journal.connection, mint.coin(coin)) == places.get(coin, [])
    journal.connection.close()


def test_after_as_many_rounds_as_slices_every_row_is_in_the_table(journal: Journal, mint) -> None:
    """What waits in memory never waits longer, so a restart has only that much to read again."""
    journal.take(1, [[mint.certified(n)] for n in range(1, 200)])
    for _ in range(SLICES):
        journal.close_round()
    assert journal.connection.execute("SELECT count(*) FROM coins").fetchone() == (199,)


def _entry(mint, event: tuple[str, int, int]) -> bytes:
    kind, coin, extra = event
    return mint.certified(coin, extra) if kind == "certified" else mint.spent(coin, bytes([extra]) * 32)
