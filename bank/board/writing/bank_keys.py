"""
The bank's keys, as far as this board's log and what waits for it say. Each function runs inside a transaction
that the caller opened.

A change of key is noted in the transaction that lets it wait for its round; from that commit on no batch of
the old key is taken any more, and none of the new key until the round is public. So the leaves up to that
round's end are the old key's, those behind it the new key's, and nobody ever has to guess. All of it follows
from the log: ``claims/index.py`` notes it again when the database is made from the log's files.

Source: docs/spec/succession.md, section 3.
"""

import sqlite3
from collections.abc import Sequence

from bank.formats.fields import Reader
from bank.formats.succession import BankKeys, KeyChange, LoggedChange, in_force

SCHEMA = """
CREATE TABLE key_changes (
    round  INTEGER NOT NULL,
    change BLOB NOT NULL,        -- the entry's body; sorted as in the log
    PRIMARY KEY (round, change)
) WITHOUT ROWID;
"""


def note(connection: sqlite3.Connection, round_: int, change: KeyChange) -> None:
    """It is in this round, or will be."""
    connection.execute("INSERT OR IGNORE INTO key_changes VALUES (?, ?)", (round_, change.encode()))


def is_awaited(connection: sqlite3.Connection, round_: int) -> bool:
    """Whether a change is to be in this round."""
    found = connection.execute("SELECT 1 FROM key_changes WHERE round = ?", (round_,)).fetchone()
    return found is not None


def changes(connection: sqlite3.Connection, until: int) -> list[LoggedChange]:
    """
    The changes that count, of rounds up to ``until``, in the log's order. Of rounds whose leaves aren't fixed
    yet ``first`` and ``stop`` are 0.
    """
    rows = connection.execute(
        "SELECT change, coalesce(first, 0), coalesce(first + count + 1, 0)"
        " FROM key_changes LEFT JOIN rounds USING (round) WHERE round <= ? ORDER BY round, change",
        (until,),
    )
    return in_force(LoggedChange(_read(change), first, stop) for change, first, stop in rows.fetchall())


def feeding(connection: sqlite3.Connection, founding: bytes) -> tuple[bytes, int]:
    """Whose feed is taken (the key, 32 bytes), and the round that must be public before."""
    key, since = founding, 0
    rows = connection.execute("SELECT round, change FROM key_changes ORDER BY round, change").fetchall()
    # The round stands in for the leaves, which may not be fixed yet.
    for each in in_force(LoggedChange(_read(change), round_, 0) for round_, change in rows):
        key, since = each.change.new, each.first
    return key, since


def changed_in(connection: sqlite3.Connection) -> int:
    """The round of the newest change that counts and whose round is fixed; 0 if there is none."""
    rows = connection.execute(
        "SELECT round, change FROM key_changes JOIN rounds USING (round) ORDER BY round, change"
    ).fetchall()
    found = in_force(LoggedChange(_read(change), round_, 0) for round_, change in rows)
    return found[-1].first if found else 0


def read_keys(connection: sqlite3.Connection, founding: bytes, until: int) -> BankKeys:
    """The bank's keys at the end of round ``until``; ``founding``: the first one, 32 bytes."""
    return BankKeys(founding, tuple(each.change for each in changes(connection, until)))


def voided_by(connection: sqlite3.Connection, number: int, first: int, leaves: Sequence[bytes]) -> range:
    """
    The leaves that lose their worth by a change in round ``number``, whose leaves (the mark too) begin at
    ``first`` and whose row isn't written yet. Empty when it has none that counts.
    """
    if not is_awaited(connection, number):
        return range(0)
    before = changes(connection, number - 1)
    rows = connection.execute("SELECT change FROM key_changes WHERE round = ? ORDER BY change", (number,))
    here = [LoggedChange(_read(change), first, first + len(leaves)) for (change,) in rows.fetchall()]
    counting = in_force([*before, *here])[len(before) :]
    # Two in one round: the second's cut can't be behind the first's round, so the first's range has it all.
    return counting[0].void if counting else range(0)


def voids(connection: sqlite3.Connection) -> list[range]:
    """All such leaves of rounds that are fixed."""
    return [each.void for each in changes(connection, 2**32) if each.stop]


def _read(change: bytes) -> KeyChange:
    return KeyChange.read(Reader(change))
