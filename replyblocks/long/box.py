"""
What a service keeps of long requests: parts that came, and answers whose parts are still being fetched.

In the service's own database, beside the answers that it remembers (`replyblocks.remembering`). Strangers
may fill it, so it is bounded; beyond the bounds goes what was quiet for longest. An honest asker is heard of
every few round trips, so who floods the box pushes out mostly his own, and who is pushed out sends his parts
again.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from mixmint.errors import MalformedMessage
from mixmint.keys import Label, labelled_hash
from replyblocks.blocks import SKEW_S
from replyblocks.long.formats import Head, Part
from replyblocks.long.parts import join

LONG_NAME = Label("mixmint/long-name/v1")
MOST_REQUESTS = 256
MOST_KEPT_BYTES = 64 << 20

LONG_SCHEMA = """
    CREATE TABLE long_request (
        name BLOB PRIMARY KEY, expires_s INTEGER NOT NULL, touched INTEGER NOT NULL, kept INTEGER NOT NULL,
        answer BLOB
    );
    CREATE INDEX long_touched ON long_request (touched);
    CREATE TABLE long_part (
        name BLOB NOT NULL, part INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (name, part)
    );
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What is there of a request: its answer, or its whole body, or else which parts."""

    parts: frozenset[int] = frozenset()
    body: bytes | None = field(default=None, repr=False)
    answer: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Box:
    """
    The operations, for the thread that owns the connection. ``most_requests`` and ``most_bytes`` bound what
    is kept of all requests together.
    """

    most_requests: int = MOST_REQUESTS
    most_bytes: int = MOST_KEPT_BYTES

    def put(self, connection: sqlite3.Connection, parts: Sequence[Part], now_s: float) -> None:
        """Keep parts. Their sizes are checked already (`decode_part`)."""
        for part in parts:
            name = _name(part.head)
            answered = self._touch(connection, name, part.head)
            if answered:
                continue  # a late copy
            added = connection.execute(
                "INSERT INTO long_part (name, part, data) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (name, part.part, part.data),
            ).rowcount
            connection.execute(
                "UPDATE long_request SET kept = kept + ? WHERE name = ?", (added * len(part.data), name)
            )
            self._make_room(connection)
        self._expire(connection, now_s)

    def look(self, connection: sqlite3.Connection, head: Head) -> Found:
        """
        What is there of this request. Parts that together aren't what the head names are all dropped.
        """
        name = _name(head)
        row = connection.execute("SELECT answer FROM long_request WHERE name = ?", (name,)).fetchone()
        if row is None:
            return Found()
        self._touch(connection, name, head)
        if row[0] is not None:
            return Found(answer=bytes(row[0]))
        parts = frozenset(
            part for (part,) in connection.execute("SELECT part FROM long_part WHERE name = ?", (name,))
        )
        if len(parts) < head.parts:
            return Found(parts)
        rows = connection.execute("SELECT part, data FROM long_part WHERE name = ?", (name,)).fetchall()
        try:
            return Found(parts, body=join(dict(rows), head.digest))
        except MalformedMessage:
            self._drop(connection, name)
            return Found()

    def keep_answer(self, connection: sqlite3.Connection, head: Head, answer: bytes) -> None:
        """In place of the request's parts; it is forgotten with the request."""
        name = _name(head)
        self._touch(connection, name, head)
        connection.execute("DELETE FROM long_part WHERE name = ?", (name,))
        connection.execute(
            "UPDATE long_request SET answer = ?, kept = ? WHERE name = ?", (answer, len(answer), name)
        )
        self._make_room(connection)

    def _touch(self, connection: sqlite3.Connection, name: bytes, head: Head) -> bool:
        """Make the request the newest; whether it is answered."""
        (newest,) = connection.execute("SELECT COALESCE(MAX(touched), 0) FROM long_request").fetchone()
        (answered,) = connection.execute(
            "INSERT INTO long_request (name, expires_s, touched, kept) VALUES (?, ?, ?, 0)"
            " ON CONFLICT (name) DO UPDATE SET touched = excluded.touched,"
            " expires_s = MAX(expires_s, excluded.expires_s) RETURNING answer IS NOT NULL",
            (name, head.expires_s, newest + 1),
        ).fetchone()
        return bool(answered)

    def _make_room(self, connection: sqlite3.Connection) -> None:
        while True:
            count, kept = connection.execute(
                "SELECT COUNT(*), COALESCE(SUM(kept), 0) FROM long_request"
            ).fetchone()
            if count <= self.most_requests and kept <= self.most_bytes:
                return
            (oldest,) = connection.execute(
                "SELECT name FROM long_request ORDER BY touched LIMIT 1"
            ).fetchone()
            self._drop(connection, oldest)

    def _expire(self, connection: sqlite3.Connection, now_s: float) -> None:
        over = connection.execute(
            "SELECT name FROM long_request WHERE expires_s < ?", (int(now_s) - SKEW_S,)
        ).fetchall()
        for (name,) in over:
            self._drop(connection, name)

    def _drop(self, connection: sqlite3.Connection, name: bytes) -> None:
        connection.execute("DELETE FROM long_part WHERE name = ?", (name,))
        connection.execute("DELETE FROM long_request WHERE name = ?", (name,))


def _name(head: Head) -> bytes:
    """What is about other bytes has another name, so parts that disagree never meet."""
    parts = (head.request_id, head.digest, head.size.to_bytes(4))
    return labelled_hash(LONG_NAME, *parts)[:16]
