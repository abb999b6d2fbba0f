"""
The store that the settings name, opened for whoever asks.

PostgreSQL's client is imported only for banks that use it.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bank.announcing import check_terms
from bank.settings import BankSettings
from bank.stores.interface import CommandStore, Store
from bank.stores.sqlite import SqliteCommandStore, SqliteStore, open_books
from mixmint.errors import UserError

if TYPE_CHECKING:
    from bank.stores.postgres import Place


async def open_store(settings: BankSettings, bank: bytes) -> Store:
    """
    For the daemon of the bank with this id (32 bytes), inside its event loop. A missing store is never made:
    a bank that began anew would accept spent coins again.

    Raises UserError (missing, another bank's, unreadable, full disk, in use by another daemon), FatalError
    (damaged, newer version).
    """
    if settings.store == "postgres":
        from bank.stores.postgres import PostgresStore

        return await PostgresStore.open(place_of(settings), bank)
    _must_exist(settings)
    return SqliteStore(open_books(settings.database_path, bank))


def open_for_command(settings: BankSettings, bank: bytes) -> CommandStore:
    """For an operator's command, outside any loop; also beside a running bank. Raises as ``open_store``."""
    if settings.store == "postgres":
        from bank.stores.postgres import PostgresCommandStore

        return PostgresCommandStore(place_of(settings), bank)
    _must_exist(settings)
    return SqliteCommandStore(open_books(settings.database_path, bank))


def place_of(settings: BankSettings) -> "Place":
    """Where PostgreSQL is. Raises UserError for an address that can't be."""
    from bank.stores.postgres import Place

    return Place(settings.postgres_dsn, settings.postgres_password_path)


def check_store(settings: BankSettings, bank: bytes) -> None:
    """
    Open it, compare its terms with the settings', and let go of it.

    Raises as ``open_store``; UserError also when the settings' terms can't follow the published ones.
    """
    store = open_for_command(settings, bank)
    try:
        store.run(lambda books: check_terms(books, settings.terms))
    finally:
        store.close()


def _must_exist(settings: BankSettings) -> None:
    if not settings.database_path.exists():
        raise UserError(
            f"the books {settings.database_path} are missing; restore their newest copy (a bank that began "
            "anew would accept spent coins again)"
        )


def check_place(dsn: str, password_path: Path | None) -> None:
    """Whether new books can be made in this database. Raises UserError."""
    from bank.stores.postgres import Place
    from bank.stores.postgres.once import check_vacant

    asyncio.run(check_vacant(Place(dsn, password_path)))


def make_books(settings: BankSettings, bank: bytes) -> None:
    """
    Empty books for a new bank with this id (32 bytes), where the settings say. Where that is PostgreSQL, not
    inside a running event loop.

    Raises UserError: there are books, they can't be written, or the database can't be reached.
    """
    if settings.store == "sqlite":
        open_books(settings.database_path, bank).close()
        return
    from bank.stores.postgres.once import make_books as make_there

    asyncio.run(make_there(place_of(settings), bank))


@asynccontextmanager
async def fresh_store(settings: BankSettings, bank: bytes) -> AsyncGenerator[CommandStore]:
    """
    New books for a successor, where the settings say: in place once the caller is done, and not there at all
    if he raises. They are made in a file, which is the fastest; books in PostgreSQL are then copied there,
    compared and committed as `mixmint bank migrate` does it. What an earlier attempt left is removed.

    Raises UserError: there are books already, or they can't be written; PendingError: the connection to
    PostgreSQL broke at the commit.
    """
    if settings.store == "postgres":
        from bank.stores.moving import move_to_postgres
        from bank.stores.postgres.once import check_vacant

        place = place_of(settings)
        # Before the long work, not after it.
        await check_vacant(place)
        beside = settings.database_path.with_name(settings.database_path.name + ".new")
        _remove(beside)
        try:
            with closing(SqliteCommandStore(open_books(beside, bank))) as store:
                yield store
            await move_to_postgres(beside, place, bank, lambda line: None)
        finally:
            _remove(beside)
        return
    with _fresh_file(settings.database_path, bank) as file:
        yield file


@contextmanager
def _fresh_file(path: Path, bank: bytes) -> Iterator[CommandStore]:
    beside = path.with_name(path.name + ".new")
    if path.exists():
        raise UserError(f"there are books at {path}; move them away first: nothing is ever overwritten")
    for suffix in ("-wal", "-journal"):
        left = path.with_name(path.name + suffix)
        if left.exists():
            # SQLite would put those transactions into the new books.
            raise UserError(f"{left} belongs to the books that were here; move it to where they are")
    _remove(beside)
    connection = open_books(beside, bank)
    try:
        yield SqliteCommandStore(connection)
        # One file, and nothing beside it, can be put in place by one rename.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.close()
        beside.rename(path)
    finally:
        connection.close()
        _remove(beside)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
