"""Where rare entries stand: found by kind, newest first, and nothing else of the log is touched."""

import sqlite3

import pytest

from bank.board.rounds import leaves_of
from bank.board.writing import notable
from bank.formats.entry import AccountEntry, AccusationEntry, ClaimEntry, Kind, MapEntry, StatementEntry
from bank.formats.statement import Row, Tally, sign_statement
from mixmint.keys import SigningKey

BANK = SigningKey(b"b" * 32)


@pytest.fixture
def connection() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(notable.SCHEMA)
    return connection


def statement(sequence: int, *rows: Row) -> bytes:
    made = sign_statement(BANK, b"i" * 32, sequence, 0, b"r" * 32, Tally(), rows)
    return StatementEntry(made).encode()


def add(connection: sqlite3.Connection, number: int, first: int, *entries: bytes) -> None:
    notable.add_round(connection, number, first, leaves_of(number, 0, first, entries))


def test_rare_entries_are_found_by_kind_the_newest_first(connection: sqlite3.Connection) -> None:
    """With their indexes and rounds; the others aren't noted."""
    account, accusations = (
        AccountEntry(b"a" * 32).encode(),
        [AccusationEntry(x).encode() for x in (b"x", b"y")],
    )
    add(connection, 1, 0, account, *accusations)
    add(connection, 2, 4, MapEntry(1, 4, 0, b"r" * 32).encode(), ClaimEntry(b"z").encode(), accusations[0])
    assert notable.newest(connection, Kind.ACCUSATION, 100, 10) == [(6, 2), (2, 1), (1, 1)]
    assert notable.newest(connection, Kind.ACCUSATION, 6, 1) == [(2, 1)]
    assert notable.newest(connection, Kind.MAP, 100, 10) == [(4, 2)]
    assert notable.newest(connection, Kind.CLAIM, 100, 10) == [(5, 2)]
    assert connection.execute("SELECT count(*) FROM notable").fetchone() == (5,)


def test_a_row_stands_until_a_newer_statement_says_otherwise(connection: sqlite3.Connection) -> None:
    """Whatever the order in which statements are read."""
    add(connection, 1, 0, statement(2, Row(0, 1, Tally(5)), Row(3, 1, Tally(7))))
    add(connection, 2, 2, statement(3, Row(0, 1, Tally(6)), Row(0, 2, Tally(1))))
    add(connection, 3, 4, statement(1, Row(0, 1, Tally(1)), Row(3, 1, Tally(1))))
    assert notable.standing(connection) == [Row(0, 1, Tally(6)), Row(0, 2, Tally(1)), Row(3, 1, Tally(7))]


def test_numbers_that_a_database_can_t_hold_don_t_stop_the_board(connection: sqlite3.Connection) -> None:
    """A bank may state 2**64 - 1 coins; its board goes on."""
    add(connection, 1, 0, statement(2**32 - 1, Row(20, 2**32 - 1, Tally(*[2**64 - 1] * 5))))
    assert notable.standing(connection) == [Row(20, 2**32 - 1, Tally(*[2**64 - 1] * 5))]
