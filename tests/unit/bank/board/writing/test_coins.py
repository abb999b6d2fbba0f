"""bank/board/writing/coins.py: totals and the index of coins follow the entries, also a cheating bank's."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bank.board.totals import Totals
from bank.board.writing import journal as written
from bank.board.writing.coins import SLICES
from bank.board.writing.journal import MIGRATIONS
from bank.formats.coin import bank_id
from bank.formats.entry import PostedEntry, decode_entry, make_replaced_entry
from mixmint.database import open_database
from tests.unit.bank.board.writing.journals import NOTE, Journal

MAKERS = 6


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
