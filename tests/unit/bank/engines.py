"""The two engines that a bank's books may be in, alike for tests."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import asyncpg

from bank.stores.interface import Books, CommandStore, Store, View
from bank.stores.postgres import Place, PostgresCommandStore, PostgresStore
from bank.stores.postgres.connection import connect
from bank.stores.postgres.opening import create_books
from bank.stores.sqlite import SqliteCommandStore, SqliteStore, open_books
from tests.postgres import Server

T = TypeVar("T")


class Engine(Protocol):
    """Where books are; ``folder`` is for what lies beside them."""

    @property
    def folder(self) -> Path:
        """Of tests' own files."""

    @property
    def address(self) -> str:
        """By which a child process finds the same books: see ``command_store_at``."""

    def store(self, bank: bytes) -> Store:
        """A daemon's, in the running loop; the books are made if there are none."""

    def command_store(self, bank: bytes) -> CommandStore:
        """A command's; also within a running loop."""

    def tables(self) -> dict[str, Sequence[Any]]:
        """All rows of all tables."""

    def sql(self, sql: str, *values: object) -> Sequence[Any]:
        """Look at the books, or change them behind everyone's back; ``?`` stands for a value."""


@dataclass(frozen=True)
class Sqlite:
    """A file."""

    path: Path

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def address(self) -> str:
        return str(self.path)

    def store(self, bank: bytes) -> Store:
        return SqliteStore(open_books(self.path, bank))

    def command_store(self, bank: bytes) -> CommandStore:
        return SqliteCommandStore(open_books(self.path, bank))

    def tables(self) -> dict[str, Sequence[Any]]:
        names = self.sql("SELECT name FROM sqlite_schema WHERE type = 'table'")
        return {name: self.sql(f"SELECT * FROM {name}") for (name,) in names}  # noqa: S608 - our own tables

    def sql(self, sql: str, *values: object) -> Sequence[Any]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return connection.execute(sql, values).fetchall()


class Postgres:
    """
    A database of a test server; ``release`` it for the next test, since making one takes longer than most
    tests.
    """

    def __init__(self, server: Server, folder: Path) -> None:
        self.folder = folder
        self.server = server
        self.address = server.spare.pop() if server.spare else server.database()
        self.place = Place(self.address)
        self.is_made = False
        self._looking: asyncpg.Connection | None = None
        """Kept open between two looks."""

    def store(self, bank: bytes) -> Store:
        self._make(bank)
        return _Late(self.place, bank)

    def command_store(self, bank: bytes) -> CommandStore:
        self._make(bank)
        return _Beside(self.place, bank)

    def tables(self) -> dict[str, Sequence[Any]]:
        names = self.sql("SELECT tablename::text FROM pg_tables WHERE schemaname = 'mixmint_bank'")
        return {name: self.sql(f"SELECT * FROM {name}") for (name,) in names}  # noqa: S608 - our own tables

    def sql(self, sql: str, *values: object) -> Sequence[Any]:
        parts = sql.split("?")
        numbered = parts[0] + "".join(f"${number}{part}" for number, part in enumerate(parts[1:], 1))
        return self.server.run(self._ask(numbered, values))

    async def _ask(self, sql: str, values: Sequence[object]) -> Sequence[Any]:
        if self._looking is None or self._looking.is_closed():
            self._looking = await connect(self.place)
        return [tuple(row) for row in await self._looking.fetch(sql, *values)]

    def release(self) -> None:
        """Whoever is still connected is thrown out."""
        if self._looking is not None:
            self.server.run(self._looking.close(timeout=10))
        self.server.sql(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database()",
            dsn=self.address,
        )
        self.server.spare.append(self.address)

    def _make(self, bank: bytes) -> None:
        async def make() -> None:
            connection = await connect(self.place)
            async with connection.transaction():
                if await connection.fetchval("SELECT to_regclass('mixmint_bank.state')") is None:
                    await create_books(connection, bank)
                else:
                    await empty(connection, bank)
            await connection.close()

        if not self.is_made:
            self.is_made = True
            self.server.run(make())


class Both:
    """SQLite and PostgreSQL side by side: every operation runs on both, and both must say the same."""

    def __init__(self, sqlite: Sqlite, postgres: Postgres) -> None:
        self.folder = sqlite.folder
        self.address = sqlite.address
        self._engines = (sqlite, postgres)

    def store(self, bank: bytes) -> Store:
        raise NotImplementedError("a daemon has one store")

    def command_store(self, bank: bytes) -> CommandStore:
        return _Comparing(*(engine.command_store(bank) for engine in self._engines))

    def tables(self) -> dict[str, Sequence[Any]]:
        ours, theirs = (engine.tables() for engine in self._engines)
        for table, rows in ours.items():
            assert sorted(rows, key=repr) == sorted(theirs[table], key=repr), table
        return ours

    def sql(self, sql: str, *values: object) -> Sequence[Any]:
        ours, theirs = (engine.sql(sql, *values) for engine in self._engines)
        assert sorted(ours, key=repr) == sorted(theirs, key=repr)
        return ours


class _Comparing:
    """A command's store on two engines."""

    def __init__(self, *stores: CommandStore) -> None:
        self._stores = stores

    def run(self, operation: Callable[[Books], T]) -> T:
        ours, theirs = (store.run(operation) for store in self._stores)
        assert ours == theirs
        return ours

    def close(self) -> None:
        for store in self._stores:
            store.close()


async def empty(connection: asyncpg.Connection, bank: bytes) -> None:
    """Books as new ones, in the tables that are there."""
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'mixmint_bank'")
    filled = [
        table
        for (table,) in tables
        if table not in {"version", "newest_commit"}
        and await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})")  # noqa: S608 - our own tables
    ]
    if filled:
        await connection.execute(f"TRUNCATE {', '.join(filled)} CASCADE")
    await connection.execute(
        "INSERT INTO state (one, bank, next_group, newest_closed) VALUES (1, $1, 1, 0)", bank
    )


def command_store_at(address: str, bank: bytes) -> CommandStore:
    """For a child process: the books that its parent's engine has there."""
    if address.startswith("postgresql:"):
        return PostgresCommandStore(Place(address), bank)
    return Sqlite(Path(address)).command_store(bank)


class _Late:
    """A daemon's store that is opened by its first use, since a test's helpers aren't coroutines."""

    def __init__(self, place: Place, bank: bytes) -> None:
        self._place = place
        self._bank = bank
        self._store: PostgresStore | None = None
        self._opening = asyncio.Lock()

    async def opened(self) -> PostgresStore:
        async with self._opening:
            if self._store is None:
                self._store = await PostgresStore.open(self._place, self._bank)
        return self._store

    async def run(self, operation: Callable[[Books], T]) -> T:
        return await (await self.opened()).run(operation)

    async def read(self, operation: Callable[[View], T]) -> T:
        return await (await self.opened()).read(operation)

    async def close(self) -> None:
        if self._store is not None:
            await self._store.close()


class _Beside:
    """A command's store in a thread of its own, where no loop runs yet."""

    def __init__(self, place: Place, bank: bytes) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._store = self._thread.submit(PostgresCommandStore, place, bank).result()

    def run(self, operation: Callable[[Books], T]) -> T:
        return self._thread.submit(self._store.run, operation).result()

    def close(self) -> None:
        self._thread.submit(self._store.close).result()
        self._thread.shutdown()
