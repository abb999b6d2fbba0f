"""
The replay filter: which packets and which frames a node has seen. SQLite, on a durable disk.

The order in which a frame is taken in, and what is left of it when the process is killed after a step:

    1. `fresh`: tags and frame id inserted   nothing, they are rolled back. The frame comes again.
    2. the pool file commits the packets     packets of no known frame: a restart drops them.
    3. `commit`: tags and frame id on disk   the frame is ours: a restart keeps the packets. It comes again,
                                             and `knows_frame`: acknowledged, and not looked at.
    4. the frame is acknowledged             the same, or it doesn't come again.

So a packet is never lost after it was acknowledged, and never released twice: what is released belongs to
frames committed in step 3, and a tag committed there never is fresh again. A power cut may lose the pool file
(memory-backed), never the filter: then packets are lost, and conversations send them again.

Never restore this file from a backup, and never make an empty one for a key in use: packets seen since would
be accepted again, and whoever replays one sees where it goes. If the file is lost, its keys must be replaced.

Trust: whoever can change the file can replay packets, as if he had the node's keys.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from mix.frame import FrameId
from mix.packet.geometry import KeyId, Tag
from mixmint.database import open_database
from mixmint.errors import FatalError, UserError

SCHEMA = (
    """
    CREATE TABLE key (
        number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, retired INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE frame (id BLOB PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
    """,
)
CACHE_KIB = 16_384
"""How much of the file SQLite keeps in memory, whatever the number of tags."""
CHECKPOINT_PAGES = 4_000
"""The write-ahead log's length at which it is copied to the file: rarely, as tags are spread all over it."""


def create_filter(path: Path, keys: Iterable[KeyId]) -> None:
    """
    Make a filter for keys that were never used, or add such keys to it. For ``init`` and key rotation only.

    Raises UserError if a key is in it already.
    """
    connection = open_database(path, SCHEMA)
    try:
        connection.execute("BEGIN IMMEDIATE")
        for key_id in keys:
            number = connection.execute("INSERT INTO key (id) VALUES (?)", (key_id,)).lastrowid
            connection.execute(f"CREATE TABLE tag_{number} (tag BLOB PRIMARY KEY) WITHOUT ROWID")
        connection.execute("COMMIT")
    except sqlite3.IntegrityError:
        raise UserError(
            f"{path} has a filter for one of these keys already; make a new key instead"
        ) from None
    finally:
        connection.close()


class ReplayFilter:
    """
    The filter for these keys. Not for several threads at once; any one thread at a time may use it.

    `fresh` opens a transaction, into which several frames may go; `commit` or `rollback` ends it.

    Raises UserError if the file, or a key's filter in it, is missing.
    """

    def __init__(self, path: Path, keys: Iterable[KeyId]) -> None:
        if not path.exists():
            raise UserError(
                f"replay filter {path} is missing; its keys can't be used any more: make new ones"
            )
        self._connection = open_database(path, SCHEMA)
        self._cursor = self._connection.cursor()
        self._cursor.execute(f"PRAGMA cache_size={-CACHE_KIB}")
        self._cursor.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        self._inserts = {key_id: self._insert(key_id) for key_id in keys}

    def fresh(self, names: Sequence[tuple[KeyId, Tag]], frame_id: FrameId, epoch: int) -> list[bool]:
        """
        Which of these packets were never seen before, also not earlier among themselves.

        Tags and frame id are inserted, not yet committed. ``epoch`` says how long to remember the frame's id,
        see `prune`.

        Raises FatalError when it can't write (the transaction is rolled back), KeyError for a key that it
        wasn't opened for.
        """
        execute = self._cursor.execute
        try:
            if not self._connection.in_transaction:
                execute("BEGIN IMMEDIATE")
            # Row by row: a batch that fails as a whole on one duplicate would let a replay stop others.
            inserts = self._inserts
            fresh = [execute(inserts[key_id], (tag,)).rowcount == 1 for key_id, tag in names]
            execute("INSERT OR IGNORE INTO frame (id, epoch) VALUES (?, ?)", (frame_id, epoch))
        except sqlite3.Error as error:
            self.rollback()
            raise FatalError(f"the replay filter can't be written: {error}; is the disk full?") from None
        return fresh

    def commit(self) -> None:
        """
        Make durable what `fresh` inserted; when this returns, the frames may be acknowledged.

        Raises FatalError when it can't; nothing is committed then.
        """
        try:
            if self._connection.in_transaction:
                self._cursor.execute("COMMIT")
        except sqlite3.Error as error:
            self.rollback()
            raise FatalError(f"the replay filter can't be written: {error}; is the disk full?") from None

    def rollback(self) -> None:
        """Forget what was inserted since the last commit."""
        if self._connection.in_transaction:
            self._cursor.execute("ROLLBACK")

    def knows_frame(self, frame_id: FrameId) -> bool:
        """Whether the frame was inserted and, outside a transaction, committed: acknowledge it, no more."""
        row = self._cursor.execute("SELECT 1 FROM frame WHERE id = ?", (frame_id,)).fetchone()
        return row is not None

    def prune(self, before_epoch: int) -> None:
        """
        Forget the ids of frames recorded in earlier epochs.

        Should one come again nevertheless, all its packets are known by their tags, and are dropped. Call it
        between transactions.
        """
        self._cursor.execute("DELETE FROM frame WHERE epoch < ?", (before_epoch,))

    def retire(self, key_id: KeyId) -> None:
        """Drop the tags of a key that is accepted no more, for ever. Call it between transactions."""
        number = self._number(key_id)
        execute = self._cursor.execute
        execute("BEGIN IMMEDIATE")
        # The key stays listed, so that it can't be taken up again with an empty filter.
        execute("UPDATE key SET retired = 1 WHERE number = ?", (number,))
        execute(f"DROP TABLE tag_{number}")
        execute("COMMIT")
        self._inserts.pop(key_id, None)

    def close(self) -> None:
        """Roll back what isn't committed, and close the file."""
        self.rollback()
        self._connection.close()

    def _insert(self, key_id: KeyId) -> str:
        return f"INSERT OR IGNORE INTO tag_{self._number(key_id)} VALUES (?)"  # noqa: S608 - the number is ours

    def _number(self, key_id: KeyId) -> int:
        row = self._cursor.execute("SELECT number, retired FROM key WHERE id = ?", (key_id,)).fetchone()
        if row is None or row[1]:
            raise UserError(f"there is no replay filter for key {key_id.hex()}; make a new key")
        return int(row[0])
