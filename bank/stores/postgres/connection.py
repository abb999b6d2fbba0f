"""
Reaching PostgreSQL: one connection, its settings, and what its errors mean to the bank.

A password is never part of the address, of an argument or of a log line: it comes from a file of mode 0600,
or the server knows us otherwise (peer, certificate, ~/.pgpass).
"""

import logging
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

from bank.stores.postgres.schema import SCHEMA_NAME
from mixmint.errors import FatalError, MixmintError, Unavailable, UserError

CONNECT_S = 10
COMMAND_S = 60.0
"""A statement that takes longer is given up, and its connection with it."""
_LOCAL = frozenset({"", "localhost", "127.0.0.1", "::1"})
_SETTINGS = {
    "search_path": SCHEMA_NAME,
    "application_name": "mixmint bank",
    # An answer leaves when its commit is on disk, whatever the server's own default is.
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "30s",
    # The same few statements for ever, by primary keys: planning each anew would cost more than running it.
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}
_GONE = frozenset({"57P01", "57P02", "57P03", "25P03"})
"""Server shut down, crashed, starting; session ended by its own time limit."""
_AGAIN = frozenset({"40001", "40P01"})
"""Serialization failure, deadlock."""
_BUSY = frozenset({"55P03", "57014"})
_UNABLE = ("53", "54", "58", "25006")
"""Out of disk, memory or connections; limits; I/O errors; a server that is read-only."""

_log = logging.getLogger("bank.stores.postgres")


class Gone(Exception):
    """The connection is no more. What was sent as COMMIT may have happened, all else hasn't."""


class Again(Exception):
    """The transaction was rolled back and may go well if it is run once more; ``then``: if it never does."""

    def __init__(self, then: MixmintError) -> None:
        super().__init__(str(then))
        self.then = then


@dataclass(frozen=True, slots=True)
class Place:
    """Where the store is: an address without a password, and the file that has it."""

    dsn: str
    password_path: Path | None = None

    def __post_init__(self) -> None:
        """Raises UserError for an address with a password, or one over a network without saying about TLS."""
        try:
            parts = urlsplit(self.dsn)
            host, password = parts.hostname or "", parts.password
        except ValueError as error:
            raise UserError(f"postgres_dsn is no address: {error}") from None
        options = parse_qs(parts.query)
        if parts.scheme not in {"postgres", "postgresql"}:
            raise UserError("postgres_dsn is an address like postgresql:///mixmint?host=/run/postgresql")
        if password is not None or "password" in options:
            raise UserError(
                "postgres_dsn holds a password; put it into a file and name that with postgres_password_path"
            )
        hosts = [host, *options.get("host", [])]
        is_local = all(each in _LOCAL or each.startswith("/") for each in hosts)
        if not is_local and "sslmode" not in options:
            raise UserError(
                "postgres_dsn leads over a network: say sslmode=verify-full there (and sslrootcert), or what "
                "you have instead of TLS with sslmode=disable"
            )

    def __str__(self) -> str:
        return self.dsn

    def password(self) -> str | None:
        """Raises UserError: missing, or others can read it."""
        path = self.password_path
        if path is None:
            return None
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                raise UserError(f"others can read {path} (mode {mode:o}); chmod 600 {path}")
            return path.read_text("utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"can't read the password file {path}: {error}") from None


async def connect(place: Place, *, is_patient: bool = False) -> asyncpg.Connection:
    """
    ``is_patient``: for work that takes as long as it takes.

    Raises Unavailable (nobody answers), UserError (the server won't have us).
    """
    settings = _SETTINGS | {"idle_in_transaction_session_timeout": "0"} if is_patient else _SETTINGS
    try:
        connection = await asyncpg.connect(
            place.dsn,
            password=place.password(),
            timeout=CONNECT_S,
            command_timeout=None if is_patient else COMMAND_S,
            server_settings=settings,
        )
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise Unavailable(f"PostgreSQL at {place} doesn't answer: {_words(error)}; does it run?") from None
    except asyncpg.PostgresError as error:
        is_away = isinstance(meaning(error), Gone) or _is_unable(error)
        kind = Unavailable if is_away else UserError
        raise kind(f"PostgreSQL at {place} refuses us: {_words(error)}") from None
    except ValueError as error:
        raise UserError(f"postgres_dsn can't be used: {error}") from None
    return connection


async def warn_of_settings(connection: asyncpg.Connection) -> None:
    """Say what of the server's settings would forget commits in a power cut."""
    for name in ("fsync", "full_page_writes"):
        if await connection.fetchval("SELECT current_setting($1)", name) != "on":
            _log.warning("PostgreSQL runs with %s=off: a power cut can make it forget spent coins", name)


def meaning(error: Exception) -> Exception:
    """
    What an error inside a transaction means: Gone, Again, UserError (rolled back) or FatalError; one of ours
    as it is.
    """
    if isinstance(error, MixmintError | Gone | Again):
        return error
    if not isinstance(error, asyncpg.PostgresError):
        return Gone(_words(error))
    state = error.sqlstate or ""
    if state.startswith("08") or state in _GONE:
        return Gone(_words(error))
    if state in _AGAIN:
        return Again(UserError(f"others are in the way of the bank's store ({_words(error)}); try again"))
    if state.startswith("23"):
        # Somebody wrote beside the lock, between our reading and our writing. Read anew, the rules decide;
        # if that comes again, the books contradict themselves.
        return Again(FatalError(f"the books contradict themselves: {_words(error)}"))
    if state in _BUSY:
        return UserError(f"others hold the bank's store too long ({_words(error)}); try again")
    if _is_unable(error):
        return UserError(f"the store can't write: {_words(error)}; is the server's disk full?")
    return FatalError(f"the database refuses: {_words(error)}")


CONNECTION_ERRORS = (
    *(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError),
    # What asyncpg says when a connection is lost while it is in the middle of a word.
    asyncpg.InternalClientError,
)


def _is_unable(error: asyncpg.PostgresError) -> bool:
    return (error.sqlstate or "").startswith(_UNABLE)


def _words(error: BaseException) -> str:
    """One line; never a row's values, which PostgreSQL puts into details."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
