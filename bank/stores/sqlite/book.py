"""
The bank's books in SQLite, within a transaction that writes. Their tables: bank/stores/sqlite/schema.py.

What a transaction changes in the tallies and gives the outbox is gathered in memory and written at its end,
a row each: a batch of orders costs a few writes more, not a few for each order.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bank.board.feed import Batch
from bank.formats.account import Operation, Statement
from bank.formats.fields import Reader
from bank.ledger.book import Count, Value
from bank.ledger.prepare import Prepared
from bank.stores.interface import GROUP_BYTES, MOST_OUTBOX_ROW_BYTES
from bank.stores.reading import MOST_BIGINT
from bank.stores.sqlite.coins import SqliteCoins


class SqliteBook(SqliteCoins):
    """
    ``bank.stores.interface.Books`` on one connection, within the transaction that ``writing`` opens and ends.

    One instance serves one transaction after another; it is used by one thread at a time.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._next_group = 0
        self._groups: list[Sequence[bytes]] = []
        self._group_bytes = 0
        self._counts: dict[Value, list[int]] = {}

    @contextmanager
    def writing(self) -> Iterator["SqliteBook"]:
        """
        Inside a transaction that the caller began and will commit: number the groups made within, and add
        what was counted to the tallies.
        """
        before = self._next_group = self.state().next_group
        # Anew, not only at the end: a transaction that failed may have left something.
        self._groups, self._group_bytes, self._counts = [], 0, {}
        self._held = self._retirement = None
        yield self
        self._flush()
        self._add_counts()
        if self._next_group != before:
            self._execute("UPDATE state SET next_group = ?", (self._next_group,))

    def expect(self, batch: Sequence[Prepared]) -> None:
        """Nothing to do: a question costs a few microseconds here."""

    def unstated(self) -> int:
        rows = self._execute("SELECT exponent, epoch FROM tally WHERE changed")
        return len(self._counts.keys() | {Value._make(row) for row in rows})

    def count(self, what: Count, values: Sequence[Value]) -> None:
        counts = self._counts
        for value in values:
            row = counts.get(value)
            if row is None:
                row = counts[value] = [0] * len(Count)
            row[what] += 1

    def publish(self, entries: Sequence[bytes]) -> None:
        self._groups.append(entries)
        self._group_bytes += GROUP_BYTES + sum(map(len, entries))
        if self._group_bytes > MOST_OUTBOX_ROW_BYTES:
            self._flush()

    def statement(self, account: bytes, sequence: int) -> tuple[Statement, int] | None:
        # Sequences are 64 bits wide on the wire; SQLite's numbers are signed.
        if sequence > MOST_BIGINT:
            return None
        row = self._execute(
            "SELECT body, epoch FROM statement WHERE account = ? AND sequence = ?", (account, sequence)
        ).fetchone()
        return None if row is None else (Statement.read(Reader(row[0])), row[1])

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

    def take_over(self, recovered: Statement, listed: Statement | None, epoch: int) -> bool:
        row = (recovered.account, recovered.sequence, recovered.balance, recovered.head())
        if self._execute("INSERT OR IGNORE INTO account VALUES (?, ?, ?, ?, 1)", row).rowcount != 1:
            return False
        for statement in filter(None, (listed, recovered)):
            self._put(
                "INSERT INTO statement VALUES (?, ?, ?, ?)",
                (statement.account, statement.sequence, statement.encode(), epoch),
            )
        return True

    def newest_group(self) -> int:
        return self._next_group + len(self._groups) - 1

    def _flush(self) -> None:
        if self._groups:
            batch = Batch(self._next_group, self._groups)
            entries = sum(map(len, self._groups))
            self._execute(
                "INSERT INTO outbox VALUES (?, ?, ?, ?)", (batch.first, batch.next, entries, batch.encode())
            )
            self._next_group = batch.next
            self._groups, self._group_bytes = [], 0

    def _add_counts(self) -> None:
        """One write for each value and epoch that the transaction touched."""
        self.connection.executemany(
            "INSERT INTO tally VALUES (?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET"
            " withdrawn = withdrawn + excluded.withdrawn, exchanged = exchanged + excluded.exchanged,"
            " spent = spent + excluded.spent, deposited = deposited + excluded.deposited,"
            " replaced = replaced + excluded.replaced, changed = 1",
            [(*value, *row) for value, row in self._counts.items()],
        )
        self._counts = {}
