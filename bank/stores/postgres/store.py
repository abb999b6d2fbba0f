"""
The books in PostgreSQL for the bank's daemon.

**Isolation and lock order.** READ COMMITTED. Every transaction that writes begins by locking the one row of
``state`` (FOR UPDATE), before it reads anything; it holds that lock to its end. So writers are serial,
whoever they are (the daemon, the operator's commands), every statement of a writer sees all that earlier
writers committed and nothing changes under it, and since everyone takes that lock first there is no deadlock.
A write by somebody who doesn't keep to this ends in a primary key: the batch is judged once more on fresh
reads, and if it fails again, the books contradict themselves. Readings are REPEATABLE READ, READ ONLY, on a
connection of their own.

**One bank.** The daemon's connection holds an advisory lock as long as it lives; a second daemon says so and
stops. After a lost connection the lock is taken anew, which succeeds only when the old session is gone: from
then on nothing of it can still be committed.

**A commit whose answer was lost** is looked up: each transaction of the daemon writes a random name into
``newest_commit``. After reconnecting, the name on file says whether it happened; if not, it is run again.
While the server can't be reached, the outcome is unknown, and so the caller is told.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import asyncpg

from bank.stores.interface import Books, View
from bank.stores.postgres.book import PostgresBook
from bank.stores.postgres.connection import (
    CONNECTION_ERRORS,
    Again,
    Gone,
    Place,
    connect,
    meaning,
    warn_of_settings,
)
from bank.stores.postgres.known import Known, NotRead
from bank.stores.postgres.opening import open_books
from bank.stores.postgres.view import PostgresView
from bank.stores.postgres.writing import write
from bank.stores.reading import STATE
from mixmint.errors import FatalError, Unavailable, UserError

T = TypeVar("T")

MOST_TRIES = 3
PATIENCE_S = 10.0
"""How long an operation waits for a server that went away; then the caller asks again."""
_PAUSE_S = 0.1

_log = logging.getLogger("bank.stores.postgres")


class PostgresStore:
    """``bank.stores.interface.Store``; made by ``open``, inside the loop that uses it."""

    def __init__(self, place: Place, bank: bytes, connection: asyncpg.Connection) -> None:
        self._place = place
        self._bank = bank
        self._connection: asyncpg.Connection | None = connection
        self._reader: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()
        self._reading = asyncio.Lock()
        self._is_away = False
        self._is_closed = False

    @classmethod
    async def open(cls, place: Place, bank: bytes) -> "PostgresStore":
        """
        For the bank with this id (32 bytes).

        Raises Unavailable, UserError (no books there, another bank's, another process has them), FatalError
        (of a newer version).
        """
        connection = await open_books(place, bank, is_daemon=True)
        await warn_of_settings(connection)
        return cls(place, bank, connection)

    async def run(self, operation: Callable[[Books], T]) -> T:
        # Shielded: whoever is cancelled must not leave a transaction open for the next one.
        return await _shielded(self._run(operation))

    async def read(self, operation: Callable[[View], T]) -> T:
        return await _shielded(self._read(operation))

    async def close(self) -> None:
        self._is_closed = True
        async with self._turn, self._reading:
            for connection in (self._connection, self._reader):
                if connection is not None:
                    await _end(connection)
            self._connection = self._reader = None

    async def _run(self, operation: Callable[[Books], T]) -> T:
        async with self._turn:
            if self._is_closed:
                raise FatalError("the store is closed")
            tries = 0
            # Who comes after one that waited in vain doesn't wait again: they stand in one line.
            give_up_s = _now_s() + (0 if self._is_away else PATIENCE_S)
            while True:
                connection = await self._connected(give_up_s)
                name = os.urandom(16)
                try:
                    result, is_sure = await transact(connection, operation, name)
                except Again as error:
                    tries += 1
                    if tries == MOST_TRIES:
                        raise error.then from None
                except Gone as error:
                    # Before COMMIT was sent: the server rolls back, and the operation is run again.
                    self._drop(error)
                    if _now_s() >= give_up_s:
                        raise Unavailable(f"PostgreSQL goes away again and again: {error}") from None
                else:
                    if is_sure or await self._was_committed(name, give_up_s):
                        return result

    async def _was_committed(self, name: bytes, give_up_s: float) -> bool:
        """After a COMMIT without an answer. Raises Unavailable when that can't be found out in time."""
        self._drop(Gone("no answer to a commit"))
        connection = await self._connected(give_up_s)
        try:
            found = await connection.fetchval("SELECT name FROM newest_commit")
        except CONNECTION_ERRORS as error:
            self._drop(error)
            raise Unavailable(
                "PostgreSQL went away during a commit; whether it happened isn't known"
            ) from None
        _log.info("a commit without an answer %s", "had happened" if found == name else "hadn't happened")
        return bool(found == name)

    async def _connected(self, give_up_s: float) -> asyncpg.Connection:
        """Raises Unavailable, UserError, FatalError as ``open``."""
        while self._connection is None or self._connection.is_closed():
            try:
                self._connection = await open_books(self._place, self._bank, is_daemon=True)
            except Unavailable:
                if _now_s() >= give_up_s:
                    self._is_away = True
                    raise
                await asyncio.sleep(_PAUSE_S)
            else:
                self._is_away = False
                _log.info("PostgreSQL answers again")
        return self._connection

    def _drop(self, error: BaseException) -> None:
        _log.warning("lost the connection to PostgreSQL: %s", error)
        if self._connection is not None:
            self._connection.terminate()
        self._connection = None

    async def _read(self, operation: Callable[[View], T]) -> T:
        async with self._reading:
            for is_last in (False, True):
                if self._reader is None or self._reader.is_closed():
                    self._reader = await connect(self._place)
                try:
                    return await _look(self._reader, operation)
                except CONNECTION_ERRORS as error:
                    self._reader.terminate()
                    self._reader = None
                    what = meaning(error)
                    if is_last or not isinstance(what, Gone):
                        raise UserError(f"the bank's store can't be read: {what}") from None
        raise UserError("the bank's store can't be read")


async def transact(
    connection: asyncpg.Connection, operation: Callable[[Books], T], name: bytes | None
) -> tuple[T, bool]:
    """
    One transaction; what the operation returned, and whether the commit is sure: no answer to it came else.

    Raises Gone and Again (nothing happened), UserError, FatalError, and what ``operation`` raises.
    """
    try:
        await connection.execute("BEGIN")
        known = Known()
        known.queries[STATE, ()] = await connection.fetch(f"{STATE} FOR UPDATE")
        while True:
            book = PostgresBook(known)
            try:
                result = operation(book)
                break
            except NotRead as lacking:
                await known.fetch(connection, lacking.wants)
        if book.is_empty:
            await connection.execute("ROLLBACK")
            return result, True
        await write(connection, book, name)
    except BaseException as error:
        what = meaning(error) if isinstance(error, CONNECTION_ERRORS) else error
        if not isinstance(what, Gone):
            await _roll_back(connection)
        if what is error:
            raise
        raise what from None
    try:
        status = await connection.execute("COMMIT")
    except CONNECTION_ERRORS as error:
        if isinstance(error, asyncpg.PostgresError) and not isinstance(meaning(error), Gone):
            # The server said no, so it is no: a commit that fails is rolled back.
            raise meaning(error) from None
        return result, False
    if status != "COMMIT":
        raise Again(UserError("the server rolled a commit back; look at its log"))
    return result, True


async def _look(connection: asyncpg.Connection, operation: Callable[[View], T]) -> T:
    known = Known()
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        while True:
            try:
                # In a thread: comparing a page of rounds takes long.
                return await asyncio.to_thread(operation, PostgresView(known))
            except NotRead as lacking:
                await known.fetch(connection, lacking.wants)
    finally:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")


async def _roll_back(connection: asyncpg.Connection) -> None:
    try:
        await connection.execute("ROLLBACK")
    except CONNECTION_ERRORS:
        connection.terminate()


def _now_s() -> float:
    return asyncio.get_running_loop().time()


async def _end(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=5)
    except CONNECTION_ERRORS:
        connection.terminate()


async def _shielded(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # Nobody waits for it any more; what it raises was for whoever did.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        raise
