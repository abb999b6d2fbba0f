"""
The board's database: one writer thread, one reader thread, each with its own connection.

Durability: ``take`` and ``close_round`` return after a commit that survives a power cut. Readers see whole
transactions, so never half a round. Trust: the file is the operator's. Who changes it can't forge the bank's
or a coin's signatures, but can make the board sign a second past; readers with a cursor notice.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bank.board import journal
from bank.board.checkpoints import Checkpointer
from bank.board.coins import CoinIndex, find_coin
from bank.board.feed import Batch
from bank.board.journal import GENESIS, ClosedRound, Taken
from bank.board.rounds import unpack
from mixmint.database import Writer, open_database
from mixmint.keys import SigningKey

T = TypeVar("T")

_WRITER_CACHE_KIB = 65_536
"""The coin index is written at random places; what fits here costs no read: about a million coins."""


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry with its index in the log and the round that shows it."""

    index: int
    round: int
    entry: bytes


class BoardStore:
    """``open`` it inside a running event loop; ``close`` it when done."""

    _writer: Writer
    _reader: ThreadPoolExecutor
    _read_connection: sqlite3.Connection
    _checkpointer: Checkpointer

    def __init__(self, path: Path, key: SigningKey, round_entries: int) -> None:
        self._path = path
        self._key = key
        self._round_entries = round_entries
        self._index = CoinIndex()
        self.newest = GENESIS
        """The newest closed round, as of the last commit that this process made."""

    def open(self) -> None:
        """Raises UserError (can't be opened, disk full) or FatalError (damaged)."""
        connection = open_database(self._path, journal.MIGRATIONS)
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute(f"PRAGMA cache_size=-{_WRITER_CACHE_KIB}")
        self.newest = journal.newest_round(connection)
        self._writer = Writer(connection)
        self._read_connection = open_database(self._path, journal.MIGRATIONS)
        self._read_connection.execute("PRAGMA query_only=ON")
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader")
        self._checkpointer = Checkpointer(self._path)

    async def close(self) -> None:
        """Finish what is queued, then close every connection."""
        await self._writer.close()
        await asyncio.to_thread(self._checkpointer.close)
        await asyncio.to_thread(self._reader.shutdown)
        self._read_connection.close()

    async def take(self, encoded: bytes, now_s: float) -> Taken:
        """
        Decode a batch (whose signature was checked) and take it, or refuse all of it.

        Raises MalformedMessage, UserError when the store can't write; then nothing was taken.
        """

        def work(connection: sqlite3.Connection) -> Taken:
            batch = Batch.decode(encoded)
            return journal.take_batch(
                connection, self._key, self._index, encoded, batch, self._round_entries, now_s
            )

        taken = await self._writer.run(work)
        if taken.closed:
            self._note(taken.closed[-1])
        return taken

    async def close_round(self, now_s: float) -> ClosedRound:
        """Close the open round. Raises UserError when the store can't write; then it stays open."""
        closed = await self._writer.run(
            lambda connection: journal.close_round(connection, self._key, self._index, now_s)
        )
        self._note(closed)
        return closed

    def _note(self, closed: ClosedRound) -> None:
        # Operations that shared a commit may resolve in one go: only ever forwards.
        if closed.round.number > self.newest.round.number:
            self.newest = closed

    async def rounds(self, after: int, limit: int) -> list[ClosedRound]:
        """Closed rounds with numbers above ``after``, ascending."""

        def work(connection: sqlite3.Connection) -> list[ClosedRound]:
            rows = connection.execute(
                "SELECT * FROM rounds WHERE round > ? ORDER BY round LIMIT ?", (after, limit)
            )
            return [journal.read_round(row) for row in rows]

        return await self._read(work)

    async def newest_with_entries(self, limit: int) -> list[ClosedRound]:
        """The newest rounds that aren't empty, descending."""

        def work(connection: sqlite3.Connection) -> list[ClosedRound]:
            rows = connection.execute(
                "SELECT rounds.* FROM bundles JOIN rounds USING (round) ORDER BY bundles.first DESC LIMIT ?",
                (limit,),
            )
            return [journal.read_round(row) for row in rows]

        return await self._read(work)

    async def entries(self, cursor: int, limit: int) -> list[Placed]:
        """Entries of closed rounds from index ``cursor`` on, without gaps, at most ``limit``."""
        return await self._read(lambda connection: _entries(connection, cursor, limit))

    async def coin(self, coin: bytes) -> list[Placed]:
        """All entries about one coin (id, 32 bytes), ascending."""

        def work(connection: sqlite3.Connection) -> list[Placed]:
            return [placed for at in find_coin(connection, coin) for placed in _entries(connection, at, 1)]

        return await self._read(work)

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, work, self._read_connection)


def _entries(connection: sqlite3.Connection, cursor: int, limit: int) -> list[Placed]:
    found: list[Placed] = []
    rows = connection.execute(
        "SELECT first, round, entries FROM bundles"
        " WHERE first >= coalesce((SELECT max(first) FROM bundles WHERE first <= ?1), 0) ORDER BY first",
        (cursor,),
    )
    for first, round_, bundle in rows:
        for index, entry in enumerate(unpack(bundle), start=first):
            if index >= cursor:
                found.append(Placed(index, round_, entry))
                if len(found) == limit:
                    rows.close()
                    return found
    return found
