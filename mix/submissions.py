"""
What a gateway sends on for its endpoints: packets on disk from their acceptance until a first mix has them.

`take` and `next_frame` are operations for the daemon's `Writer`. The tables are in mailbox.py's schema, so
that all of a gateway is one file and one commit.

Source: docs/spec/gateway.md, section 5.
"""

import sqlite3
from collections.abc import Collection, Sequence
from random import Random

from mix.frame import MOST_PACKETS, Frame, FrameId
from mix.mailbox import QuotaError
from mix.packet.geometry import ADDRESSED_BYTES


def take(
    connection: sqlite3.Connection, owner: bytes, packets: Sequence[tuple[str, bytes]], most_per_owner: int
) -> None:
    """
    Queue packets, as (first mix, addressed packet), for the next ticks.

    Raises QuotaError when the owner has too many waiting already: he should slow down.
    """
    (waiting,) = connection.execute("SELECT COUNT(*) FROM waiting WHERE owner = ?", (owner,)).fetchone()
    if waiting + len(packets) > most_per_owner:
        raise QuotaError("waiting")
    connection.executemany(
        "INSERT INTO waiting (owner, peer, packet) VALUES (?, ?, ?)",
        ((owner, peer, packet) for peer, packet in packets),
    )


def next_frame(connection: sqlite3.Connection, peer: str, new_id: FrameId, rng: Random) -> Frame | None:
    """
    The frame to send to ``peer``: the recorded one that it hasn't acknowledged, else a new one, recorded.

    Owners take turns, so that a flood from one delays himself; inside the frame the order is random, so that
    it doesn't tell who was first.
    """
    row = connection.execute("SELECT id, packets FROM frame WHERE peer = ?", (peer,)).fetchone()
    if row is not None:
        return Frame(FrameId(row[0]), row[1])
    chosen = connection.execute(
        "SELECT number, packet FROM waiting JOIN ("
        "  SELECT number, row_number() OVER (PARTITION BY owner ORDER BY number) AS turn"
        "  FROM waiting WHERE peer = ?"
        ") USING (number) ORDER BY turn, number LIMIT ?",
        (peer, MOST_PACKETS),
    ).fetchall()
    if not chosen:
        return None
    connection.executemany("DELETE FROM waiting WHERE number = ?", ((number,) for number, _ in chosen))
    packets = [packet for _, packet in chosen]
    rng.shuffle(packets)
    frame = Frame(new_id, b"".join(packets))
    connection.execute(
        "INSERT INTO frame (peer, id, packets) VALUES (?, ?, ?)", (peer, new_id, frame.packets)
    )
    return frame


def acknowledged(connection: sqlite3.Connection, peer: str, frame_id: FrameId) -> None:
    """The peer has the frame, durably: it is no longer ours."""
    connection.execute("DELETE FROM frame WHERE peer = ? AND id = ?", (peer, frame_id))


def drop_for_others(connection: sqlite3.Connection, peers: Collection[str]) -> int:
    """
    Drop what waits for others than these first mixes: they have left, and their keys have ended. How many.
    """
    before = count_waiting(connection)
    for table in ("waiting", "frame"):
        there = [peer for (peer,) in connection.execute(f"SELECT DISTINCT peer FROM {table}")]  # noqa: S608 - our own two names
        gone = ((peer,) for peer in there if peer not in peers)
        connection.executemany(f"DELETE FROM {table} WHERE peer = ?", gone)  # noqa: S608 - our own two names
    return before - count_waiting(connection)


def count_waiting(connection: sqlite3.Connection) -> int:
    """Packets not yet acknowledged by a first mix, at start."""
    (waiting,) = connection.execute("SELECT COUNT(*) FROM waiting").fetchone()
    (framed,) = connection.execute("SELECT COALESCE(SUM(LENGTH(packets)), 0) FROM frame").fetchone()
    return int(waiting) + int(framed) // ADDRESSED_BYTES
