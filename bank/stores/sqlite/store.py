"""
The books in SQLite behind their one writer: a transaction for each batch, checkpoints beside it.

Everything that one batch of requests changes is one transaction, and nobody is answered before it is
committed: a crash leaves all of it or nothing.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from typing import TypeVar

from bank.stores.interface import Books, View
from bank.stores.sqlite.book import SqliteBook
from bank.stores.sqlite.view import SqliteView
from mixmint.database import Writer
from mixmint.errors import FatalError, UserError

T = TypeVar("T")

CHECKPOINT_COMMITS = 128
"""Commits between two checkpoints: the log grows to about 100 MiB where every order meets cold pages."""

_log = logging.getLogger("bank.stores.sqlite")


class SqliteStore:
    """
    ``bank.stores.interface.Store``: the books behind their one writer thread.

    Each operation is one transaction of its own: a batch of requests is large enough to share a commit, and
    nothing that a peer sends makes an operation raise.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        # Checkpoints are ours: SQLite's own would hold up the commit that happens to be the thousandth.
        connection.execute("PRAGMA wal_autocheckpoint=0")
        self._writer = Writer(connection, most_per_commit=1)
        self._book = SqliteBook(connection)
        self._copier = _Copier(connection)
        self._reader = _second(connection)
        self._reader.execute("PRAGMA query_only=ON")
        self._reading = asyncio.Lock()
        self._commits = 0
        self._checkpoint: asyncio.Task[None] | None = None

    async def run(self, operation: Callable[[Books], T]) -> T:
        def within(_: sqlite3.Connection) -> T:
            with self._book.writing() as book:
                return operation(book)

        try:
            result = await self._writer.run(within)
        except sqlite3.Error as error:
            # Not a full disk, which the writer tells: something that these tables rule out.
            raise FatalError(f"the database refuses a write: {error}") from None
        self._commits += 1
        if self._commits >= CHECKPOINT_COMMITS and self._checkpoint is None:
            self._commits = 0
            self._checkpoint = asyncio.create_task(self.checkpoint())
        return result

    async def read(self, operation: Callable[[View], T]) -> T:
        """In a thread and on a connection of its own: no request waits for it."""

        def within() -> T:
            try:
                self._reader.execute("BEGIN")
                try:
                    return operation(SqliteView(self._reader))
                finally:
                    self._reader.execute("COMMIT")
            except sqlite3.Error as error:
                raise UserError(f"the bank's store can't be read: {error}; look at the disk") from None

        async with self._reading:
            work = asyncio.ensure_future(asyncio.to_thread(within))
            try:
                return await asyncio.shield(work)
            finally:
                # Cancelled or not: until the thread is done, the connection is its.
                await asyncio.wait([work])

    async def checkpoint(self) -> None:
        """
        Copy what was committed from the write-ahead log into the database file.

        Most of it is copied beside the writer. What came in the meantime is copied while the writer stands
        still, so that for a moment the log is all copied, and the next commit begins it anew.
        """
        try:
            await asyncio.to_thread(self._copier.copy)
            await self._writer.run(lambda _: self._copier.copy())
        except (sqlite3.Error, UserError) as error:
            # Nothing is lost: the log keeps it. A full disk shows in the requests that can't be written.
            _log.warning("can't checkpoint the books: %s", error)
        finally:
            self._checkpoint = None

    async def close(self) -> None:
        """Finish what is queued, then close the database."""
        while self._checkpoint is not None:
            await asyncio.wait([self._checkpoint])
        self._copier.close()
        async with self._reading:
            self._reader.close()
        await self._writer.close()


def _second(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Another connection to the same file, for any thread."""
    _, _, path = connection.execute("PRAGMA database_list").fetchone()
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


class _Copier:
    """The checkpoint's own connection to the same file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = _second(connection)

    def copy(self) -> None:
        """Passive: nobody is held up, and nobody holds it up. Raises sqlite3.Error."""
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        self._connection.close()
