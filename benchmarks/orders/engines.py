"""Books of a bank on either engine, and many coins put on file at once."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol, cast

from bank.stores.interface import Books, Store
from bank.stores.postgres import Place, PostgresStore
from bank.stores.postgres.connection import connect
from bank.stores.postgres.opening import create_books
from bank.stores.sqlite import SqliteBook, SqliteStore, open_books
from bank.stores.sqlite.schema import CACHE_KIB
from tests.postgres import Server

SERVER_SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "shared_buffers": "2GB",
    "max_wal_size": "8GB",
    "log_min_messages": "warning",
}
"""As the operator's guide asks for on a machine with 8 GB of memory."""
EXPONENT = 3

_FILL_KIB = 4 * 1024 * 1024
"""SQLite's cache while coins are put on file: 10,000,000 of them fit."""

_CERTIFY = f"INSERT INTO certified (coin, exponent, epoch) VALUES (?, {EXPONENT}, ?)"  # noqa: S608 - ours

Coin = tuple[bytes, int]
"""A coin's id, and the epoch it was certified in."""


class Engine(Protocol):
    """Where the books of one bank are."""

    name: str

    async def open(self, bank: bytes) -> Store:
        """The daemon's store, made empty."""

    async def certify(self, coins: Iterable[Coin]) -> None:
        """Put these on file, beside the store."""

    async def fill(self, coins: int, epoch: int) -> None:
        """Put so many on file, half of them spent, and bring the files to rest."""


class Sqlite:
    """A file."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "bank.db"
        self._store: SqliteStore | None = None

    async def open(self, bank: bytes) -> Store:
        self._store = SqliteStore(open_books(self._path, bank))
        return self._store

    async def certify(self, coins: Iterable[Coin]) -> None:
        await self._write(_CERTIFY, list(coins))

    async def fill(self, coins: int, epoch: int) -> None:
        if coins:
            await self._write(f"PRAGMA cache_size=-{_FILL_KIB}")
            await self._write(_CERTIFY, ((key, epoch) for key in _ids(coins)))
            await self._write(
                "INSERT INTO spent VALUES (?, ?, ?, 1, ?)",
                ((key, key, 2 * key, epoch) for key in _ids(coins // 2)),
            )
            await self._write(f"PRAGMA cache_size=-{CACHE_KIB}")

    async def _write(self, sql: str, rows: Iterable[tuple[object, ...]] | None = None) -> None:
        """By the bank's own connection: a stranger's write would empty its cache."""

        def write(book: Books) -> None:
            connection = cast(SqliteBook, book).connection
            if rows is None:
                connection.execute(sql)
            else:
                connection.executemany(sql, rows)

        assert self._store is not None
        await self._store.run(write)
        await self._store.checkpoint()


class Postgres:
    """A database of a server that syncs."""

    name = "postgres"

    def __init__(self, server: Server) -> None:
        self._place = Place(server.database())

    async def open(self, bank: bytes) -> Store:
        connection = await connect(self._place)
        async with connection.transaction():
            await create_books(connection, bank)
        await connection.close()
        return await PostgresStore.open(self._place, bank)

    async def certify(self, coins: Iterable[Coin]) -> None:
        await self._copy("certified", ["coin", "epoch", "exponent"], ((*coin, EXPONENT) for coin in coins))

    async def fill(self, coins: int, epoch: int) -> None:
        await self.certify((key, epoch) for key in _ids(coins))
        await self._copy(
            "spent",
            ["key", "seal", "signature", "round", "epoch"],
            ((key, key, 2 * key, 1, epoch) for key in _ids(coins // 2)),
        )
        connection = await connect(self._place, is_patient=True)
        await connection.execute("VACUUM (ANALYZE) certified, spent")
        await connection.execute("CHECKPOINT")
        await connection.close()

    async def _copy(self, table: str, columns: list[str], rows: Iterable[tuple[object, ...]]) -> None:
        connection = await connect(self._place, is_patient=True)
        await connection.copy_records_to_table(
            table, records=rows, columns=columns, schema_name="mixmint_bank"
        )
        await connection.close()


def _ids(count: int) -> Iterator[bytes]:
    """
    Ids in the order in which they come to a bank: any. Sorted ones would be put on file sooner, but into
    pages without room, each of which the next coin splits.
    """
    for _ in range(count):
        yield os.urandom(32)
