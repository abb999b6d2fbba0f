"""
A handler that remembers its answers, for services whose operations aren't idempotent by themselves.

What an operation changes and the answer it gave are one transaction of one database, so each request is
worked on once and answered as often as it comes. The same id with another body is refused.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mixmint.database import Writer, open_database
from mixmint.keys import Label, labelled_hash
from replyblocks.blocks import SKEW_S
from replyblocks.service import Request

REQUEST_DIGEST = Label("mixmint/request-digest/v1")
LONG_REQUEST_DIGEST = Label("mixmint/long-request-digest/v1")
REFUSED = b""
MOST_KEPT = 100_000
MOST_KEPT_BYTES = 256 << 20
PRUNE_EVERY_S = 60

SCHEMA = """
    CREATE TABLE answer (
        request_id BLOB PRIMARY KEY, digest BLOB NOT NULL, answer BLOB NOT NULL, expires_s INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX answer_expires ON answer (expires_s);
"""

Perform = Callable[[sqlite3.Connection, Request], bytes]


def open_answers(path: Path, schema: Sequence[str] = ()) -> sqlite3.Connection:
    """The database of a remembering service; ``schema``: the migrations of its own tables."""
    return open_database(path, (SCHEMA, *schema))


class Remembering:
    """
    Implements `replyblocks.service.Handler` around ``perform(connection, request)``.

    ``perform`` runs in the writer's thread and inside its transaction: what it writes to the connection
    counts if and only if its answer does. It must not have other effects. ``most_kept`` and ``most_bytes``
    bound the stored answers.
    """

    def __init__(
        self,
        writer: Writer,
        perform: Perform,
        *,
        most_kept: int = MOST_KEPT,
        most_bytes: int = MOST_KEPT_BYTES,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._perform = perform
        self._most_kept = most_kept
        self._most_bytes = most_bytes
        self._now_s = now_s
        self._prune_at_s = 0.0

    async def handle(self, requests: Sequence[Request]) -> Sequence[bytes]:
        """See `Handler`."""
        return await self._writer.run(lambda connection: self._answer(connection, requests))

    def _answer(self, connection: sqlite3.Connection, requests: Sequence[Request]) -> list[bytes]:
        answers = [self._answer_one(connection, request) for request in requests]
        now_s = self._now_s()
        if now_s >= self._prune_at_s:
            self._prune_at_s = now_s + PRUNE_EVERY_S
            self._prune(connection, now_s)
        return answers

    def _answer_one(self, connection: sqlite3.Connection, request: Request) -> bytes:
        # Short and long are different requests: the answer of one may not fit the other.
        digest = labelled_hash(LONG_REQUEST_DIGEST if request.is_long else REQUEST_DIGEST, request.body)
        found = connection.execute(
            "SELECT digest, answer FROM answer WHERE request_id = ?", (request.request_id,)
        ).fetchone()
        if found is not None:
            if found[0] != digest:
                return REFUSED
            # Asked anew with a later expiry: pruned by the first one, a resend would be worked on again.
            connection.execute(
                "UPDATE answer SET expires_s = ? WHERE request_id = ? AND expires_s < ?",
                (request.expires_s, request.request_id, request.expires_s),
            )
            return bytes(found[1])
        answer = self._perform(connection, request)
        connection.execute(
            "INSERT INTO answer (request_id, digest, answer, expires_s) VALUES (?, ?, ?, ?)",
            (request.request_id, digest, answer, request.expires_s),
        )
        return answer

    def _prune(self, connection: sqlite3.Connection, now_s: float) -> None:
        """
        Delete what no resend can ask for any more; then, if there is still too much, what lives longest.
        """
        connection.execute("DELETE FROM answer WHERE expires_s < ?", (int(now_s) - SKEW_S,))
        (kept,) = connection.execute("SELECT COUNT(*) FROM answer").fetchone()
        # A flood asks for long lives to fill the store; requests of honest members live for minutes.
        connection.execute(
            "DELETE FROM answer WHERE request_id IN"
            " (SELECT request_id FROM answer ORDER BY expires_s DESC LIMIT ?)",
            (max(0, kept - self._most_kept),),
        )
        connection.execute(
            "DELETE FROM answer WHERE request_id IN (SELECT request_id FROM (SELECT request_id,"
            " SUM(LENGTH(answer)) OVER (ORDER BY expires_s, request_id) AS kept FROM answer) WHERE kept > ?)",
            (self._most_bytes,),
        )
