"""
Where the rare entries stand: statements, map roots, claims, answers, accusations. For pages and proofs, which
would have to read the whole log otherwise.

Beside them, the rows of the bank's statements that stand: each until a newer one for its value and epoch.

Written inside the transaction that fixes a round's leaves; all of it follows from the log.
"""

import sqlite3
from bisect import bisect_left
from collections.abc import Sequence
from struct import Struct

from bank.board.claims import index
from bank.formats.entry import Kind, StatementEntry, decode_entry
from bank.formats.statement import Row, Tally

SCHEMA = (
    index.SCHEMA
    + """
CREATE TABLE notable (
    kind  INTEGER NOT NULL,
    entry INTEGER NOT NULL,   -- index in the log
    round INTEGER NOT NULL,
    PRIMARY KEY (kind, entry)
) WITHOUT ROWID;
CREATE TABLE stated (
    exponent INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    sequence INTEGER NOT NULL,  -- of the statement that said it
    counts   BLOB NOT NULL,     -- 5 x 8 bytes: a bank may state numbers that SQLite can't hold
    PRIMARY KEY (exponent, epoch)
) WITHOUT ROWID;
"""
)

_COUNTS = Struct(">5Q")

NOTABLE = (
    *(Kind.STATEMENT, Kind.MAP, Kind.CLAIM, Kind.ANSWER, Kind.ACCUSATION),
    *(Kind.KEY, Kind.KEY_CHANGE, Kind.TERMS),
)


def add_round(connection: sqlite3.Connection, number: int, first: int, leaves: Sequence[bytes]) -> None:
    """
    Note what is rare in a round: its leaves, sorted; ``first`` is the index of the first of them. Accounts
    and submissions are for those who submit (claims/index.py).
    """
    index.add_round(connection, number, leaves)
    for kind in NOTABLE:
        start, stop = bisect_left(leaves, bytes([kind])), bisect_left(leaves, bytes([kind + 1]))
        connection.executemany(
            "INSERT INTO notable VALUES (?, ?, ?)", [(kind, first + at, number) for at in range(start, stop)]
        )
        if kind is Kind.KEY_CHANGE and start < stop:
            # The successor states everything anew, and what the old key stated above the cut is void.
            connection.execute("DELETE FROM stated")
        if kind is Kind.STATEMENT:
            for leaf in leaves[start:stop]:
                _note_rows(connection, leaf)


def _note_rows(connection: sqlite3.Connection, leaf: bytes) -> None:
    entry = decode_entry(leaf)
    if isinstance(entry, StatementEntry):
        sequence = entry.statement.sequence
        connection.executemany(
            "INSERT INTO stated VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET sequence = ?3, counts = ?4"
            " WHERE sequence < ?3",
            [
                (row.exponent, row.epoch, sequence, _COUNTS.pack(*row.tally.numbers()))
                for row in entry.statement.rows
            ],
        )


def newest(connection: sqlite3.Connection, kind: Kind, before: int, limit: int) -> list[tuple[int, int]]:
    """The newest entries of a kind below index ``before``, descending, as (index, round)."""
    return list(
        connection.execute(
            "SELECT entry, round FROM notable WHERE kind = ? AND entry < ? ORDER BY entry DESC LIMIT ?",
            (kind, before, limit),
        )
    )


def standing(connection: sqlite3.Connection) -> list[Row]:
    """The rows of the bank's statements that stand, ascending by value and epoch."""
    rows = connection.execute("SELECT exponent, epoch, counts FROM stated ORDER BY exponent, epoch")
    return [Row(exponent, epoch, Tally(*_COUNTS.unpack(counts))) for exponent, epoch, counts in rows]
