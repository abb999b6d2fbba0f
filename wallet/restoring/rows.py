"""
A purse's rows, opened and out of the database, and into another one: what a backup consists of.

Read in one transaction, so they are of one moment, while the wallet may be at work. In the new database each
value is sealed anew, under the new home's key.
"""

import sqlite3
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from mixmint.database import open_database
from mixmint.errors import MalformedMessage, UserError
from mixmint.sealing import Sealer
from wallet.purse import SCHEMA, context_of

Row = tuple[str, tuple[Any, ...]]
"""A table's name and a row's values; what was sealed is open."""
_COLUMNS = {
    "fact": "name, sealed",
    "counter": "purpose, next, shown",
    "copy": "device, purpose, next",
    "coin": "row, found, sealed",
    "operation": "row, open, sealed",
}


def read_rows(path: Path, sealer: Sealer) -> Generator[Row, None, None]:
    """All rows of the purse at ``path``. Raises UserError: there is none; FatalError: it doesn't open."""
    if not path.exists():
        raise UserError(f"{path} is missing; there is no wallet here")
    with closing(open_database(path, SCHEMA)) as connection:
        # The first SELECT fixes what is seen; whatever is written meanwhile is the next backup's.
        connection.execute("BEGIN")
        for table, columns in _COLUMNS.items():
            for row in connection.execute(f"SELECT {columns} FROM {table}"):  # noqa: S608 - a fixed list
                yield table, _opened(sealer, table, row) if columns.endswith("sealed") else row


def write_rows(path: Path, sealer: Sealer, rows: Iterable[Row]) -> None:
    """
    Make a purse of rows, in one transaction: afterwards all of them are there, or none.

    Raises MalformedMessage: rows that no purse has; UserError: the disk is full.
    """
    with closing(open_database(path, SCHEMA)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for table, row in rows:
                columns = _COLUMNS.get(table)
                if columns is None or len(row) != columns.count(",") + 1:
                    raise MalformedMessage("row")
                sealed = _sealed(sealer, table, row) if columns.endswith("sealed") else row
                marks = ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", sealed)  # noqa: S608
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            raise UserError(f"can't write {path}: {error}; is the disk full?") from None
        except (sqlite3.Error, TypeError, OverflowError):
            raise MalformedMessage("row") from None


def _opened(sealer: Sealer, table: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
    return *row[:-1], sealer.open(row[-1], context_of(table, str(row[0])))


def _sealed(sealer: Sealer, table: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(row[-1], bytes):
        raise MalformedMessage("row")
    return *row[:-1], sealer.seal(row[-1], context_of(table, str(row[0])))
