"""
``post.db``: a member's conversations, reply blocks and messages, in one file so that one transaction can
span them.

Rows are sealed; they are found by a keyed hash of their id, so a copied file doesn't tell which requests
(known to a service) or messages (known to their sender) are in it.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TypeVar

from mixmint.database import open_database
from mixmint.errors import FatalError, MalformedMessage, UserError
from mixmint.keys import Label, labelled_hash
from mixmint.sealing import Sealer
from mixmint.wire import Bytes16, Message, decode, encode
from replyblocks.conversation import NEVER, Conversation

ROW_NAME = Label("mixmint/post-row/v1")
DAY_S = 86400
HOUR_S = 3600
MOST_CONVERSATIONS = 4096
MOST_ROW_BYTES = 1 << 20

SCHEMA = (
    """
    CREATE TABLE conversation (name BLOB PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
    -- A block is deleted when it is used: an unknown, a used and an expired one look alike.
    CREATE TABLE block (
        name BLOB PRIMARY KEY, owner BLOB NOT NULL, expires_day INTEGER NOT NULL, sealed BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX block_owner ON block (owner);
    CREATE INDEX block_expires ON block (expires_day);
    CREATE TABLE fragment (
        message BLOB NOT NULL, part INTEGER NOT NULL, day INTEGER NOT NULL, sealed BLOB NOT NULL,
        UNIQUE (message, part)
    );
    CREATE INDEX fragment_day ON fragment (day);
    CREATE TABLE delivered (name BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE inbox (number INTEGER PRIMARY KEY AUTOINCREMENT, sealed BLOB NOT NULL);
    CREATE TABLE outbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB NOT NULL UNIQUE, waiting INTEGER NOT NULL,
        sealed BLOB NOT NULL
    );
    CREATE TABLE note (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
    # How many reply blocks went with a message; 0 also for those of before, of which it isn't known.
    "ALTER TABLE outbox ADD COLUMN given INTEGER NOT NULL DEFAULT 0;",
    # Long requests; ``side`` 0 is the request, 1 its answer.
    """
    CREATE TABLE long_request (name BLOB PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE long_part (
        name BLOB NOT NULL, side INTEGER NOT NULL, part INTEGER NOT NULL, sealed BLOB NOT NULL,
        UNIQUE (name, side, part)
    );
    """,
)


class Kind(IntEnum):
    """What an id names; part of the keyed hash, so ids of different kinds never meet."""

    CONVERSATION = 1
    BLOCK = 2
    FRAGMENT = 3
    DELIVERED = 4
    OUTBOX = 5
    LONG = 6


class ConversationRow(Message, frozen=True):
    """A Conversation at rest; ``next_ms`` is -1 for never."""

    request_id: Bytes16
    service: str
    body: bytes
    expires_s: int
    sendings: int
    next_ms: int
    answer: bytes | None


class BlockRow(Message, frozen=True):
    """A reply block we gave away: what it opens, and for whom (a request id, or an outbox id)."""

    kind: Kind
    owner: Bytes16
    expires_s: int
    secrets: bytes


R = TypeVar("R", bound=Message)


class Store:
    """The file. Methods that write must be inside ``transaction()``."""

    def __init__(self, path: Path, sealer: Sealer, naming_key: bytes) -> None:
        self.connection = open_database(path, SCHEMA)
        self._sealer = sealer
        self._naming_key = naming_key

    def close(self) -> None:
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it, durably, or nothing. Raises UserError when the disk is full or can't be written."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            yield
            self.connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise UserError(f"can't write the post's database: {error}; is the disk full?") from None
        finally:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def name(self, kind: Kind, *parts: bytes) -> bytes:
        """The 16 bytes that a row is found by."""
        return labelled_hash(ROW_NAME, self._naming_key, kind.to_bytes(1), *parts)[:16]

    def seal(self, row: Message, context: bytes) -> bytes:
        return self._sealer.seal(encode(row), context)

    def open(self, sealed: bytes, context: bytes, kind: type[R]) -> R:
        """Raises FatalError when the row was changed, or written by another version."""
        try:
            return decode(self._sealer.open(sealed, context), kind, MOST_ROW_BYTES)
        except MalformedMessage as error:
            raise FatalError(f"a row of post.db can't be read ({error}): another version wrote it") from None

    def seal_bytes(self, plain: bytes, context: bytes) -> bytes:
        return self._sealer.seal(plain, context)

    def open_bytes(self, sealed: bytes, context: bytes) -> bytes:
        return self._sealer.open(sealed, context)

    # Conversations

    def conversation(self, request_id: bytes) -> Conversation | None:
        name = self.name(Kind.CONVERSATION, request_id)
        found = self.connection.execute("SELECT sealed FROM conversation WHERE name = ?", (name,)).fetchone()
        if found is None:
            return None
        return self._conversation(found[0], name)

    def conversations(self) -> list[Conversation]:
        """All that are kept, in no order."""
        rows = self.connection.execute("SELECT sealed, name FROM conversation").fetchall()
        return [self._conversation(sealed, name) for sealed, name in rows]

    def _conversation(self, sealed: bytes, name: bytes) -> Conversation:
        row = self.open(sealed, name, ConversationRow)
        next_s = NEVER if row.next_ms < 0 else row.next_ms / 1000
        return Conversation(
            row.request_id, row.service, row.body, row.expires_s, row.sendings, next_s, row.answer
        )

    def put_conversation(self, state: Conversation) -> None:
        """Raises UserError when too many are kept already."""
        name = self.name(Kind.CONVERSATION, state.request_id)
        next_ms = -1 if state.next_s == NEVER else int(state.next_s * 1000)
        row = ConversationRow(
            state.request_id,
            state.service,
            state.body,
            state.expires_s,
            state.sendings,
            next_ms,
            state.answer,
        )
        sealed = self.seal(row, name)
        if self.connection.execute(
            "UPDATE conversation SET sealed = ? WHERE name = ?", (sealed, name)
        ).rowcount:
            return
        (kept,) = self.connection.execute("SELECT COUNT(*) FROM conversation").fetchone()
        if kept >= MOST_CONVERSATIONS:
            raise UserError(f"{kept} requests are still open; run: mixmint wallet resume")
        self.connection.execute("INSERT INTO conversation (name, sealed) VALUES (?, ?)", (name, sealed))

    def forget_conversation(self, request_id: bytes) -> None:
        self.connection.execute(
            "DELETE FROM conversation WHERE name = ?", (self.name(Kind.CONVERSATION, request_id),)
        )
        self.forget_blocks(Kind.CONVERSATION, request_id)

    # Reply blocks

    def put_block(self, kind: Kind, owner: bytes, block_id: bytes, expires_s: int, secrets: bytes) -> None:
        """Remember what opens a block, before it is given away."""
        name = self.name(Kind.BLOCK, block_id)
        sealed = self.seal(BlockRow(kind, owner, expires_s, secrets), name)
        self.connection.execute(
            "INSERT INTO block (name, owner, expires_day, sealed) VALUES (?, ?, ?, ?)",
            (name, self.name(kind, owner), expires_s // DAY_S, sealed),
        )

    def use_block(self, block_id: bytes, now_s: float) -> BlockRow | None:
        """
        Take a block's secrets out for their one use.

        None for an unknown, a used and an expired one alike. The row is gone with this transaction, so what
        it opens must be stored in the same one.
        """
        name = self.name(Kind.BLOCK, block_id)
        found = self.connection.execute(
            "DELETE FROM block WHERE name = ? RETURNING sealed", (name,)
        ).fetchone()
        if found is None:
            return None
        row = self.open(found[0], name, BlockRow)
        return row if row.expires_s > now_s else None

    def forget_blocks(self, kind: Kind, owner: bytes) -> None:
        """What still comes by this owner's other blocks is dropped as unknown."""
        self.connection.execute("DELETE FROM block WHERE owner = ?", (self.name(kind, owner),))

    def expire(self, now_s: float, fragments_keep_days: int) -> None:
        """Delete what nothing can come for any more."""
        today = int(now_s) // DAY_S
        self.connection.execute("DELETE FROM block WHERE expires_day < ?", (today,))
        self.connection.execute("DELETE FROM fragment WHERE day < ?", (today - fragments_keep_days,))

    # Notes

    def note(self, name: str) -> str:
        """A small remembered value, empty when there is none."""
        found = self.connection.execute("SELECT value FROM note WHERE name = ?", (name,)).fetchone()
        return str(found[0]) if found else ""

    def put_note(self, name: str, value: str) -> None:
        self.connection.execute("INSERT OR REPLACE INTO note (name, value) VALUES (?, ?)", (name, value))


def to_hour(now_s: float) -> int:
    """Times are kept to the hour: when exactly a person was here is nobody's business later."""
    return int(now_s) // HOUR_S * HOUR_S
