"""
What the board writes: groups taken from the feed, rounds closed. Each function runs inside one transaction.

State is read from the database at the start of each, never kept beside it (the coin index keeps a copy, which
it checks against the newest round). So a transaction that is rolled
back (a killed process, a full disk) leaves nothing to repair, and the path after a crash is the usual path.

    groups and the next expected number    one transaction: a group is in once or not at all
    round, entries, coin index, totals     one transaction: kill -9 leaves whole rounds
    groups that wait for the round's close are stored, so an acknowledged group survives a crash
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from bank.board import coins
from bank.board.coins import CoinIndex
from bank.board.feed import Batch, FeedReceipt, sign_receipt
from bank.board.rounds import NO_DIGEST, Round, pack, sign_round, unpack
from bank.board.totals import Totals
from mixmint.keys import SigningKey

SCHEMA = (
    coins.SCHEMA
    + """
CREATE TABLE rounds (
    round     INTEGER PRIMARY KEY,
    first     INTEGER NOT NULL,
    count     INTEGER NOT NULL,
    digest    BLOB NOT NULL,
    previous  BLOB NOT NULL,
    signature BLOB NOT NULL,
    closed_at INTEGER NOT NULL,  -- Unix seconds
    certified_units INTEGER NOT NULL,
    spent_units     INTEGER NOT NULL,
    coins           INTEGER NOT NULL,
    spent_coins     INTEGER NOT NULL,
    accounts        INTEGER NOT NULL,
    repeats         INTEGER NOT NULL,
    unknown         INTEGER NOT NULL
);
CREATE TABLE bundles (           -- one per round that isn't empty: its entries as they are hashed
    first   INTEGER PRIMARY KEY,
    round   INTEGER NOT NULL,
    entries BLOB NOT NULL
);
CREATE TABLE waiting (           -- groups of the round that is open, in the order they came
    place   INTEGER PRIMARY KEY,
    count   INTEGER NOT NULL,
    entries BLOB NOT NULL
);
CREATE TABLE feed (
    only       INTEGER PRIMARY KEY CHECK (only = 1),
    next_group INTEGER NOT NULL
);
INSERT INTO feed VALUES (1, 1);
"""
)
MIGRATIONS = (SCHEMA,)


@dataclass(frozen=True, slots=True)
class ClosedRound:
    """A round as it is stored: what is signed, when it closed (Unix seconds), the totals up to it."""

    round: Round
    closed_at_s: int
    totals: Totals


GENESIS = ClosedRound(Round(0, 0, 0, NO_DIGEST, NO_DIGEST, b""), 0, Totals())
"""What stands before the first round."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch: taken or not, the board's answer, and the rounds that it filled."""

    taken: bool
    receipt: FeedReceipt
    closed: tuple[ClosedRound, ...]


def read_round(row: Sequence[object]) -> ClosedRound:
    """A whole row of the table ``rounds``."""
    return ClosedRound(Round(*row[:6]), row[6], Totals(*row[7:]))  # type: ignore[arg-type]  # as the schema says


def newest_round(connection: sqlite3.Connection) -> ClosedRound:
    """The newest closed round, or GENESIS."""
    row = connection.execute("SELECT * FROM rounds ORDER BY round DESC LIMIT 1").fetchone()
    return read_round(row) if row else GENESIS


def take_batch(
    connection: sqlite3.Connection,
    key: SigningKey,
    index: CoinIndex,
    encoded: bytes,
    batch: Batch,
    round_entries: int,
    now_s: float,
) -> Taken:
    """
    Take a batch if it begins with the group that is waited for, else nothing of it.

    A round is closed as soon as it holds ``round_entries``, after the group that reached it: groups are
    never split.
    """
    head = newest_round(connection)
    (wanted,) = connection.execute("SELECT next_group FROM feed").fetchone()
    (held,) = connection.execute("SELECT coalesce(sum(count), 0) FROM waiting").fetchone()
    if batch.first != wanted:
        return Taken(False, _receipt(key, encoded, wanted, held, head), ())
    closed: list[ClosedRound] = []
    fresh: list[bytes] = []
    for group in batch.groups:
        fresh += group
        if held + len(fresh) >= round_entries:
            head = _close(connection, key, index, head, [*_take_waiting(connection, held), *fresh], now_s)
            closed.append(head)
            held, fresh = 0, []
    if fresh:
        connection.execute("INSERT INTO waiting (count, entries) VALUES (?, ?)", (len(fresh), pack(fresh)))
        held += len(fresh)
    if batch.groups:
        connection.execute("UPDATE feed SET next_group = ?", (batch.next,))
    return Taken(True, _receipt(key, encoded, batch.next, held, head), tuple(closed))


def close_round(
    connection: sqlite3.Connection, key: SigningKey, index: CoinIndex, now_s: float
) -> ClosedRound:
    """Close the open round with whatever waits, even with nothing: rounds are the network's clock."""
    head = newest_round(connection)
    (held,) = connection.execute("SELECT count(*) FROM waiting").fetchone()
    return _close(connection, key, index, head, _take_waiting(connection, held), now_s)


def _take_waiting(connection: sqlite3.Connection, held: int) -> list[bytes]:
    if not held:
        return []
    entries: list[bytes] = []
    for (bundle,) in connection.execute("SELECT entries FROM waiting ORDER BY place"):
        entries += unpack(bundle)
    connection.execute("DELETE FROM waiting")
    return entries


def _close(
    connection: sqlite3.Connection,
    key: SigningKey,
    index: CoinIndex,
    head: ClosedRound,
    entries: list[bytes],
    now_s: float,
) -> ClosedRound:
    entries.sort()
    before = head.round
    round_, bundle = sign_round(key, before.number + 1, before.next, before.digest, entries)
    totals = head.totals.plus(index.add_round(connection, round_.number, round_.first, entries))
    # A clock set back doesn't make the log go backwards.
    closed_at = max(int(now_s), head.closed_at_s)
    connection.execute(
        "INSERT INTO rounds VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            round_.number,
            round_.first,
            round_.count,
            round_.digest,
            round_.previous,
            round_.signature,
            closed_at,
            totals.certified_units,
            totals.spent_units,
            totals.coins,
            totals.spent_coins,
            totals.accounts,
            totals.repeats,
            totals.unknown,
        ),
    )
    if entries:
        connection.execute("INSERT INTO bundles VALUES (?, ?, ?)", (round_.first, round_.number, bundle))
    return ClosedRound(round_, closed_at, totals)


def _receipt(key: SigningKey, encoded: bytes, wanted: int, held: int, head: ClosedRound) -> FeedReceipt:
    """Whatever waits will be in the next round; when nothing waits, all of it is in closed ones."""
    newest = head.round.number
    return sign_receipt(key, encoded, wanted, newest + 1 if held else newest, newest)
