"""
What the board writes into its database. Each function runs inside one transaction.

State is read from the database at the start of each, never kept beside it (the coin index keeps a copy, which
it checks against the newest round). So a transaction that is rolled back (a killed process, a full disk)
leaves nothing to repair, and the path after a crash is the usual path.

    waiting    entries that came, with the round they are for, until that round's checkpoint is signed
    rounds     one row for each round whose leaves are fixed ("sequenced")
    head       the newest checkpoint that was signed: the one thing that must never go back
    feed       the bank's next group, and the round of the last one
    key_changes  changes of the bank's key, with their rounds (bank_keys.py)

What has left ``waiting`` stands in the log's files, and only there.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass

from bank.board.feed import Batch
from bank.board.log.tiles import Edge, File, pack, unpack
from bank.board.log.tree import EMPTY_ROOT
from bank.board.rounds import FULL_ROUND_BYTES, leaves_of
from bank.board.totals import Totals
from bank.board.writing import bank_keys, coins, notable
from bank.board.writing.coins import CoinIndex
from mixmint.errors import FatalError, Unavailable

SCHEMA = (
    coins.SCHEMA
    + notable.SCHEMA
    + """
CREATE TABLE rounds (
    round     INTEGER PRIMARY KEY,
    first     INTEGER NOT NULL UNIQUE,  -- index of its first leaf
    count     INTEGER NOT NULL,         -- entries; the mark comes after them
    root      BLOB NOT NULL,            -- of the log up to and including the mark
    closed_at INTEGER NOT NULL,         -- Unix seconds
    certified_units INTEGER NOT NULL,
    spent_units     INTEGER NOT NULL,
    coins           INTEGER NOT NULL,
    spent_coins     INTEGER NOT NULL,
    accounts        INTEGER NOT NULL,
    repeats         INTEGER NOT NULL,
    unknown         INTEGER NOT NULL,
    replaced_units  INTEGER NOT NULL,
    replaced_coins  INTEGER NOT NULL
);
CREATE INDEX rounds_with_entries ON rounds (round) WHERE count > 0;
CREATE TABLE waiting (
    place   INTEGER PRIMARY KEY,
    round   INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    entries BLOB NOT NULL
);
CREATE TABLE feed (
    only       INTEGER PRIMARY KEY CHECK (only = 1),
    next_group INTEGER NOT NULL,        -- 0: unknown, after a recovery from the log's files
    proposed   INTEGER NOT NULL,        -- then: where the last batch began that had no groups, or 0
    round      INTEGER NOT NULL         -- of the last group
);
INSERT INTO feed VALUES (1, 1, 0, 0);
CREATE TABLE head (
    only  INTEGER PRIMARY KEY CHECK (only = 1),
    round INTEGER NOT NULL,
    note  BLOB NOT NULL                 -- the signed checkpoint; empty before the first
);
INSERT INTO head VALUES (1, 0, x'');
"""
)
MIGRATIONS = ("", SCHEMA, bank_keys.SCHEMA)
"""The first is that of the boards before there was a log; their databases can't be brought over."""

MOST_UNPUBLISHED = 8
"""Rounds that are full and not published: with more of them behind, nothing more is taken."""

BEHIND = "the board is behind with publishing; try again in a moment"


@dataclass(frozen=True, slots=True)
class ClosedRound:
    """
    A round: its number (from 1), the index of its first leaf, how many entries it has (its mark comes after
    them), the log's root at its end (32 bytes), when it closed (Unix seconds), and the totals up to it.
    """

    number: int
    first: int
    count: int
    root: bytes
    closed_at_s: int
    totals: Totals

    @property
    def size(self) -> int:
        """The log's size at its end."""
        return self.first + self.count + 1 if self.number else 0


GENESIS = ClosedRound(0, 0, 0, EMPTY_ROOT, 0, Totals())
"""What stands before the first round."""


@dataclass(frozen=True, slots=True)
class Taken:
    """
    What became of a batch: taken or not, the next group, the round of the last one, and the newest round that
    is full.
    """

    taken: bool
    next_group: int
    round: int
    full: int


@dataclass(frozen=True, slots=True)
class Sequenced:
    """
    A round on its way to publication. ``note``: its signed checkpoint, when there is one already; else
    ``edge`` and ``files``: what the log's files must be for it.
    """

    closed: ClosedRound
    edge: Edge
    files: Sequence[File]
    note: bytes = b""


def read_round(row: Sequence[object]) -> ClosedRound:
    """A whole row of the table ``rounds``."""
    number, first, count, root, closed_at_s, *totals = row
    # The columns are as the schema says.
    return ClosedRound(number, first, count, root, closed_at_s, Totals(*totals))  # type: ignore[arg-type]


def newest_sequenced(connection: sqlite3.Connection) -> ClosedRound:
    """The newest round whose leaves are fixed, or GENESIS."""
    row = connection.execute("SELECT * FROM rounds ORDER BY round DESC LIMIT 1").fetchone()
    return read_round(row) if row else GENESIS


