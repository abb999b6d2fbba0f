"""
What a gateway keeps for its endpoints: owners, the hashes of their tokens, the packets that wait.

Trusted only to be there: a thief of this file learns keys of owners and sizes of mailboxes, no token and no
content. Restored from a backup it would hand out packets again; endpoints drop what they have seen.

Each function here is one operation on the connection, run by the daemon's `Writer`, so that operations that
arrive together share a commit.

Source: docs/spec/gateway.md, section 4.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mix.messages import MOST_ITEMS, FetchAnswer, Item, Registration, hash_token
from mixmint.errors import PeerError

SCHEMA = (
    """
    CREATE TABLE owner (
        number INTEGER PRIMARY KEY,
        public BLOB NOT NULL UNIQUE,
        seen_day INTEGER NOT NULL,             -- coarse: when an endpoint was here is its own business
        last_item INTEGER NOT NULL DEFAULT 0,  -- items are numbered per owner, or numbers would tell traffic
        held INTEGER NOT NULL DEFAULT 0,
        turned_away INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE token (
        hash BLOB PRIMARY KEY,
        owner INTEGER NOT NULL REFERENCES owner ON DELETE CASCADE,
        reminder BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX token_owner ON token (owner);
    CREATE TABLE item (
        owner INTEGER NOT NULL REFERENCES owner ON DELETE CASCADE,
        number INTEGER NOT NULL,
        token_hash BLOB NOT NULL,
        frame BLOB NOT NULL,
        packet BLOB NOT NULL,
        PRIMARY KEY (owner, number)
    ) WITHOUT ROWID;                           -- a rowid would tell the order of arrival over all owners
    -- Frames whose replay tags may not be recorded yet.
    CREATE TABLE arriving (frame BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE waiting (
        number INTEGER PRIMARY KEY,
        owner BLOB NOT NULL,
        peer TEXT NOT NULL,
        packet BLOB NOT NULL
    );
    CREATE INDEX waiting_owner ON waiting (owner);
    CREATE INDEX waiting_peer ON waiting (peer);
    CREATE TABLE frame (peer TEXT PRIMARY KEY, id BLOB NOT NULL, packets BLOB NOT NULL) WITHOUT ROWID;
    """,
)


@dataclass(frozen=True)
class Quota:
    """What one owner may use, and all together."""

    tokens_per_owner: int
    packets_per_owner: int
    owners: int


class QuotaError(PeerError):
    """More than the quota allows; the reason says which."""


def register(
    connection: sqlite3.Connection, owner: bytes, tokens: Sequence[Registration], day: int, quota: Quota
) -> None:
    """
    Register tokens to an owner's key; the same again changes nothing.

    A token that another owner has stays his, in silence: whoever knows a published token would learn from a
    refusal that its mailbox lives.

    Raises QuotaError.
    """
    row = connection.execute("SELECT number FROM owner WHERE public = ?", (owner,)).fetchone()
    if row is None:
        (owners,) = connection.execute("SELECT COUNT(*) FROM owner").fetchone()
        if owners >= quota.owners:
            raise QuotaError("owners")
        row = connection.execute(
            "INSERT INTO owner (public, seen_day) VALUES (?, ?) RETURNING number", (owner, day)
        ).fetchone()
    (number,) = row
    connection.executemany(
        "INSERT INTO token (hash, owner, reminder) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        ((hash_token(one.token), number, one.reminder) for one in tokens),
    )
    (held,) = connection.execute("SELECT COUNT(*) FROM token WHERE owner = ?", (number,)).fetchone()
    if held > quota.tokens_per_owner:
        raise QuotaError("tokens")


@dataclass
class Delivery:
    """What became of a frame's packets."""

    owners: set[bytes]
    kept: int = 0
    unknown: int = 0
    full: int = 0


def deliver(
    connection: sqlite3.Connection,
    frame: bytes,
    packets: Iterable[tuple[bytes, bytes]],
    quota: Quota,
    recorded: Sequence[bytes],
) -> Delivery:
    """
    Put a frame's packets, as (token, packet), into the mailboxes.

    Nobody is handed them before the frame's replay tags are recorded: until then its id stands in
    ``arriving``, and a restart takes back what came with it (`settle`), since the peer sends the frame again.
    ``recorded``: earlier frames that are recorded by now, and need no entry any longer.
    """
    connection.executemany("DELETE FROM arriving WHERE frame = ?", ((one,) for one in recorded))
    if (
        connection.execute(
            "INSERT INTO arriving (frame) VALUES (?) ON CONFLICT DO NOTHING", (frame,)
        ).rowcount
        == 0
    ):
        # It came before, and its tags could not be recorded: what it left is the same packets.
        _take_back(connection, frame)
    result = Delivery(owners=set())
    for token, packet in packets:
        hashed = hash_token(token)
        row = connection.execute(
            "SELECT owner, held, public FROM token JOIN owner ON owner.number = token.owner WHERE hash = ?",
            (hashed,),
        ).fetchone()
        if row is None:
            result.unknown += 1
            continue
        owner, held, public = row
        if held >= quota.packets_per_owner:
            connection.execute("UPDATE owner SET turned_away = turned_away + 1 WHERE number = ?", (owner,))
            result.full += 1
            continue
        connection.execute(
            "UPDATE owner SET held = held + 1, last_item = last_item + 1 WHERE number = ?", (owner,)
        )
        connection.execute(
            "INSERT INTO item (owner, number, token_hash, frame, packet)"
            " SELECT number, last_item, ?, ?, ? FROM owner WHERE number = ?",
            (hashed, frame, packet, owner),
        )
        result.kept += 1
        result.owners.add(public)
    return result


def settle(connection: sqlite3.Connection, is_recorded: Callable[[bytes], bool]) -> int:
    """At start: take back the packets of frames that were not recorded; returns how many."""
    taken_back = 0
    for (frame,) in connection.execute("SELECT frame FROM arriving").fetchall():
        if not is_recorded(frame):
            taken_back += _take_back(connection, frame)
        connection.execute("DELETE FROM arriving WHERE frame = ?", (frame,))
    return taken_back


def _take_back(connection: sqlite3.Connection, frame: bytes) -> int:
    # No index on the frame: this happens after crashes only.
    counts = connection.execute(
        "SELECT owner, COUNT(*) FROM item WHERE frame = ? GROUP BY owner", (frame,)
    ).fetchall()
    for owner, count in counts:
        connection.execute("UPDATE owner SET held = held - ? WHERE number = ?", (count, owner))
    connection.execute("DELETE FROM item WHERE frame = ?", (frame,))
    return sum(count for _, count in counts)


def fetch(
    connection: sqlite3.Connection,
    owner: bytes,
    acknowledge: Sequence[int],
    day: int,
    hidden: Callable[[bytes], bool],
) -> FetchAnswer:
    """
    Delete what the owner acknowledges; return what waits, oldest first, at most 256 packets.

    ``hidden(frame)``: the frame's tags are not recorded yet. An unknown owner gets the same empty answer as
    one whose mailbox is empty.
    """
    row = connection.execute(
        "SELECT number, seen_day, turned_away FROM owner WHERE public = ?", (owner,)
    ).fetchone()
    if row is None:
        return FetchAnswer((), 0)
    number, seen_day, turned_away = row
    deleted = sum(
        connection.execute("DELETE FROM item WHERE owner = ? AND number = ?", (number, one)).rowcount
        for one in acknowledge
    )
    if deleted or seen_day != day or turned_away:
        connection.execute(
            "UPDATE owner SET held = held - ?, seen_day = ?, turned_away = 0 WHERE number = ?",
            (deleted, day, number),
        )
    rows = connection.execute(
        "SELECT item.number, token_hash, reminder, packet, frame FROM item JOIN token ON hash = token_hash"
        " WHERE item.owner = ? ORDER BY item.number LIMIT ?",
        (number, MOST_ITEMS),
    ).fetchall()
    items = tuple(Item(*fields) for *fields, frame in rows if not hidden(frame))
    return FetchAnswer(items, turned_away)


def expire(connection: sqlite3.Connection, before_day: int) -> int:
    """Forget owners who were not seen since ``before_day``, with all that is theirs; returns how many."""
    return connection.execute("DELETE FROM owner WHERE seen_day < ?", (before_day,)).rowcount
