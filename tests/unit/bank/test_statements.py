"""The bank's statements: numbered without gaps, with what was counted and how far the board was read."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bank.formats.coin import MOST_EXPONENT
from bank.formats.entry import MOST_ENTRY_BYTES, StatementEntry, decode_entry
from bank.formats.statement import EARLY_ROWS, MOST_ROWS, BankStatement, Row, Tally, sign_statement
from bank.ledger.book import Count, Value
from bank.settings import MOST_EPOCHS
from bank.stores.interface import Books
from mixmint.errors import FatalError
from tests.unit.bank.engines import Engine
from tests.unit.bank.paper import BANK, KEY, PaperBoard, Side, certified

EVERY = 5


@pytest.fixture
async def board() -> PaperBoard:
    return PaperBoard()


@pytest.fixture
async def side(engine: Engine, board: PaperBoard) -> AsyncIterator[Side]:
    made = Side(engine, board, statement_rounds=EVERY)
    await made.steps(2)
    yield made
    await made.store.close()


async def count(side: Side, what: Count, *values: Value) -> None:
    await side.store.run(lambda book: book.count(what, values))


async def rounds(side: Side, number: int = EVERY) -> None:
    """So many rounds close, read and heard of."""
    for _ in range(number):
        side.board.close()
    await side.read()
    await side.steps(2)


def statements(board: PaperBoard) -> list[BankStatement]:
    """As they were fed, each with its signature checked."""
    entries = [decode_entry(entry) for group in board.groups for entry in group]
    found = [entry.statement for entry in entries if isinstance(entry, StatementEntry)]
    assert all(each.holds(KEY.public, BANK) for each in found)
    return found


async def test_a_statement_says_what_was_counted_and_how_far_the_board_was_read(
    side: Side, board: PaperBoard
) -> None:
    """After the period, if something happened; the rows that changed, and totals of all."""
    await rounds(side)
    (first,) = statements(board)
    assert (first.sequence, first.rows, first.totals) == (1, (), Tally())
    read = board.shown[EVERY - 1].after
    assert (first.size, first.root) == (read.index, read.frontier.root())

    await count(side, Count.WITHDRAWN, Value(3, 7), Value(0, 7), Value(3, 7))
    await rounds(side, EVERY - 1)
    assert len(statements(board)) == 1
    await rounds(side, 1)
    await count(side, Count.SPENT, Value(3, 7))
    await count(side, Count.EXCHANGED, Value(2, 8), Value(2, 8))
    await rounds(side)
    second, third = statements(board)[1:]
    assert second.rows == (Row(0, 7, Tally(withdrawn=1)), Row(3, 7, Tally(withdrawn=2)))
    assert third.rows == (Row(2, 8, Tally(exchanged=2)), Row(3, 7, Tally(withdrawn=2, spent=1)))
    assert second.totals == Tally(withdrawn=17)
    assert third.totals == Tally(withdrawn=17, exchanged=8, spent=8)
    assert third.balances()
    assert [each.sequence for each in statements(board)] == [1, 2, 3]
    assert first.size < second.size < third.size


async def test_nothing_new_makes_no_statement_but_the_last_entries_get_theirs(
    side: Side, board: PaperBoard
) -> None:
    """Quiet rounds say nothing; but what was confirmed after the last counts is endorsed, once."""
    await rounds(side)
    await rounds(side, 4 * EVERY)
    assert len(statements(board)) == 1
    await count(side, Count.WITHDRAWN, Value(1, 1))
    await side.publish(1)
    await rounds(side)
    assert len(statements(board)) == 2
    covered = statements(board)[1].size
    await rounds(side, 4 * EVERY)
    _, _, third = statements(board)
    assert third.rows == ()
    assert third.size > covered
    await rounds(side, 4 * EVERY)
    assert len(statements(board)) == 3


async def test_after_a_quiet_time_the_first_order_is_not_stated_alone(side: Side, board: PaperBoard) -> None:
    """It waits for the end of its own period, as any other."""
    await rounds(side)
    await rounds(side, 3 * EVERY + 1)
    await count(side, Count.WITHDRAWN, Value(3, 7))
    await side.steps(2)
    assert len(statements(board)) == 1
    await count(side, Count.WITHDRAWN, Value(3, 7))
    await rounds(side)
    assert statements(board)[1].rows == (Row(3, 7, Tally(withdrawn=2)),)


async def test_what_differs_is_endorsed_by_no_statement(side: Side, board: PaperBoard) -> None:
    """They go on, with the size up to which the board was right."""
    await rounds(side, 1)
    right = board.cursor.index
    board.close(certified(99))
    await side.read()
    await count(side, Count.WITHDRAWN, Value(1, 1))
    await rounds(side)
    (only,) = statements(board)
    assert (only.size, only.totals) == (right, Tally(withdrawn=2))


async def test_before_anything_was_read_a_statement_names_the_empty_log(
    side: Side, board: PaperBoard
) -> None:
    """A bank that is behind with reading says so."""
    await count(side, Count.WITHDRAWN, Value(1, 1))
    for _ in range(EVERY):
        board.close()
    await side.steps(2)
    (only,) = statements(board)
    assert only.size == 0
    assert only.root.hex().startswith("e3b0c442")


async def test_many_changed_values_do_not_wait_for_the_period(side: Side, board: PaperBoard) -> None:
    """All that changed must fit into one statement."""
    await count(side, Count.WITHDRAWN, *(Value(number % 21, number // 21) for number in range(EARLY_ROWS)))
    await side.steps(2)
    (only,) = statements(board)
    assert len(only.rows) == EARLY_ROWS


async def test_more_rows_than_a_statement_holds_stop_the_bank(side: Side) -> None:
    """The board would refuse the entry, and all behind it."""
    await count(side, Count.WITHDRAWN, *(Value(number % 21, number // 21) for number in range(MOST_ROWS + 1)))
    with pytest.raises(FatalError, match="one holds 720"):
        await side.steps(1)


def test_the_limits_leave_room_for_all_that_can_change() -> None:
    """Values times epochs alive (one more while an epoch ends), beside those that let a statement wait."""
    assert (MOST_EXPONENT + 1) * (MOST_EPOCHS + 1) + EARLY_ROWS <= MOST_ROWS
    rows = [Row(number % 21, number // 21, Tally()) for number in range(MOST_ROWS)]
    largest = sign_statement(KEY, BANK, 1, 0, bytes(32), Tally(), rows)
    assert len(StatementEntry(largest).encode()) <= MOST_ENTRY_BYTES


CHILD = """
import os, sys
import asyncpg
from bank.ledger import Signer, Terms
from bank.statements import Statements
from bank.stores.postgres.book import PostgresBook
from bank.stores.sqlite import SqliteBook
from tests.unit.bank.engines import command_store_at
from tests.unit.bank.engines import Engine
from tests.unit.bank.paper import BANK, KEY

