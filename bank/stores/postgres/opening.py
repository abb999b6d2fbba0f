"""Whose books these are, their version, and that nobody else runs them."""

import asyncio
import logging

import asyncpg

from bank.stores.postgres.connection import CONNECTION_ERRORS, Again, Gone, Place, connect, meaning
from bank.stores.postgres.schema import SCHEMA, SCHEMA_NAME
from mixmint.errors import FatalError, Unavailable, UserError

LOCK_S = 5.0
"""How long a session that died may be taken for alive: a server that is busy notices late."""
_PAUSE_S = 0.05

_log = logging.getLogger("bank.stores.postgres")


async def open_books(place: Place, bank: bytes, *, is_daemon: bool) -> asyncpg.Connection:
    """
    A connection to the books of the bank with this id (32 bytes); a daemon's has the bank's lock.

    Raises Unavailable, UserError, FatalError, as ``check_books`` and ``lock_bank``.
    """
    connection = await connect(place)
    try:
        if is_daemon:
            await lock_bank(connection, bank)
        await check_books(connection, bank)
    except BaseException as error:
        connection.terminate()
        if isinstance(error, CONNECTION_ERRORS):
            what = meaning(error)
            raise (Unavailable(str(what)) if isinstance(what, Gone | Again) else what) from None
        raise
    return connection


async def create_books(connection: asyncpg.Connection, bank: bytes) -> None:
    """
    Make empty books for the bank with this id (32 bytes), inside the caller's transaction.

    Raises UserError when there are some.
    """
    if await _version(connection) is not None:
        raise UserError("the database has books of a bank already")
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA_NAME}")
    await connection.execute("CREATE TABLE version (number integer NOT NULL)")
    for script in SCHEMA:
        await connection.execute(script)
    await connection.execute("INSERT INTO version VALUES ($1)", len(SCHEMA))
    await connection.execute(
        "INSERT INTO state (one, bank, next_group, newest_closed) VALUES (1, $1, 1, 0)", bank
    )


async def drop_books(connection: asyncpg.Connection) -> None:
    """Remove all of it: what a move that wasn't finished left, or a test."""
    await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA_NAME} CASCADE")


async def check_books(connection: asyncpg.Connection, bank: bytes) -> None:
    """
    Bring the books to the newest version, if they are this bank's.

    Before a change of tables that hold anything, all of them are copied beside, in the same transaction: into
    the schema ``mixmint_bank_before_<version>``. It goes when the operator drops it.

    Raises UserError (no books, another bank's), FatalError (a newer version's), and what asyncpg raises.
    """
    version = await _version(connection)
    if version is None:
        raise UserError(
            "the database has no bank's books; move them there: mixmint bank migrate --to postgres"
        )
    if version > len(SCHEMA):
        raise FatalError(f"the database was written by a newer version (schema {version} > {len(SCHEMA)})")
    if version < len(SCHEMA):
        async with connection.transaction():
            await _migrate(connection)
    await has_books(connection, bank)


async def is_vacant(connection: asyncpg.Connection) -> bool:
    """Whether the database has no bank's books."""
    return await _version(connection) is None


async def has_books(connection: asyncpg.Connection, bank: bytes) -> bool:
    """Whether this bank's books are there. Raises UserError when another's are."""
    if await _version(connection) is None:
        return False
    owner = bytes(await connection.fetchval("SELECT bank FROM state"))
    if owner != bank:
        raise UserError(f"the database belongs to bank {owner.hex()[:16]}, not {bank.hex()[:16]}")
    return True


async def lock_bank(connection: asyncpg.Connection, bank: bytes) -> None:
    """
    Take the bank's lock for as long as the connection lives.

    Raises UserError when another process has it.
    """
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + LOCK_S
    key = int.from_bytes(bank[:8], signed=True)
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", key):
        if loop.time() >= give_up_s:
            raise UserError(
                "another process runs this bank on this database; two would sign against each other. "
                "Stop the other one first"
            )
        await asyncio.sleep(_PAUSE_S)


async def _version(connection: asyncpg.Connection) -> int | None:
    if await connection.fetchval("SELECT to_regclass($1)", f"{SCHEMA_NAME}.version") is None:
        return None
    number = await connection.fetchval("SELECT number FROM version")
    return None if number is None else int(number)


async def _migrate(connection: asyncpg.Connection) -> None:
    # Whoever opens the books at the same time waits here, and finds them new.
    await connection.execute("LOCK TABLE version IN ACCESS EXCLUSIVE MODE")
    version = int(await connection.fetchval("SELECT number FROM version"))
    if version >= len(SCHEMA):
        return
    copy = f"{SCHEMA_NAME}_before_{version}"
    await _copy_beside(connection, copy)
    for script in SCHEMA[version:]:
        await connection.execute(script)
    await connection.execute("UPDATE version SET number = $1", len(SCHEMA))
    _log.warning(
        "the books have schema %d now; as they were before they are in schema %s, drop it when all is well",
        len(SCHEMA),
        copy,
    )


async def _copy_beside(connection: asyncpg.Connection, copy: str) -> None:
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", SCHEMA_NAME)
    await connection.execute(f"CREATE SCHEMA {copy}")
    for (table,) in tables:
        await connection.execute(f"CREATE TABLE {copy}.{table} AS TABLE {SCHEMA_NAME}.{table}")
