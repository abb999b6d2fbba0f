"""
The board's database and the log's files: a thread that writes and one that reads, each with its connection.

Durability: ``take``, ``submit``, ``sequence`` and ``commit`` return after a commit that survives a power cut.
Readers are shown published rounds only. Trust: the files are the operator's. Who changes them can't forge the
bank's or a coin's signatures, but could make the board sign a second past; start.py and witnesses are there
for that.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bank.board.feed import Batch
from bank.board.log.folder import TileFolder
from bank.board.log.tiles import Edge
from bank.board.rounds import MOST_GROUP_ENTRIES
from bank.board.writing import bank_keys, journal
from bank.board.writing.checkpoints import Checkpointer
from bank.board.writing.coins import Bundles, CoinIndex
from bank.board.writing.journal import GENESIS, ClosedRound, Sequenced, Taken
from bank.board.writing.start import Head
from mixmint.database import Writer, open_database
from mixmint.errors import FatalError, PeerError

T = TypeVar("T")
Within = Callable[[sqlite3.Connection, int], None]
"""What belongs into the transaction that takes entries, told their round. Raises to refuse them."""

_WRITER_CACHE_KIB = 65_536
"""The coin index is written at random places; what fits here costs no read: about a million coins."""

_SYNCING = 12
"""A round of 1,000 entries has 11 files."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A leaf with its index in the log and its round."""

    index: int
    round: int
    entry: bytes


def nothing_else(_: sqlite3.Connection, __: int) -> None:
    """No more than the entries."""


