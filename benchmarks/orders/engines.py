"""Books of a bank on either engine, and many coins put on file at once."""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

from bank.stores.interface import Store
from bank.stores.postgres import Place, PostgresStore
from bank.stores.postgres.connection import connect
from bank.stores.postgres.opening import create_books
from bank.stores.sqlite import SqliteStore, open_books
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

    async def open(self, bank: bytes) -> Store:
        return SqliteStore(open_books(self._path, bank))

    async def certify(self, coins: Iterable[Coin]) -> None:
        sql = f"INSERT INTO certified (coin, exponent, epoch) VALUES (?, {EXPONENT}, ?)"  # noqa: S608 - ours
        self._write(sql, coins)

    async def fill(self, coins: int, epoch: int) -> None:
        await self.certify((key, epoch) for key in _ids(coins))
        self._write(
            "INSERT INTO spent VALUES (?, ?, ?, 1, ?)",
            ((key, key, 2 * key, epoch) for key in _ids(coins // 2)),
        )

    def _write(self, sql: str, rows: Iterable[tuple[object, ...]]) -> None:
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            connection.execute("PRAGMA cache_size=-262144")
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(sql, rows)
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


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
    Ids spread evenly over all that there are, ascending: as many random ones would lie, but they needn't be
    sorted first.
    """
    step = 2**64 // max(1, count)
    for number in range(count):
        yield (number * step).to_bytes(8) + os.urandom(24)
