"""The books in PostgreSQL for the operator's commands: a transaction at a time, beside a running bank."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import asyncpg

from bank.stores.interface import Books
from bank.stores.postgres.connection import CONNECTION_ERRORS, Again, Gone, Place, connect, meaning
from bank.stores.postgres.opening import create_books, is_vacant, open_books
from bank.stores.postgres.store import MOST_TRIES, transact
from mixmint.errors import PendingError, Unavailable, UserError

T = TypeVar("T")


class PostgresCommandStore:
    """``bank.stores.interface.CommandStore``; not inside a running event loop."""

    def __init__(self, place: Place, bank: bytes) -> None:
        """Raises Unavailable, UserError, FatalError, as the daemon's store does."""
        self._runner = asyncio.Runner()
        try:
            self._connection: asyncpg.Connection = self._runner.run(open_books(place, bank, is_daemon=False))
        except BaseException:
            self._runner.close()
            raise

    def run(self, operation: Callable[[Books], T]) -> T:
        """Raises also PendingError: the connection broke at the commit, and what became of it isn't known."""
        return self._runner.run(_run(self._connection, operation))

    def close(self) -> None:
        self._runner.run(_close(self._connection))
        self._runner.close()


async def make_books(place: Place, bank: bytes) -> None:
    """
    Empty books of a new bank with this id (32 bytes), in an empty database.

    Raises UserError: there are books, or it can't be reached; nothing happened.
    """
    connection = await connect(place, is_patient=True)
    try:
        async with connection.transaction():
            await create_books(connection, bank)
    except CONNECTION_ERRORS as error:
        raise UserError(f"can't make the books: {meaning(error)}") from None
    finally:
        connection.terminate()


async def check_vacant(place: Place) -> None:
    """Raises UserError: there are books of a bank in this database, or it can't be reached."""
    connection = await connect(place, is_patient=True)
    try:
        vacant = await is_vacant(connection)
    except CONNECTION_ERRORS as error:
        raise UserError(f"can't look at the database: {meaning(error)}") from None
    finally:
        connection.terminate()
    if not vacant:
        raise UserError(
            "the database has books of a bank already, and nothing is ever overwritten. If a recovery lost "
            "its connection at the end they are its own, and whole: start the bank; else name another one"
        )


async def _run(connection: asyncpg.Connection, operation: Callable[[Books], T]) -> T:
    for tries in range(1, MOST_TRIES + 1):
        try:
            result, is_sure = await transact(connection, operation, None)
        except Again as error:
            if tries == MOST_TRIES:
                raise error.then from None
        except Gone as error:
            raise Unavailable(f"lost the connection to PostgreSQL ({error}); nothing happened") from None
        else:
            if not is_sure:
                raise PendingError(
                    "lost the connection to PostgreSQL at the commit; see what became of it, then repeat"
                )
            return result
    raise Unavailable("the bank's store is busy; try again")


async def _close(connection: asyncpg.Connection) -> None:
    if not connection.is_closed():
        await connection.close(timeout=5)
