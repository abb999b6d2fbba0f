"""
A witness's memory: of each log the checkpoint that it cosigned last, and signed proofs of forks.

Durability: ``advance`` returns after a commit that survives a power cut, so what was cosigned is never
forgotten by a crash. Trust: whoever puts an older file in its place makes the witness cosign a second past;
nothing here can notice that (docs/spec/witness.md, section 5).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bank.board.log.note import Note
from bank.board.witness.core import NOTHING_SEEN, Refusal, Request, Seen, decide
from mixmint.database import Writer, open_database
from mixmint.errors import UserError

MOST_FORKS = 8
"""Forks kept of one log: one convicts it, and a log that signs thousands can't fill our disk."""

MIGRATIONS = (
    """
    CREATE TABLE witness (key BLOB NOT NULL) STRICT;
    CREATE TABLE logs (
        origin TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        root BLOB NOT NULL,
        time INTEGER NOT NULL,
        note BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE forks (
        origin TEXT NOT NULL,
        root BLOB NOT NULL,
        size INTEGER NOT NULL,
        cosigned BLOB NOT NULL,
        refused BLOB NOT NULL,
        PRIMARY KEY (origin, root)
    ) STRICT, WITHOUT ROWID;
    """,
)


@dataclass(frozen=True, slots=True)
class Fork:
    """Two notes of one log with one size and two roots: the log's own signatures convict it."""

    origin: str
    cosigned: Note
    refused: Note


def create_store(path: Path, public: bytes) -> None:
    """Make the database of a new witness, whose key (32 bytes) is ``public``. Raises UserError."""
    with closing(open_database(path, MIGRATIONS)) as connection:
        connection.execute("INSERT INTO witness VALUES (?)", (public,))


def check_store(path: Path, public: bytes) -> None:
    """
    Whether the database is there and this witness's own.

    Raises UserError: a witness that goes on without its memory would cosign what it refused before.
    """
    with _opened(path) as connection:
        row = connection.execute("SELECT key FROM witness").fetchone()
        if row is None or row[0] != public:
            raise UserError(
                f"database {path} belongs to a witness with another key; use that one's own folder"
            )


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        raise UserError(
            f"database {path} is missing; a witness that forgot what it cosigned must not go on: "
            "make a new one, with a new key"
        )
    with closing(open_database(path, MIGRATIONS)) as connection:
        yield connection


def newest_seen(path: Path) -> dict[str, Seen]:
    """Each log's newest cosigned checkpoint, by its origin. Raises UserError."""
    with _opened(path) as connection:
        rows = connection.execute("SELECT origin, size, root, time FROM logs ORDER BY origin")
        return {origin: Seen(size, root, time) for origin, size, root, time in rows}


def forks_seen(path: Path) -> list[Fork]:
    """The forks that were kept. Raises UserError."""
    with _opened(path) as connection:
        rows = connection.execute("SELECT origin, cosigned, refused FROM forks ORDER BY origin, size, root")
        return [Fork(origin, Note.decode(one), Note.decode(other)) for origin, one, other in rows]


class WitnessStore:
    """Over a database that ``create_store`` made. Make it in a running event loop; ``close`` it when done."""

    def __init__(self, path: Path, public: bytes) -> None:
        check_store(path, public)
        self._writer = Writer(open_database(path, MIGRATIONS))

    async def advance(self, request: Request, note: Note, now_s: float) -> Seen:
        """
        Decide about a request whose signatures (``note``: those that count) were checked, and store what
        follows from it, in one transaction.

        Of two that start from the same size one advances; the other finds the new size and is refused. When
        this returns, the answer may be given, and given again after any crash.

        Raises Refusal (nothing changed), UserError when the disk is full (nothing changed).
        """
        result = await self._writer.run(lambda connection: _advance(connection, request, note, now_s))
        if isinstance(result, Refusal):
            raise result
        return result

    async def close(self) -> None:
        """Finish what is queued, then close."""
        await self._writer.close()


def _advance(connection: sqlite3.Connection, request: Request, note: Note, now_s: float) -> Seen | Refusal:
    origin = request.checkpoint.origin
    row = connection.execute("SELECT size, root, time, note FROM logs WHERE origin = ?", (origin,)).fetchone()
    seen = NOTHING_SEEN if row is None else Seen(row[0], row[1], row[2])
    try:
        after = decide(request, seen, now_s)
    except Refusal as refusal:
        # Returned, not raised: what is raised would take the kept fork back.
        if refusal.reason == "fork" and row is not None:
            _keep_fork(connection, request, row[3], note)
        return refusal
    if row is None or after != seen:
        # The same checkpoint asked for twice in one second costs no write.
        connection.execute(
            "INSERT OR REPLACE INTO logs VALUES (?, ?, ?, ?, ?)",
            (origin, after.size, after.root, after.time_s, note.encode()),
        )
    return after


def _keep_fork(connection: sqlite3.Connection, request: Request, cosigned: bytes, note: Note) -> None:
    checkpoint = request.checkpoint
    (kept,) = connection.execute(
        "SELECT count(*) FROM forks WHERE origin = ?", (checkpoint.origin,)
    ).fetchone()
    if kept < MOST_FORKS:
        connection.execute(
            "INSERT OR IGNORE INTO forks VALUES (?, ?, ?, ?, ?)",
            (checkpoint.origin, checkpoint.root, checkpoint.size, cosigned, note.encode()),
        )
