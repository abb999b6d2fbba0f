"""The books in SQLite for the operator's commands: a transaction at a time, beside a running bank."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from bank.stores.interface import Books
from bank.stores.sqlite.book import SqliteBook
from mixmint.errors import UserError

T = TypeVar("T")


class SqliteCommandStore:
    """``bank.stores.interface.CommandStore`` on one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def run(self, operation: Callable[[Books], T]) -> T:
        return run_once(self.connection, operation)

    def close(self) -> None:
        self.connection.close()


def run_once(connection: sqlite3.Connection, operation: Callable[[SqliteBook], T]) -> T:
    """
    One transaction.

    Raises UserError when the database stays locked or can't be written.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            with SqliteBook(connection).writing() as book:
                result = operation(book)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise UserError(f"the bank's store can't write: {error}; try again, and look at the disk") from None
    return result
