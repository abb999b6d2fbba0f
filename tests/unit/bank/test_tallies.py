"""What the bank counts: every coin once, in the transaction that makes it true, and nothing that failed."""

import os
from pathlib import Path

import pytest

from bank.formats.answer import Certificates, Credited, Spent, Taken, Withdrawn
from bank.formats.order import tau_of
from bank.formats.request import Execute
from bank.formats.statement import Row, Tally, units_of
from bank.ledger.book import Count, Value
from bank.stores.interface import Books
from bank.stores.sqlite import run_once
from bank.stores.sqlite.schema import SCHEMA, open_books
from mixmint.database import open_database
from mixmint.errors import UserError
from tests.unit.bank.desk import Desk, fresh
from tests.unit.bank.engines import Engine


def test_each_operation_has_its_columns(desk: Desk) -> None:
    """Withdraw, exchange in one step and in two, deposit: by value and epoch of the coin, not of the day."""
    account = desk.account(100)
    (first, one), (second, two) = fresh(4), fresh(3)
    assert isinstance(desk.ask(desk.withdraw(account, [one, two])).body, Withdrawn)
    assert desk.tallies() == {Value(4, 3): Tally(withdrawn=1), Value(3, 3): Tally(withdrawn=1)}
    desk.epoch = 4
    parts = [fresh(3) for _ in range(2)]
    assert isinstance(desk.ask(desk.order([first], [output for _, output in parts])).body, Certificates)
    h = os.urandom(32)
    third, output = fresh(3)
    held = desk.order([second], [output], tau=tau_of(h))
    desk.ask(held)
    assert Value(3, 4) in desk.tallies()
    assert desk.tallies()[Value(3, 3)] == Tally(withdrawn=1)
    assert isinstance(desk.ask(Execute(held.seal, h)).body, Certificates)
    assert isinstance(desk.ask(desk.deposit(account, [third, parts[0][0]])).body, Credited)
    assert desk.tallies() == {
        Value(4, 3): Tally(withdrawn=1, spent=1),
        Value(3, 3): Tally(withdrawn=1, spent=1),
        Value(3, 4): Tally(exchanged=3, spent=2, deposited=2),
    }


def test_what_fails_or_comes_again_is_not_counted(desk: Desk) -> None:
    """Inputs that were entered and taken back; a repeated order, withdrawal and deposit."""
    account = desk.account(100)
    coin, output = fresh(3)
    withdrawal = desk.withdraw(account, [output])
    desk.ask(withdrawal)
    other = desk.coin(3)
    assert type(desk.ask(desk.order([coin], [fresh(2)[1]])).body) is not Certificates
    assert isinstance(desk.ask(desk.order([coin], [output])).body, Taken)
    assert isinstance(desk.ask(desk.withdraw(account, [fresh(1)[1], output])).body, Taken)
    assert desk.tallies() == {Value(3, 3): Tally(withdrawn=1)}
    order = desk.order([coin], [fresh(3)[1]])
    desk.ask(order)
    assert isinstance(
        desk.ask(desk.order(sorted([coin, other], key=lambda k: k.public), [fresh(4)[1]])).body, Spent
    )
    before = desk.tallies()
    desk.ask(order)
    desk.ask(withdrawal)
    assert desk.tallies() == before == {Value(3, 3): Tally(withdrawn=1, exchanged=1, spent=1)}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_batch_writes_one_row_for_each_value(desk: Desk) -> None:
    """However many orders it has: that is what keeps counting cheap."""
    writes: list[str] = []
    orders = [desk.order([desk.coin(3)], [fresh(2)[1], fresh(2)[1]]) for _ in range(20)]
    desk.connection.set_trace_callback(writes.append)
    desk.ask_all([bytes([1]) + order.encode() for order in orders])
    desk.connection.set_trace_callback(None)
    assert sum("INTO tally" in each for each in writes) == 2
    assert desk.tallies() == {Value(3, 3): Tally(spent=20), Value(2, 3): Tally(exchanged=40)}


async def test_a_transaction_that_failed_leaves_nothing_for_the_next(engine: Engine) -> None:
    """SQLite's book is one object for all transactions, PostgreSQL's connection is."""
    store = engine.store(bytes(32))

    def fails(book: Books) -> None:
        book.count(Count.SPENT, [Value(1, 1)])
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        await store.run(fails)
    await store.run(lambda book: book.count(Count.REPLACED, [Value(2, 1)]))
    assert await store.run(lambda book: book.tallies()) == [Row(2, 1, Tally(replaced=1))]
    await store.close()


def test_totals_are_in_units() -> None:
    """A coin is worth two to the power of its exponent."""
    rows = [Row(0, 1, Tally(1, 2, 3, 4, 5)), Row(3, 1, Tally(1, 0, 0, 0, 2)), Row(3, 2, Tally(0, 1, 0, 0, 0))]
    assert units_of(rows) == Tally(9, 10, 3, 4, 21)


def old_books(path: Path, next_group: int) -> None:
    connection = open_database(path, SCHEMA[:1])
    connection.execute("INSERT INTO state VALUES (1, ?, ?, 0, 1, 0)", (bytes(32), next_group))
    connection.close()


def test_books_that_were_used_before_coins_were_counted_are_refused_untouched(tmp_path: Path) -> None:
    """Counts that begin in the middle would convict an honest bank."""
    old_books(tmp_path / "bank.db", 2)
    before = (tmp_path / "bank.db").read_bytes()
    with pytest.raises(UserError, match="didn't count coins"):
        open_books(tmp_path / "bank.db", bytes(32))
    assert (tmp_path / "bank.db").read_bytes() == before


def test_books_that_never_made_a_group_go_on(tmp_path: Path) -> None:
    """Nothing was certified in them."""
    old_books(tmp_path / "bank.db", 1)
    connection = open_books(tmp_path / "bank.db", bytes(32))
    assert run_once(connection, lambda book: book.tallies()) == []
    connection.close()