class BoardStore:
    """``open`` it inside a running event loop; ``close`` it when done."""

    _writer: Writer
    _reader: ThreadPoolExecutor
    _read_connection: sqlite3.Connection
    _checkpointer: Checkpointer
    _lock: int
    """The descriptor that keeps a second board out."""
    syncing: ThreadPoolExecutor
    """Threads that wait for the disk."""

    def __init__(self, path: Path, folder: TileFolder, round_entries: int) -> None:
        self._path = path
        self._folder = folder
        self._round_entries = round_entries
        self._index = CoinIndex(self._leaves)
        self.newest = GENESIS
        """The newest published round."""

    def open(self) -> tuple[Head, int]:
        """
        Returns what the database says was signed last, and the newest round that is full. ``publish`` must
        say what of it is public before anything is read or written.

        Raises UserError (can't be opened, disk full, another board runs on the folder) or FatalError
        (damaged, or of another version).
        """
        self._lock = self._folder.lock()
        try:
            connection = open_board(self._path)
            connection.execute(f"PRAGMA cache_size=-{_WRITER_CACHE_KIB}")
            closed, note = journal.head(connection)
            head = Head(closed, note, journal.round_before(connection, closed.number))
            full = journal.newest_full(connection, self._round_entries)
        except BaseException:
            os.close(self._lock)
            raise
        self._writer = Writer(connection)
        self._read_connection = open_board(self._path)
        self._read_connection.execute("PRAGMA query_only=ON")
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader")
        self.syncing = ThreadPoolExecutor(max_workers=_SYNCING, thread_name_prefix="sync")
        self._checkpointer = Checkpointer(self._path)
        return head, full

    async def load(self, head: ClosedRound) -> None:
        """Read again what the coin index has in memory, once the files are known to be whole."""
        await self._writer.run(lambda connection: self._index.load(connection, head.number, head.size))

    async def close(self) -> None:
        """Finish what is queued, then close every connection."""
        await self._writer.close()
        await asyncio.to_thread(self._checkpointer.close)
        await asyncio.to_thread(self._reader.shutdown)
        self.syncing.shutdown()
        self._read_connection.close()
        os.close(self._lock)

    def publish(self, closed: ClosedRound) -> None:
        """Its checkpoint is public: from now on it is shown."""
        self.newest = closed

    async def take(self, encoded: bytes, keys: tuple[bytes, bytes] | None = None) -> Taken:
        """
        Decode a batch (whose signature was checked) and take it, or refuse all of it. ``keys``: the key that
        signed it, and the bank's founding key; not given, nobody asks.

        Raises MalformedMessage, PeerError("signature") (the bank's key was changed meanwhile), Unavailable
        (the board is behind), UserError when the store can't write; then nothing was taken.
        """

        def work(connection: sqlite3.Connection) -> Taken:
            batch, since = Batch.decode(encoded), 0
            if keys is not None:
                feeding, since = bank_keys.feeding(connection, keys[1])
                if feeding != keys[0]:
                    raise PeerError("signature")
            return journal.take_batch(connection, batch, self._round_entries, self.newest.number, since)

        return await self._writer.run(work)

    async def submit(self, entries: Sequence[bytes], within: Within = nothing_else) -> Taken:
        """
        Take 1 to 255 entries that don't come by the feed, all for one round; the caller has checked them.

        ``within`` joins the transaction. Raises what it raises, Unavailable, UserError; nothing was taken.
        """
        if not 1 <= len(entries) <= MOST_GROUP_ENTRIES:
            raise ValueError("a group has 1 to 255 entries")

        def work(connection: sqlite3.Connection) -> Taken:
            taken = journal.submit(connection, entries, self._round_entries, self.newest.number)
            within(connection, taken.round)
            return taken

        return await self._writer.run(work)

    async def sequence(self, edge_at: Callable[[ClosedRound], Edge], now_s: float) -> Sequenced:
        """Fix the leaves of the next round, or find the one on its way. Raises UserError, FatalError."""
        published = self.newest.number
        return await self._writer.run(
            lambda connection: journal.sequence(connection, self._index, edge_at, published, now_s)
        )

    async def sequence_ahead(self, before: Sequenced, now_s: float) -> Sequenced | None:
        """Fix the leaves of the round after one that is on its way; None when that can't be done now."""
        return await self._writer.run(
            lambda connection: journal.sequence_ahead(connection, self._index, before, now_s)
        )

    async def commit(self, closed: ClosedRound, note: bytes) -> None:
        """Make a signed checkpoint the newest. Raises UserError, FatalError (somebody else did)."""
        await self._writer.run(lambda connection: journal.commit(connection, closed, note))

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Something else in a transaction of its own."""
        return await self._writer.run(work)

    async def rounds(self, after: int, limit: int) -> list[ClosedRound]:
        """Published rounds with numbers above ``after``, ascending."""
        newest = self.newest.number
        rows = "SELECT * FROM rounds WHERE round > ? AND round <= ? ORDER BY round LIMIT ?"
        return await self.read(lambda connection: _rounds(connection, rows, (after, newest, limit)))

    async def round_ending(self, size: int) -> ClosedRound | None:
        """The published round at whose end the log has ``size`` leaves."""
        newest = self.newest.number
        rows = "SELECT * FROM rounds WHERE first + count + 1 = ? AND first < ? AND round <= ?"
        found = await self.read(lambda connection: _rounds(connection, rows, (size, size, newest)))
        return found[0] if found else None

    async def newest_with_entries(self, limit: int) -> list[ClosedRound]:
        """The newest rounds that aren't empty, descending."""
        newest = self.newest.number
        rows = "SELECT * FROM rounds WHERE count > 0 AND round <= ? ORDER BY round DESC LIMIT ?"
        return await self.read(lambda connection: _rounds(connection, rows, (newest, limit)))

    async def entries(self, cursor: int, limit: int, most_bytes: int | None = None) -> list[Placed]:
        """
        Leaves of published rounds from index ``cursor`` on, without gaps, at most ``limit``; none after the
        one that reaches ``most_bytes``.
        """
        return await self.read(lambda connection: self._entries(connection, cursor, limit, most_bytes))

    async def coin(self, coin: bytes) -> list[Placed]:
        """The entries about one coin (id, 32 bytes), ascending: the first of each kind, and some repeats."""

        def work(connection: sqlite3.Connection) -> list[Placed]:
            found = self._index.find(connection, coin)
            return [placed for at in found for placed in self._entries(connection, at, 1)]

        return await self.read(work)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Something read from the database, in the reader's thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, work, self._read_connection)

    def _leaves(self, first: int, stop: int) -> Bundles:
        return self._folder.entries(first, stop, stop)

    def _entries(
        self, connection: sqlite3.Connection, cursor: int, limit: int, most_bytes: int | None = None
    ) -> list[Placed]:
        size = self.newest.size
        stop = min(size, cursor + limit)
        if cursor >= stop:
            return []
        # Every round has a leaf, so there are no more rounds than leaves.
        rows = (
            "SELECT * FROM rounds WHERE first >= (SELECT max(first) FROM rounds WHERE first <= ?)"
            " AND first < ? ORDER BY first"
        )
        rounds = iter(_rounds(connection, rows, (cursor, stop)))
        closed = next(rounds)
        found: list[Placed] = []
        held = 0
        for first, leaves in self._folder.entries(cursor, stop, size):
            for index, leaf in enumerate(leaves, start=first):
                if index == closed.size:
                    closed = next(rounds)
                found.append(Placed(index, closed.number, leaf))
                held += len(leaf)
                if most_bytes is not None and held >= most_bytes:
                    return found
        return found


def _rounds(connection: sqlite3.Connection, query: str, values: tuple[int, ...]) -> list[ClosedRound]:
    return [journal.read_round(row) for row in connection.execute(query, values)]


def open_board(path: Path) -> sqlite3.Connection:
    """
    Open (or create) a board's database.

    Raises UserError, FatalError as ``open_database``, and FatalError for a database from before the log.
    """
    _refuse_old(path)
    connection = open_database(path, journal.MIGRATIONS)
    connection.execute("PRAGMA wal_autocheckpoint=0")
    # What is deleted is what waited for its round, by the megabyte, and its pages are soon used again. Until
    # then they show which entries came as one group; docs/THREATS.md says so.
    connection.execute("PRAGMA secure_delete=OFF")
    return connection


def _refuse_old(path: Path) -> None:
    if not path.exists():
        return
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        old = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'bundles'").fetchone()
    except sqlite3.Error:
        return  # open_database says what is wrong with it
    finally:
        connection.close()
    if old:
        raise FatalError(f"{path} is of a board before there was a log; move it away: a new log begins")
