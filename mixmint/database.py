"""
SQLite as every part here uses it: opened strictly, written by one thread in shared transactions.

Uniqueness and atomicity are the database's. Writes that arrive together share one commit (group commit),
and nobody is answered before the commit that holds his write.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from mixmint.errors import FatalError, UserError

T = TypeVar("T")


def open_database(path: Path, schema: Sequence[str], *, durable: bool = True) -> sqlite3.Connection:
    """
    Open (or create, mode 0600) a database and bring it to the newest schema.

    ``schema`` is the ordered list of migrations, each an SQL script; ``PRAGMA user_version`` counts them.
    WAL mode; ``synchronous`` is FULL when ``durable`` (a commit survives a power cut), else OFF (it survives
    the process's death only: for memory-backed files). Autocommit: transactions are begun explicitly.

    Raises UserError when the file can't be opened or the disk is full, FatalError when it is damaged or was
    written by a newer version.
    """
    try:
        if not path.exists():
            path.touch(mode=0o600)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    except (OSError, sqlite3.Error) as error:
        raise UserError(f"can't open database {path}: {error}") from None
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
        connection.execute("PRAGMA foreign_keys=ON")
        # What is deleted is overwritten, also where SQLite wasn't built to do so by itself (Debian's is).
        connection.execute("PRAGMA secure_delete=ON")
        _migrate(connection, path, schema)
    except sqlite3.OperationalError as error:
        connection.close()
        raise UserError(f"can't use database {path}: {error}; is the disk full, or read-only?") from None
    except sqlite3.DatabaseError as error:
        connection.close()
        raise FatalError(f"database {path} is damaged ({error}); restore or recover it") from None
    except FatalError:
        connection.close()
        raise
    return connection


def remove_database(path: Path) -> None:
    """Delete a database that nobody has open, and what SQLite keeps beside it. None there is fine."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _migrate(connection: sqlite3.Connection, path: Path, schema: Sequence[str]) -> None:
    (done,) = connection.execute("PRAGMA user_version").fetchone()
    if done > len(schema):
        raise FatalError(f"database {path} was written by a newer version (schema {done} > {len(schema)})")
    for number, script in enumerate(schema[done:], start=done + 1):
        # One script, one transaction: a crash leaves the old schema or the new one.
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\n;PRAGMA user_version={number};\nCOMMIT;")


class _Job(Generic[T]):
    __slots__ = ("error", "future", "loop", "operation", "value")

    def __init__(self, operation: Callable[[sqlite3.Connection], T]) -> None:
        self.operation = operation
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self.loop.create_future()
        self.value: T | None = None
        self.error: BaseException | None = None


class Writer:
    """
    Group commit: one thread owns the connection, and queued operations share a transaction.

    Each operation runs in a savepoint of its own, so one that raises takes back only itself. ``run`` returns
    after COMMIT; when the commit itself fails (disk full), every operation of the group gets UserError and
    none of them happened.
    """

    def __init__(self, connection: sqlite3.Connection, most_per_commit: int = 256) -> None:
        self._connection = connection
        self._most = most_per_commit
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    async def run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``operation`` on the connection; its result once it is committed, or what it raised."""
        if self._closed:
            raise FatalError("the store is closed")
        job = _Job(operation)
        self._jobs.put(job)
        # Shielded: a caller that is cancelled must not undo the bookkeeping of a write that happens anyway.
        return await asyncio.shield(job.future)

    async def close(self) -> None:
        """Finish what is queued, then close the connection."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        stop = False
        while not stop:
            group: list[_Job[Any]] = []
            job = self._jobs.get()
            while job is not None:
                group.append(job)
                if len(group) == self._most or self._jobs.empty():
                    break
                job = self._jobs.get()
            stop = job is None
            if group:
                self._commit(group)
        self._connection.close()

    def _commit(self, group: list[_Job[Any]]) -> None:
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            for job in group:
                self._run_one(job, alone=len(group) == 1)
            if len(group) == 1 and group[0].error is not None:
                execute("ROLLBACK")
            else:
                execute("COMMIT")
        except sqlite3.Error as error:
            # A rollback that fails too must not end this thread: everyone would wait for ever. The next
            # group then can't begin, and is refused.
            with suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    execute("ROLLBACK")
            refusal = UserError(f"the store can't write: {error}; is the disk full?")
            for job in group:
                job.error = refusal
        _settle(group)

    def _run_one(self, job: _Job[Any], *, alone: bool) -> None:
        execute = self._connection.execute
        if not alone:
            execute("SAVEPOINT one")
        try:
            job.value = job.operation(self._connection)
        except sqlite3.OperationalError:
            raise  # full disk, I/O error: the whole group's transaction is in doubt
        except BaseException as error:  # noqa: BLE001 - carried over to the caller's task, whatever it is
            job.error = error
            if not alone:
                execute("ROLLBACK TO one")
        if not alone:
            execute("RELEASE one")


def _settle(group: list[_Job[Any]]) -> None:
    """Resolve the group's futures, with one wake-up per event loop, not one per job."""
    loops = {job.loop for job in group}
    for loop in loops:
        mine = [job for job in group if job.loop is loop]
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, mine)


def _resolve(jobs: list[_Job[Any]]) -> None:
    for job in jobs:
        if job.future.cancelled():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.value)
