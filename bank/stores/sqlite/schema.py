"""
The bank's database: its tables, and how it is opened.

Trusted: who can write to this file can make money, but not unnoticed, since every coin certified and spent is
on the board. Nothing here ties an order's inputs to its outputs but its row in the outbox, and a held order's
bytes. Both go when the bank has read them on the board; freed space of the database is overwritten
(secure_delete). The write-ahead log beside it keeps what was in it until it is written over, or the bank
stops: who takes the disk of a running bank finds the ties of some hundred commits more.
"""

import sqlite3
from contextlib import suppress
from pathlib import Path

from bank.stores.sqlite.keeping import copy_before, refuse_moved, version_of
from mixmint.database import open_database
from mixmint.errors import UserError

SCHEMA = (
    """
    CREATE TABLE certified (
        coin BLOB PRIMARY KEY, exponent INTEGER NOT NULL, epoch INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- The coin key, not the id: f is one-to-one as far as anyone can tell, and the proof needs the key.
    CREATE TABLE spent (
        key BLOB PRIMARY KEY, seal BLOB NOT NULL, signature BLOB NOT NULL,
        round INTEGER NOT NULL, epoch INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE held_coin (
        coin BLOB PRIMARY KEY, seal BLOB NOT NULL, signature BLOB NOT NULL, to_round INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX held_coin_end ON held_coin (to_round);
    CREATE TABLE promised (
        coin BLOB PRIMARY KEY, seal BLOB NOT NULL, to_round INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX promised_end ON promised (to_round);
    CREATE TABLE held_order (
        seal BLOB PRIMARY KEY, signed BLOB, from_round INTEGER NOT NULL, to_round INTEGER NOT NULL,
        last_round INTEGER NOT NULL, key BLOB NOT NULL, signature BLOB NOT NULL,
        round INTEGER, epoch INTEGER, group_number INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX held_order_end ON held_order (last_round) WHERE group_number IS NULL;
    CREATE INDEX held_order_group ON held_order (group_number) WHERE signed NOT NULL;

    CREATE TABLE account (
        key BLOB PRIMARY KEY, sequence INTEGER NOT NULL, balance INTEGER NOT NULL CHECK (balance >= 0),
        head BLOB NOT NULL, published INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX account_unpublished ON account (key) WHERE published = 0;
    CREATE TABLE statement (
        account BLOB NOT NULL REFERENCES account (key), sequence INTEGER NOT NULL, body BLOB NOT NULL,
        epoch INTEGER NOT NULL, PRIMARY KEY (account, sequence)
    ) STRICT, WITHOUT ROWID;

    -- One row for each commit: the groups that it made, numbers first .. next - 1, as they will be fed.
    CREATE TABLE outbox (first INTEGER PRIMARY KEY, next INTEGER NOT NULL, batch BLOB NOT NULL) STRICT;
    -- fed_group: the groups before it are public when fed_round is closed.
    CREATE TABLE state (
        one INTEGER PRIMARY KEY CHECK (one = 1), bank BLOB NOT NULL, next_group INTEGER NOT NULL,
        newest_closed INTEGER NOT NULL, fed_group INTEGER NOT NULL, fed_round INTEGER NOT NULL
    ) STRICT;
    """,
    """
    -- Coins of one value and epoch, counted since the bank began: the columns of a row in a statement, and if
    -- anything changed since the newest statement.
    CREATE TABLE tally (
        exponent INTEGER NOT NULL, epoch INTEGER NOT NULL, withdrawn INTEGER NOT NULL,
        exchanged INTEGER NOT NULL, spent INTEGER NOT NULL, deposited INTEGER NOT NULL,
        replaced INTEGER NOT NULL, changed INTEGER NOT NULL, PRIMARY KEY (exponent, epoch)
    ) STRICT, WITHOUT ROWID;
    -- Empty, or these books are refused: see _refuse_uncounted.
    DROP TABLE outbox;
    -- entries: how many all its groups have.
    CREATE TABLE outbox (
        first INTEGER PRIMARY KEY, next INTEGER NOT NULL, entries INTEGER NOT NULL, batch BLOB NOT NULL
    ) STRICT;
    -- What the board signed for groups that weren't read on it yet, and the receipt before those; each in
    -- answer to a batch, which had these groups (first, groups) and this hash. With the groups, which stay in
    -- the outbox until they were read, it is the bank's evidence should the board not show them.
    CREATE TABLE receipt (
        next_group INTEGER PRIMARY KEY, first INTEGER NOT NULL, groups INTEGER NOT NULL, digest BLOB NOT NULL,
        round INTEGER NOT NULL, newest_closed INTEGER NOT NULL, signature BLOB NOT NULL
    ) STRICT;
    ALTER TABLE state DROP COLUMN fed_group;
    ALTER TABLE state DROP COLUMN fed_round;
    -- unnumbered: the operator changed something that has no group yet.
    ALTER TABLE state ADD COLUMN unnumbered INTEGER NOT NULL DEFAULT 0;
    -- The groups before confirmed_group were read on the board, which was read as far as cursor says.
    ALTER TABLE state ADD COLUMN confirmed_group INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE state ADD COLUMN cursor BLOB NOT NULL DEFAULT x'';
    -- The newest statement's sequence; the round after which this period began; and whether entries that are
    -- no statements were confirmed since the newest statement.
    ALTER TABLE state ADD COLUMN stated INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE state ADD COLUMN stated_at INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE state ADD COLUMN unstated INTEGER NOT NULL DEFAULT 0;
    """,
    """
    -- The newest terms that were published, as they stand on the board.
    ALTER TABLE state ADD COLUMN terms BLOB NOT NULL DEFAULT x'';
    -- Epochs before retired are over for good. Those before due will be, when claims begun by round due_since
    -- have had their time; 0, 0: none are. How coins of epochs before swept ended is in their own rows, for
    -- all of them; of the others before retired for those whose keys are up to sweep_key.
    ALTER TABLE state ADD COLUMN retired INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE state ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE state ADD COLUMN due_since INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE state ADD COLUMN swept INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE state ADD COLUMN sweep_key BLOB NOT NULL DEFAULT x'';
    -- The newest request that each account's holder signed: his word for the chain up to there.
    CREATE TABLE accepted (account BLOB PRIMARY KEY, request BLOB NOT NULL) STRICT, WITHOUT ROWID;
    -- 1: spent (and its row in spent is gone) or replaced. An id is kept for ever: certified a second time it
    -- would convict the bank.
    ALTER TABLE certified ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;
    """,
    """
    -- Claims read on the board, until their answer was read there; group_number: of the group that has it.
    CREATE TABLE claim (
        subject BLOB PRIMARY KEY, round INTEGER NOT NULL, due INTEGER NOT NULL, body BLOB NOT NULL,
        group_number INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX claim_due ON claim (due);
    CREATE INDEX claim_open ON claim (due, round) WHERE group_number IS NULL;
    CREATE INDEX claim_group ON claim (group_number) WHERE group_number NOT NULL;
    -- The shortest time for a claim's answer among the bank's terms that were read on the board; 0: none yet.
    ALTER TABLE state ADD COLUMN claim_rounds INTEGER NOT NULL DEFAULT 0;
    """,
    """
    -- When a claim's round closed, as the board says (Unix seconds): its coins are as old as they were then.
    ALTER TABLE claim ADD COLUMN closed_at_s INTEGER NOT NULL DEFAULT 0;
    """,
    """
    -- What was held and never executed is forgotten when this round closes; it was 16 rounds after the
    -- order's last one, which its payer chose.
    ALTER TABLE held_order RENAME COLUMN last_round TO keep_round;
    UPDATE held_order SET keep_round = to_round + max(16, to_round - from_round + 1);
    """,
)
_UNCOUNTED = 1
"""Books of this schema were kept before coins were counted."""