def head(connection: sqlite3.Connection) -> tuple[ClosedRound, bytes]:
    """The newest round with a signed checkpoint, and that; GENESIS and nothing before the first."""
    number, note = connection.execute("SELECT round, note FROM head").fetchone()
    if not number:
        return GENESIS, b""
    row = connection.execute("SELECT * FROM rounds WHERE round = ?", (number,)).fetchone()
    if row is None:
        raise FatalError(f"round {number}, whose checkpoint was signed, is not in the database")
    return read_round(row), note


def round_before(connection: sqlite3.Connection, number: int) -> ClosedRound:
    """The round before this one, or GENESIS."""
    row = connection.execute("SELECT * FROM rounds WHERE round = ?", (number - 1,)).fetchone()
    return read_round(row) if row else GENESIS


def newest_full(connection: sqlite3.Connection, round_entries: int) -> int:
    """The newest round that needn't wait for the clock: it is full, or a later one has entries."""
    filling = _Filling(connection, round_entries)
    return filling.full


class _Filling:
    """Which round the next group is for."""

    def __init__(self, connection: sqlite3.Connection, round_entries: int) -> None:
        self._most = round_entries
        sequenced = newest_sequenced(connection).number
        row = connection.execute(
            "SELECT round, sum(count), sum(length(entries)) FROM waiting WHERE round > ?"
            " GROUP BY round ORDER BY round DESC LIMIT 1",
            (sequenced,),
        ).fetchone()
        found: tuple[int, int, int] = row or (sequenced + 1, 0, 0)
        self.round, self._held, self._bytes = found

    @property
    def full(self) -> int:
        return self.round if self._is_full else self.round - 1

    @property
    def _is_full(self) -> bool:
        return self._held >= self._most or self._bytes >= FULL_ROUND_BYTES

    def place(self, group: Sequence[bytes]) -> int:
        """The round of a group of entries. A round is full after the group that reached it."""
        if group and self._is_full:
            self.round, self._held, self._bytes = self.round + 1, 0, 0
        self._held += len(group)
        self._bytes += sum(map(len, group))
        return self.round

    def check(self, published: int, most: int) -> None:
        """Raises Unavailable when too much waits to be published."""
        if self.full - published >= most:
            raise Unavailable(BEHIND)


def take_batch(
    connection: sqlite3.Connection,
    batch: Batch,
    round_entries: int,
    published: int,
    since: int = 0,
) -> Taken:
    """
    Take a batch if it begins with the group that is waited for, else nothing of it. ``published``: the newest
    published round; ``since``: the round that has the newest change of the bank's key, or 0.

    Groups and the next expected number are one transaction: a group is in once or not at all. Each group's
    round is fixed here, and no group is split over two.

    Raises Unavailable when too many full rounds wait already; nothing was taken.
    """
    if since > published:
        # Its entries must not be in one round with the old key's.
        raise Unavailable("the change of the bank's key isn't public yet; try again in a moment")
    wanted, proposed, last = connection.execute("SELECT next_group, proposed, round FROM feed").fetchone()
    filling = _Filling(connection, round_entries)
    if batch.first != (wanted or proposed) or not (wanted or batch.groups):
        if not wanted:
            # Only the bank can tell where it goes on; it does so by asking for the clock first. Groups alone
            # may come from a bank that doesn't know of the recovery, questions alone from one that is still
            # reading the log: neither number is right.
            proposed = 0 if batch.groups else batch.first
            connection.execute("UPDATE feed SET proposed = ?", (proposed,))
        return Taken(False, wanted, last, filling.full)
    if batch.groups:
        filling.check(published, MOST_UNPUBLISHED)
        last = _wait(connection, filling, batch.groups)
    if batch.next != wanted:
        connection.execute("UPDATE feed SET next_group = ?, round = ?", (batch.next, last))
    return Taken(True, batch.next, last, filling.full)


def submit(
    connection: sqlite3.Connection, entries: Sequence[bytes], round_entries: int, published: int
) -> Taken:
    """
    Take entries that don't come by the bank's feed, as one group: 1 to 255, checked by the caller.

    Raises Unavailable when too many full rounds wait already; nothing was taken.
    """
    filling = _Filling(connection, round_entries)
    # A bank that feeds as fast as it can must not keep everybody else out.
    filling.check(published, 2 * MOST_UNPUBLISHED)
    round_ = _wait(connection, filling, [entries])
    return Taken(True, 0, round_, filling.full)


def begin_feed(connection: sqlite3.Connection, round_: int) -> None:
    """The bank's key changes in this round: its successor's groups are numbered from 1."""
    connection.execute("UPDATE feed SET next_group = 1, proposed = 0, round = ?", (round_,))


