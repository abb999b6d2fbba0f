"""
The bank's books in SQLite: what is certified, spent, held and booked, and the outbox for the board.

Trusted: who can write to this file can make money, but not unnoticed, since every coin certified and spent is
on the board. Nothing here ties an order's inputs to its outputs but its row in the outbox, and a held order's
bytes. The first goes when the board has it, the second when it is settled; freed space of the database is
overwritten (secure_delete). The write-ahead log beside it keeps what was in it until it is written over, or
the bank stops: who takes the disk of a running bank finds the ties of some hundred commits more.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bank.board.feed import Batch
from bank.formats.account import Operation, Statement
from bank.formats.fields import Reader
from bank.formats.order import SignedOrder
from bank.ledger.book import Account, HeldOrder, LiveHold, LivePromise, SpentCoin, Value
from mixmint.database import open_database
from mixmint.errors import FatalError, UserError

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
)

_CACHE_KIB = 32 * 1024
MOST_OUTBOX_ROW_BYTES = 1 << 18
"""A row is fed whole, and a feed is at most 1 MiB."""


def open_books(path: Path, bank: bytes) -> sqlite3.Connection:
    """
    Open the bank's database, or make it.

    Raises UserError (another bank's, unreadable, full disk), FatalError (damaged, newer version).
    """
    connection = open_database(path, SCHEMA)
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    connection.execute("PRAGMA secure_delete=ON")
    try:
        connection.execute("INSERT OR IGNORE INTO state VALUES (1, ?, 1, 0, 1, 0)", (bank,))
        (owner,) = connection.execute("SELECT bank FROM state").fetchone()
    except sqlite3.Error as error:
        connection.close()
        raise UserError(f"can't use database {path}: {error}; is the disk full, or read-only?") from None
    if owner != bank:
        connection.close()
        raise UserError(f"database {path} belongs to bank {owner.hex()[:16]}, not {bank.hex()[:16]}")
    return connection


class SqliteBook:
    """
    ``bank.ledger.Book`` on one connection, within the transaction that ``writing`` opens and closes.

    One instance serves one transaction after another; it is used by one thread at a time.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._execute = connection.execute
        self._next_group = 0
        self._groups: list[Sequence[bytes]] = []
        self._group_bytes = 0

    @contextmanager
    def writing(self) -> Iterator["SqliteBook"]:
        """Inside a transaction that the caller began and will commit: number the groups made within."""
        (self._next_group,) = self._execute("SELECT next_group FROM state").fetchone()
        before = self._next_group
        self._groups, self._group_bytes = [], 0
        yield self
        self._flush()
        if self._next_group != before:
            self._execute("UPDATE state SET next_group = ?", (self._next_group,))

    def value(self, coin: bytes) -> Value | None:
        row = self._execute("SELECT exponent, epoch FROM certified WHERE coin = ?", (coin,)).fetchone()
        return None if row is None else Value._make(row)

    def spend(self, key: bytes, coin: bytes, spent: SpentCoin, closed: int) -> bool:
        return (
            self._execute(
                "INSERT OR IGNORE INTO spent SELECT ?, ?, ?, ?, ? WHERE NOT EXISTS"
                " (SELECT 1 FROM held_coin WHERE coin = ? AND to_round > ? AND seal <> ?)",
                (key, *spent, coin, closed, spent.seal),
            ).rowcount
            == 1
        )

    def spent(self, key: bytes) -> SpentCoin | None:
        row = self._execute(
            "SELECT seal, signature, round, epoch FROM spent WHERE key = ?", (key,)
        ).fetchone()
        return None if row is None else SpentCoin._make(row)

    def certify(self, coin: bytes, value: Value, seal: bytes, closed: int) -> bool:
        return (
            self._execute(
                "INSERT OR IGNORE INTO certified SELECT ?, ?, ? WHERE NOT EXISTS"
                " (SELECT 1 FROM promised WHERE coin = ? AND to_round > ? AND seal <> ?)",
                (coin, *value, coin, closed, seal),
            ).rowcount
            == 1
        )

    def take_back(self, keys: Sequence[bytes], coins: Sequence[bytes]) -> None:
        self.connection.executemany("DELETE FROM spent WHERE key = ?", ((key,) for key in keys))
        self.connection.executemany("DELETE FROM certified WHERE coin = ?", ((coin,) for coin in coins))

    def hold_on(self, coin: bytes, closed: int) -> LiveHold | None:
        row = self._execute(
            "SELECT seal, signature, to_round FROM held_coin WHERE coin = ? AND to_round > ?", (coin, closed)
        ).fetchone()
        return None if row is None else LiveHold._make(row)

    def promise_of(self, coin: bytes, closed: int) -> LivePromise | None:
        row = self._execute(
            "SELECT seal, to_round FROM promised WHERE coin = ? AND to_round > ?", (coin, closed)
        ).fetchone()
        return None if row is None else LivePromise._make(row)

    def held(self, seal: bytes) -> HeldOrder | None:
        row = self._execute(
            "SELECT from_round, to_round, signed, round, epoch, key, signature"
            " FROM held_order WHERE seal = ?",
            (seal,),
        ).fetchone()
        if row is None:
            return None
        from_round, to_round, signed, round_, epoch, key, signature = row
        order = None if signed is None else SignedOrder.decode(signed)
        executed = None if round_ is None else (round_, epoch)
        return HeldOrder(from_round, to_round, order, executed, key, signature)

    def hold(self, order: SignedOrder, coins: Sequence[bytes], from_round: int, to_round: int) -> None:
        seal, closed = order.seal, from_round - 1
        self._execute(
            "INSERT INTO held_order VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL)",
            (
                seal,
                order.encode(),
                from_round,
                to_round,
                order.order.last_round,
                order.order.inputs[0],
                order.signatures[0],
            ),
        )
        # A lapsed row gives way, a live one doesn't: two holds on one coin can't overlap, whatever the rules
        # above believe.
        for coin, signature in zip(coins, order.signatures, strict=True):
            self._put(
                "INSERT INTO held_coin VALUES (?, ?, ?, ?) ON CONFLICT (coin) DO UPDATE SET"
                " seal = excluded.seal, signature = excluded.signature, to_round = excluded.to_round"
                " WHERE held_coin.to_round <= ?",
                (coin, seal, signature, to_round, closed),
            )
        for output in order.order.outputs:
            self._put(
                "INSERT INTO promised VALUES (?, ?, ?) ON CONFLICT (coin) DO UPDATE SET seal = excluded.seal,"
                " to_round = excluded.to_round WHERE promised.to_round <= ?",
                (output.coin, seal, to_round, closed),
            )

    def execute_held(self, order: SignedOrder, coins: Sequence[bytes], round_: int, epoch: int) -> None:
        seal, group = order.seal, self._next_group + len(self._groups) - 1
        self._put(
            "UPDATE held_order SET round = ?, epoch = ?, group_number = ? WHERE seal = ?",
            (round_, epoch, group, seal),
        )
        # Spent and certified rows stand for them now.
        self.connection.executemany(
            "DELETE FROM held_coin WHERE coin = ? AND seal = ?", ((coin, seal) for coin in coins)
        )
        self.connection.executemany(
            "DELETE FROM promised WHERE coin = ? AND seal = ?",
            ((output.coin, seal) for output in order.order.outputs),
        )

    def publish(self, entries: Sequence[bytes]) -> None:
        self._groups.append(entries)
        self._group_bytes += sum(map(len, entries))
        if self._group_bytes > MOST_OUTBOX_ROW_BYTES:
            self._flush()

    def account(self, key: bytes) -> Account | None:
        row = self._execute("SELECT sequence, balance, head FROM account WHERE key = ?", (key,)).fetchone()
        return None if row is None else Account._make(row)

    def statement(self, account: bytes, sequence: int) -> tuple[Statement, int] | None:
        # Sequences are 64 bits wide on the wire; SQLite's numbers are signed.
        if sequence >= 2**63:
            return None
        row = self._execute(
            "SELECT body, epoch FROM statement WHERE account = ? AND sequence = ?", (account, sequence)
        ).fetchone()
        return None if row is None else (Statement.read(Reader(row[0])), row[1])

    def statements(self, account: bytes, sequence: int, most: int) -> list[Statement]:
        rows = self._execute(
            "SELECT body FROM statement WHERE account = ? AND sequence >= ? ORDER BY sequence LIMIT ?",
            (account, min(sequence, 2**63 - 1), most),
        )
        return [Statement.read(Reader(body)) for (body,) in rows]

    def add_statement(self, statement: Statement, epoch: int) -> bool:
        account, sequence = statement.account, statement.sequence
        if statement.operation is Operation.OPENED:
            # published = 0: whoever runs the feed numbers its group, so only a bank that has just compared
            # its outbox with the board ever does.
            row = (account, sequence, statement.balance, statement.head())
            if self._execute("INSERT OR IGNORE INTO account VALUES (?, ?, ?, ?, 0)", row).rowcount != 1:
                return False
        else:
            self._put(
                "UPDATE account SET sequence = ?, balance = ?, head = ? WHERE key = ? AND sequence = ?",
                (sequence, statement.balance, statement.head(), account, sequence - 1),
            )
        return (
            self._execute(
                "INSERT OR IGNORE INTO statement VALUES (?, ?, ?, ?)",
                (account, sequence, statement.encode(), epoch),
            ).rowcount
            == 1
        )

    def accounts(self) -> list[tuple[bytes, int, int]]:
        """Every account: key, sequence, balance in units."""
        return self._execute("SELECT key, sequence, balance FROM account ORDER BY key").fetchall()

    def _put(self, sql: str, values: tuple[object, ...]) -> None:
        """A write that must touch one row."""
        if self._execute(sql, values).rowcount != 1:
            raise FatalError("the bank's books contradict themselves; restore or recover the store")

    def _flush(self) -> None:
        if self._groups:
            batch = Batch(self._next_group, self._groups)
            self._execute("INSERT INTO outbox VALUES (?, ?, ?)", (batch.first, batch.next, batch.encode()))
            self._next_group = batch.next
            self._groups, self._group_bytes = [], 0