CACHE_KIB = 32 * 1024


def open_books(path: Path, bank: bytes) -> sqlite3.Connection:
    """
    Open the bank's database, or make it. Before its tables change, it is copied.

    Raises UserError (another bank's, unreadable, full disk, moved away, from before coins were counted),
    FatalError (damaged, newer version).
    """
    _refuse_uncounted(path)
    with suppress(sqlite3.Error):  # whatever is wrong with it, opening it says
        version = version_of(path)
        refuse_moved(path, version)
        if 0 < version < len(SCHEMA):
            copy_before(path, version)
    connection = open_database(path, SCHEMA)
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    try:
        connection.execute(
            "INSERT OR IGNORE INTO state (one, bank, next_group, newest_closed) VALUES (1, ?, 1, 0)", (bank,)
        )
        (owner,) = connection.execute("SELECT bank FROM state").fetchone()
    except sqlite3.Error as error:
        connection.close()
        raise UserError(f"can't use database {path}: {error}; is the disk full, or read-only?") from None
    if owner != bank:
        connection.close()
        raise UserError(f"database {path} belongs to bank {owner.hex()[:16]}, not {bank.hex()[:16]}")
    return connection


def _refuse_uncounted(path: Path) -> None:
    """
    Raises UserError for books that were used before coins were counted; the file isn't touched.

    They don't tell exchanges from withdrawals, so the counts can't be made up for. Counts that begin anew
    would convict an honest bank: it would state fewer coins than the board shows.
    """
    if not path.exists():
        return
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            used = (
                version == _UNCOUNTED
                and connection.execute("SELECT 1 FROM state WHERE next_group > 1").fetchone()
            )
        finally:
            connection.close()
    except sqlite3.Error:
        return  # whatever is wrong with it, opening it says
    if used:
        raise UserError(
            f"the books {path} are of an earlier version, which didn't count coins and was never released; "
            "make the bank and its board anew with `mixmint bank init` and `mixmint board init`"
        )