def _wait(connection: sqlite3.Connection, filling: _Filling, groups: Iterable[Sequence[bytes]]) -> int:
    """Put groups into ``waiting``, a row for each round; the round of the last group."""
    fresh: list[bytes] = []
    round_ = 0

    def flush() -> None:
        if fresh:
            row = (round_, len(fresh), pack(fresh))
            connection.execute("INSERT INTO waiting (round, count, entries) VALUES (?, ?, ?)", row)
            fresh.clear()

    for group in groups:
        place = filling.place(group)
        if place != round_:
            flush()
            round_ = place
        fresh += group
    flush()
    return round_


def sequence(
    connection: sqlite3.Connection,
    index: CoinIndex,
    edge_at: Callable[[ClosedRound], Edge],
    published: int,
    now_s: float,
) -> Sequenced:
    """
    Fix the leaves of the next round: whatever waits for it, even nothing: rounds are the network's clock.

    Should a round be on its way already (its publication failed, or the process was killed), it is that one,
    with the same leaves: they follow from ``rounds`` and ``waiting``, which this transaction left behind.

    ``edge_at``: the log's edge at the end of a round; ``published``: the newest published round.
    """
    signed, note = head(connection)
    if signed.number > published:
        return Sequenced(signed, Edge(), (), note)
    edge = edge_at(signed)
    if newest_sequenced(connection).number > signed.number:
        return _again(connection, index, signed, edge)
    return _next(connection, index, signed, edge, now_s)


def sequence_ahead(
    connection: sqlite3.Connection, index: CoinIndex, before: Sequenced, now_s: float
) -> Sequenced | None:
    """
    Fix the leaves of the round after one whose files are being written just now.

    None when that isn't the newest any more, or the index would have to read those files.
    """
    if newest_sequenced(connection) != before.closed or not index.is_at(before.closed.number):
        return None
    if bank_keys.is_awaited(connection, before.closed.number + 1):
        # What it makes void is read from the log, and the newest of that isn't on disk yet.
        return None
    return _next(connection, index, before.closed, before.edge, now_s)


def _next(
    connection: sqlite3.Connection, index: CoinIndex, before: ClosedRound, edge: Edge, now_s: float
) -> Sequenced:
    number, first = before.number + 1, before.size
    # A clock set back doesn't make the log go backwards.
    closed_at_s = max(int(now_s), before.closed_at_s)
    leaves = leaves_of(number, closed_at_s, first, _entries_for(connection, number))
    grown, files = edge.grow(leaves)
    totals = before.totals.plus(index.add_round(connection, number, first, leaves[:-1]))
    totals = totals.plus(
        index.void(connection, first, leaves, bank_keys.voided_by(connection, number, first, leaves))
    )
    closed = ClosedRound(number, first, len(leaves) - 1, grown.root(), closed_at_s, totals)
    insert_round(connection, closed)
    notable.add_round(connection, number, first, leaves)
    return Sequenced(closed, grown, files)


def _again(connection: sqlite3.Connection, index: CoinIndex, signed: ClosedRound, edge: Edge) -> Sequenced:
    """The first of the rounds that are sequenced and not signed; there may be two."""
    rows = connection.execute("SELECT * FROM rounds WHERE round > ? ORDER BY round", (signed.number,))
    rounds = [read_round(row) for row in rows.fetchall()]
    leaves = [
        leaves_of(one.number, one.closed_at_s, one.first, _entries_for(connection, one.number))
        for one in rounds
    ]
    closed = rounds[0]
    grown, files = edge.grow(leaves[0])
    if (grown.size, grown.root()) != (closed.size, closed.root):
        raise FatalError(f"round {closed.number} was sequenced with other entries; recover the board")
    more = [(one.first, part) for one, part in zip(rounds, leaves, strict=True)]
    index.load(connection, rounds[-1].number, signed.size, more)
    return Sequenced(closed, grown, files)


def insert_round(connection: sqlite3.Connection, closed: ClosedRound) -> None:
    """A row of the table ``rounds``."""
    connection.execute(
        "INSERT INTO rounds VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            closed.number,
            closed.first,
            closed.count,
            closed.root,
            closed.closed_at_s,
            *astuple(closed.totals),
        ),
    )


def _entries_for(connection: sqlite3.Connection, number: int) -> list[bytes]:
    entries: list[bytes] = []
    for (bundle,) in connection.execute(
        "SELECT entries FROM waiting WHERE round = ? ORDER BY place", (number,)
    ):
        entries += unpack(bundle)
    return entries


def commit(connection: sqlite3.Connection, closed: ClosedRound, note: bytes) -> None:
    """
    Record a round's signed checkpoint, if the newest one is still the round's before it.

    Raises FatalError otherwise: a second process has signed, and this one must not.
    """
    done = connection.execute(
        "UPDATE head SET round = ?, note = ? WHERE round = ?", (closed.number, note, closed.number - 1)
    )
    if done.rowcount != 1:
        raise FatalError("another process signs with this database; stop one of them")
    connection.execute("DELETE FROM waiting WHERE round <= ?", (closed.number,))
