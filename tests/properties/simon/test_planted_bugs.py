"""Definitions 4 and 5 can fail: each bug, planted in the real code, is found within a few cycles."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

import mixmint.database
from bank.ledger.book import SpentCoin
from bank.recovery.rebuild import Rebuild
from bank.stores.sqlite.book import SqliteBook
from mixmint.database import Writer
from mixmint.errors import UserError
from tests.properties.simon.cheats import Cheat
from tests.properties.simon.party import How
from tests.properties.simon.test_correct_and_secure import Economy
from wallet.purse import Purse

Play = Callable[[Economy], object]


@contextlib.contextmanager
def economy() -> Iterator[Economy]:
    """A machine that is played by hand: everybody has withdrawn something."""
    machine = Economy()
    try:
        machine.begin(7)
        machine.withdraw("ann", 15, [])
        machine.cheat_transacts("W", 9, How.HAND_OVER, [])
        yield machine
    finally:
        machine.teardown()


def play(*steps: Play) -> None:
    """The steps, each with the invariants after it."""
    with economy() as machine:
        for step in steps:
            step(machine)
            machine.no_unit_is_lost_or_made()
            machine.what_is_in_a_wallet_is_live()


DOUBLE_SPENDING: tuple[Play, ...] = (
    lambda it: it.pay("ann", "bob", 4, How.HAND_OVER, []),
    lambda it: it.pay("bob", "cid", 4, How.INVOICE, [Cheat.double_spend, Cheat.double_spend]),
)
AFTER_A_RESTART: tuple[Play, ...] = (
    lambda it: it.pay("ann", "bob", 4, How.HAND_OVER, []),
    lambda it: it.restart_the_bank(),
    lambda it: it.cheat_transacts("ann", 1, How.HAND_OVER, [Cheat.double_spend, Cheat.double_spend]),
)
AFTER_A_SUCCESSION: tuple[Play, ...] = (
    lambda it: it.pay("ann", "bob", 4, How.HAND_OVER, []),
    lambda it: it.replace_the_bank(),
    lambda it: it.cheat_transacts("ann", 1, How.HAND_OVER, [Cheat.double_spend, Cheat.double_spend]),
)
HOLDING: tuple[Play, ...] = (lambda it: it.hold_then_capture([Cheat.double_spend]),)
CRASHING: tuple[Play, ...] = (lambda it: it.pay_while_the_bank_crashes("ann", "bob", 4, How.HAND_OVER, []),)
CHANGING: tuple[Play, ...] = (
    lambda it: it.pay("ann", "bob", 3, How.NOW, []),
    lambda it: it.pay("ann", "cid", 3, How.INVOICE, []),
)


@pytest.mark.parametrize(
    "steps", [DOUBLE_SPENDING, AFTER_A_RESTART, AFTER_A_SUCCESSION, HOLDING, CRASHING, CHANGING]
)
def test_without_a_bug_they_hold(steps: tuple[Play, ...]) -> None:
    """The plays in which the bugs below are planted."""
    play(*steps)


def test_a_bank_that_certifies_twice_is_found() -> None:
    """The primary key of spent coins is there, and nobody looks at what it says."""
    spend = SqliteBook.spend

    def careless(book: SqliteBook, *given: Any) -> bool:
        spend(book, *given)
        return True

    with mock.patch.object(SqliteBook, "spend", careless), pytest.raises(AssertionError):
        play(*DOUBLE_SPENDING)


def test_a_bank_that_forgets_a_spent_coin_after_a_restart_is_found() -> None:
    """Spent coins are kept in memory."""
    memory: dict[tuple[int, bytes], SpentCoin] = {}

    def spend(book: SqliteBook, key: bytes, coin: bytes, spent: SpentCoin, closed: int) -> bool:
        return memory.setdefault((id(book), key), spent) is spent

    def find(book: SqliteBook, key: bytes) -> SpentCoin | None:
        return memory.get((id(book), key))

    with (
        mock.patch.object(SqliteBook, "spend", spend),
        mock.patch.object(SqliteBook, "spent", find),
        pytest.raises(AssertionError),
    ):
        play(*AFTER_A_RESTART)


def test_a_successor_that_forgets_a_spent_coin_is_found() -> None:
    """
    It takes the certificates from the board, and leaves the spent entries. Its own comparison with the list
    of balances may be what finds it.
    """
    with mock.patch.object(Rebuild, "_spend"), pytest.raises((AssertionError, UserError)):
        play(*AFTER_A_SUCCESSION)


def test_a_hold_that_forgets_is_found() -> None:
    """The bank signs the hold and remembers the order, but not the coins."""
    hold = SqliteBook.hold

    def forgetful(book: SqliteBook, order: Any, coins: Any, *rounds: int) -> None:
        hold(book, order, coins, *rounds)
        book.connection.execute("DELETE FROM held_coin")

    with mock.patch.object(SqliteBook, "hold", forgetful), pytest.raises(AssertionError):
        play(*HOLDING)


def test_an_answer_that_leaves_before_it_is_committed_is_found() -> None:
    """A transaction is committed when the next one begins; the answers don't wait for it."""

    def early(writer: Writer, group: list[Any]) -> None:
        connection: sqlite3.Connection = writer._connection
        if connection.in_transaction:
            connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        for job in group:
            writer._run_one(job, alone=False)
        mixmint.database._settle(group)

    with mock.patch.object(Writer, "_commit", early), pytest.raises(AssertionError):
        play(*CRASHING)


def test_a_wallet_that_uses_a_counter_twice_is_found() -> None:
    """Two outputs with one secret: the purse or the bank refuses the second, and the payment isn't made."""
    following = Purse._next

    def stuck(purse: Purse, *given: Any) -> int:
        return following(purse, *given) // 2

    with mock.patch.object(Purse, "_next", stuck), pytest.raises(AssertionError):
        play(*CHANGING)