store, step = command_store_at(sys.argv[1], BANK), sys.argv[2]

def dies(*_):
    os._exit(9)

class Dying:
    def __init__(self, connection):
        self.connection = connection
    def execute(self, sql, *values):
        result = self.connection.execute(sql, *values)
        if step in sql:
            os._exit(9)
        return result
    def executemany(self, sql, values):
        return self.connection.executemany(sql, values)

execute = asyncpg.Connection.execute
async def dying(self, sql, *values, **options):
    result = await execute(self, sql, *values, **options)
    if step in sql:
        os._exit(9)
    return result
asyncpg.Connection.execute = dying

if step == "publish":
    SqliteBook.publish = PostgresBook.publish = dies
def make(book):
    if isinstance(book, SqliteBook):
        book.connection = Dying(book.connection)
        book._execute = book.connection.execute
    Statements(Signer(KEY, Terms()), 1).publish_due(book)
store.run(make)
os._exit(9)
"""
STEPS = [
    ("sqlite", "publish"),
    ("sqlite", "UPDATE state SET stated"),
    ("sqlite", "UPDATE tally"),
    ("sqlite", "INSERT INTO outbox"),
    ("sqlite", "UPDATE state SET next"),
    ("sqlite", "told"),
    ("postgres", "publish"),
    ("postgres", "UPDATE state SET stated"),
    ("postgres", "UPDATE tally"),
    ("postgres", "INSERT INTO outbox"),
    ("postgres", "told"),
]


def die(engine: Engine, step: str) -> None:
    """Make a statement in a child that dies at the step."""
    root = Path(__file__).parents[3]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, engine.address, step],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 9, child.stderr.decode()


@pytest.mark.parametrize(("engine", "step"), STEPS, indirect=["engine"])
async def test_whatever_step_the_bank_dies_at_there_is_one_statement_of_each_number(
    engine: Engine, board: PaperBoard, step: str
) -> None:
    """The first is in the outbox, or its number wasn't given; and what was counted is in one of them."""
    side = Side(engine, board, statement_rounds=10**6)
    await side.steps(2)
    await count(side, Count.WITHDRAWN, Value(3, 7))
    await rounds(side, 1)
    await side.store.close()
    await asyncio.to_thread(die, engine, step)
    again = Side(engine, board, statement_rounds=1)
    if step == "told":
        await again.steps(1)
        assert await again.number("SELECT stated FROM state") == 1
    await count(again, Count.SPENT, Value(3, 7))
    await rounds(again, 1)
    await rounds(again, 1)
    made = statements(board)
    assert [each.sequence for each in made] == list(range(1, len(made) + 1))
    assert made[-1].totals == Tally(withdrawn=8, spent=8)
    assert len({each.sequence for each in made}) == len(made) >= 1
    await again.store.close()


async def test_a_rolled_back_statement_gives_no_number(side: Side, board: PaperBoard) -> None:
    """A full disk at the commit: the next try says the same again, under the same number."""
    await count(side, Count.WITHDRAWN, Value(3, 7))

    def fails(book: Books) -> None:
        side.statements.publish_due(book)
        raise KeyError

    side.engine.sql("UPDATE state SET newest_closed = 9")
    with pytest.raises(KeyError):
        await side.store.run(fails)
    side.engine.sql("UPDATE state SET newest_closed = 0")
    await rounds(side)
    assert [each.sequence for each in statements(board)] == [1]
