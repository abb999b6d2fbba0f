"""
Moving a bank's books from SQLite to PostgreSQL, while the bank stands still.

    1. open the file so that nobody else can, and take the bank's lock in PostgreSQL
    2. in one transaction there: make the tables, copy every row, read all of it back, and compare counts and
       digests with the file's
    3. mark the file: nobody runs it from here on
    4. commit
    5. mark the file again: it has moved

A crash before 4 leaves nothing in PostgreSQL, and moving again begins anew. A crash after 4 leaves books that
were compared before they were committed: moving again only marks the file. Between 3 and 5 neither can be run
by mistake: the file is marked, and who runs PostgreSQL's runs what was compared.

A table's digest: SHA-256 over its rows in the order of its primary key; of each the number of its values,
and each value as its kind, its length and its bytes.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import asyncpg

from bank.stores.postgres.connection import CONNECTION_ERRORS, Gone, Place, connect, meaning
from bank.stores.postgres.opening import create_books, has_books, lock_bank
from bank.stores.postgres.schema import SCHEMA_NAME
from bank.stores.sqlite.keeping import MOVED, MOVING, mark, open_alone, version_of
from bank.stores.sqlite.schema import SCHEMA, open_books
from mixmint.errors import FatalError, PendingError, UserError

_ROWS = 20_000
"""Read at a time."""
_KINDS: dict[type, bytes] = {type(None): b"n", int: b"i", bytes: b"b"}


@dataclass(frozen=True, slots=True)
class Table:
    """What was moved: rows and their digest (32 bytes)."""

    name: str
    rows: int
    digest: bytes


class Digest:
    """Of rows, as they are added."""

    def __init__(self) -> None:
        self._hash = sha256()
        self.rows = 0

    def add(self, row: Collection[object]) -> None:
        """The row's values, in the order of the columns."""
        self.rows += 1
        parts = [len(row).to_bytes(2)]
        for value in row:
            data = value if isinstance(value, bytes) else b"" if value is None else str(value).encode()
            parts += _KINDS[type(value)], len(data).to_bytes(4), data
        self._hash.update(b"".join(parts))

    @property
    def value(self) -> bytes:
        """32 bytes."""
        return self._hash.digest()


async def move_to_postgres(path: Path, place: Place, bank: bytes, say: Callable[[str], None]) -> list[Table]:
    """
    Move the books of the bank with this id (32 bytes); what was moved, nothing if it had been before.

    Raises UserError (no books, in use, other books there; nothing happened), PendingError (the connection
    broke at the commit: the file is marked, do it again), FatalError (what was copied isn't what was read).
    """
    version = version_of(path)
    if version == 0:
        raise UserError(f"the books {path} are missing")
    if version < MOVING:
        open_books(path, bank).close()  # is it ours, and of the newest schema?
    with closing(open_alone(path)) as source:
        connection = await connect(place, is_patient=True)
        try:
            await lock_bank(connection, bank)
            return await _move(source, connection, bank, version, say)
        except CONNECTION_ERRORS as error:
            raise UserError(f"can't move the books: {meaning(error)}; nothing happened") from None
        finally:
            connection.terminate()


async def _move(
    source: sqlite3.Connection,
    connection: asyncpg.Connection,
    bank: bytes,
    version: int,
    say: Callable[[str], None],
) -> list[Table]:
    there = await has_books(connection, bank)
    if version >= MOVED and not there:
        raise UserError("these books have moved, but to another database; nothing is copied twice")
    if version >= MOVING and there:
        mark(source, MOVED + len(SCHEMA))
        return []
    if there:
        raise UserError(
            "the database has books of this bank already, which may be newer; nothing is overwritten"
        )
    transaction = connection.transaction()
    await transaction.start()
    await create_books(connection, bank)
    tables = [await _copy(source, connection, name, say) for name in _names(source)]
    await connection.execute("ANALYZE")
    mark(source, MOVING + len(SCHEMA))
    try:
        await transaction.commit()
    except CONNECTION_ERRORS as error:
        if isinstance(meaning(error), Gone):
            raise PendingError(
                "the connection broke at the commit; neither store can be run by mistake. Do it again"
            ) from None
        # The server said no: nothing is there.
        mark(source, len(SCHEMA))
        raise
    mark(source, MOVED + len(SCHEMA))
    return tables


async def _copy(
    source: sqlite3.Connection, connection: asyncpg.Connection, table: str, say: Callable[[str], None]
) -> Table:
    columns, key = _columns(source, table)
    await _check_columns(connection, table, columns)
    # Our own names, from the schema; values never come into it.
    select = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {', '.join(key)}"  # noqa: S608
    # The one row of some tables was made with them.
    await connection.execute(f"DELETE FROM {table}")  # noqa: S608 - as above
    here, there = Digest(), Digest()
    await connection.copy_records_to_table(
        table, records=_read(source, select, here), columns=columns, schema_name=SCHEMA_NAME
    )
    async for row in connection.cursor(select, prefetch=_ROWS):
        there.add(row)
    if (here.rows, here.value) != (there.rows, there.value):
        raise FatalError(f"table {table} differs after copying: {here.rows} rows here, {there.rows} there")
    say(f"{table}: {here.rows} rows, digest {here.value.hex()[:16]} on both sides")
    return Table(table, here.rows, here.value)


def _read(source: sqlite3.Connection, select: str, digest: Digest) -> Iterator[tuple[object, ...]]:
    for row in source.execute(select):
        digest.add(row)
        yield row


def _names(source: sqlite3.Connection) -> list[str]:
    """Tables, those that others refer to first."""
    names = [
        name
        for (name,) in source.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        if not name.startswith("sqlite_")
    ]
    owners = {name: {row[2] for row in source.execute(f"PRAGMA foreign_key_list({name})")} for name in names}
    return sorted(names, key=lambda name: (len(owners[name]), name))


def _columns(source: sqlite3.Connection, table: str) -> tuple[list[str], list[str]]:
    """Names of all columns, and of those of the primary key in its order."""
    info = source.execute(f"PRAGMA table_info({table})").fetchall()
    key = sorted((place, name) for _, name, *_, place in info if place)
    return [name for _, name, *_ in info], [name for _, name in key]


async def _check_columns(connection: asyncpg.Connection, table: str, columns: list[str]) -> None:
    rows = await connection.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2",
        *(SCHEMA_NAME, table),
    )
    if {name for (name,) in rows} != set(columns):
        raise FatalError(
            f"table {table} has other columns in PostgreSQL: these two schemas don't belong together"
        )
