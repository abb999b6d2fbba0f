"""bank/board/writing/journal.py: which groups come into which round, on a real database, and become files."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bank.board.reading.cursor import MOST_ROUND_BYTES
from bank.board.rounds import FULL_ROUND_BYTES
from bank.board.writing import journal as written
from bank.board.writing.journal import MOST_UNPUBLISHED, Taken
from bank.formats.entry import MOST_ENTRY_BYTES, AnswerEntry
from mixmint.errors import FatalError, Unavailable
from tests.unit.bank.board.writing.journals import NOTE, Journal


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
