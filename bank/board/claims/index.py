"""
What was submitted already, and on which grounds; and which accounts there are. Each function runs inside a
transaction that the caller opened.

A submission's rows are written in the transaction that lets it wait for its round: the same one twice, at the
same moment, finds the first's. All of it follows from the log: ``add_round`` writes what is missing, such as
answers that the bank fed, and everything when the database is made again from the log's files.

Source: docs/spec/claim.md, section 3.
"""

import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bank.board.claims.limits import MOST_ON_A_GROUND
from bank.board.claims.rules import ClaimSubmission, KeyChangeSubmission, Submission, read_submission
from bank.board.log.tree import leaf_hash
from bank.board.writing import bank_keys
from bank.formats.entry import Kind
from mixmint.errors import MalformedMessage

SCHEMA = """
CREATE TABLE submitted (
    kind    INTEGER NOT NULL,
    subject BLOB NOT NULL,       -- docs/spec/claim.md, section 3
    leaf    BLOB NOT NULL,       -- the leaf's hash
    round   INTEGER NOT NULL,
    PRIMARY KEY (kind, subject)
) WITHOUT ROWID;
CREATE INDEX submitted_by_round ON submitted (round, kind);
CREATE TABLE grounds (
    ground BLOB PRIMARY KEY,
    count  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE accounts (
    account BLOB PRIMARY KEY
) WITHOUT ROWID;
"""

SUBMITTED = (Kind.POSTED, Kind.CLAIM, Kind.ANSWER, Kind.ACCUSATION, Kind.KEY_CHANGE)

_OF_A_KEY = (Kind.POSTED, Kind.CLAIM)
"""What is there up to the round of a change of the bank's key says nothing to the next key: what was owed he
doesn't owe, and a certificate may be void."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a submission is: the hash of its leaf (32 bytes), and the round that has it or will."""

    leaf: bytes
    round: int


def find(connection: sqlite3.Connection, submission: Submission) -> Place | None:
    """Where the same thing is, when it was submitted before, and that still says anything."""
    place = _place(connection, submission)
    if place is None or submission.kind not in _OF_A_KEY:
        return place
    return place if place.round > bank_keys.changed_in(connection) else None


def _place(connection: sqlite3.Connection, submission: Submission) -> Place | None:
    row = connection.execute(
        "SELECT leaf, round FROM submitted WHERE kind = ? AND subject = ?",
        (submission.kind, submission.subject),
    ).fetchone()
    return Place(*row) if row else None


def has_room(connection: sqlite3.Connection, submission: Submission) -> bool:
    """Whether it stands on something, and none of that has carried its share already."""
    grounds = list(submission.grounds())
    if submission.kind is Kind.ANSWER and not _is_claimed(connection, grounds[0][1:]):
        return False
    return bool(grounds) and all(_count(connection, ground) < MOST_ON_A_GROUND for ground in grounds)


def in_round(connection: sqlite3.Connection, kind: Kind, round_: int) -> int:
    """How many of a kind a round has."""
    (count,) = connection.execute(
        "SELECT count(*) FROM submitted WHERE round = ? AND kind = ?", (round_, kind)
    ).fetchone()
    return int(count)


def is_account(connection: sqlite3.Connection, account: bytes) -> bool:
    """Whether an account (key, 32 bytes) is in a round that is closed or on its way."""
    row = connection.execute("SELECT 1 FROM accounts WHERE account = ?", (account,)).fetchone()
    return row is not None


def note(connection: sqlite3.Connection, submission: Submission, round_: int) -> None:
    """It will be in this round. Nothing changes when it is noted already."""
    row = (submission.kind, submission.subject, leaf_hash(submission.entry), round_)
    # Of what is there twice, since a key was changed between, the later one counts.
    if _place(connection, submission) != Place(*row[2:]) and find(connection, submission) is None:
        connection.execute("INSERT OR REPLACE INTO submitted VALUES (?, ?, ?, ?)", row)
        _add(connection, submission.grounds())
        if isinstance(submission, ClaimSubmission):
            # No submission stands on it; that it is there says that an answer with this subject is asked for.
            name = _awaited(submission.claim.answer_subject)
            connection.execute("INSERT OR IGNORE INTO grounds VALUES (?, 0)", (name,))
        if isinstance(submission, KeyChangeSubmission):
            bank_keys.note(connection, round_, submission.change)


def add_round(connection: sqlite3.Connection, number: int, leaves: Sequence[bytes]) -> None:
    """Note what a round's leaves, sorted, have that isn't noted yet."""
    accounts = _of_kind(leaves, Kind.ACCOUNT)
    connection.executemany("INSERT OR IGNORE INTO accounts VALUES (?)", [(leaf[1:],) for leaf in accounts])
    for kind in SUBMITTED:
        _note_kind(connection, number, leaves, kind)


def note_changes(connection: sqlite3.Connection, number: int, leaves: Sequence[bytes]) -> None:
    """Of that the changes of the bank's key alone, which say what else in the round counts."""
    _note_kind(connection, number, leaves, Kind.KEY_CHANGE)


def _note_kind(connection: sqlite3.Connection, number: int, leaves: Sequence[bytes], kind: Kind) -> None:
    for leaf in _of_kind(leaves, kind):
        try:
            submission = read_submission(leaf)
        except MalformedMessage:
            # Fed by the bank, whose answers are taken unread.
            continue
        note(connection, submission, number)


def _of_kind(leaves: Sequence[bytes], kind: Kind) -> Sequence[bytes]:
    return leaves[bisect_left(leaves, bytes([kind])) : bisect_left(leaves, bytes([kind + 1]))]


def _is_claimed(connection: sqlite3.Connection, subject: bytes) -> bool:
    """Whether somebody claims it: by the request's own name, or by the claim's (docs/spec/claim.md)."""
    row = connection.execute(
        "SELECT 1 FROM submitted WHERE kind = ? AND subject = ? UNION ALL SELECT 1 FROM grounds"
        " WHERE ground = ?",
        (Kind.CLAIM, subject, _awaited(subject)),
    ).fetchone()
    return row is not None


def _awaited(subject: bytes) -> bytes:
    return Kind.ANSWER.to_bytes(1) + b"awaited" + subject


def _count(connection: sqlite3.Connection, ground: bytes) -> int:
    row = connection.execute("SELECT count FROM grounds WHERE ground = ?", (ground,)).fetchone()
    return int(row[0]) if row else 0


def _add(connection: sqlite3.Connection, grounds: Iterable[bytes]) -> None:
    connection.executemany(
        "INSERT INTO grounds VALUES (?, 1) ON CONFLICT DO UPDATE SET count = count + 1",
        [(ground,) for ground in grounds],
    )
