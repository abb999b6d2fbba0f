"""The bank's books in SQLite within a transaction that writes. Their tables: bank/stores/sqlite/schema.py."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bank.formats.account import Operation, Statement
from bank.formats.fields import Reader
from bank.ledger.prepare import Prepared
from bank.stores.reading import MOST_BIGINT
from bank.stores.sqlite.coins import SqliteCoins


class SqliteBook(SqliteCoins):
    """
    ``bank.stores.interface.Books`` on one connection, within the transaction that ``writing`` opens and ends.

    One instance serves one transaction after another; it is used by one thread at a time.
    """

    @contextmanager
    def writing(self) -> Iterator["SqliteBook"]:
        """
        Inside a transaction that the caller began and will commit: number the groups made within, and add
        what was counted to the tallies.
        """
        # Anew, not only at the end: a transaction that failed may have left something.
        self.gather_anew()
        self._held = self._retirement = None
        yield self
        self.flush()
        self._add_counts()
        if self.next_group is not None:
            self._execute("UPDATE state SET next_group = ?", (self.next_group,))

    def put_row(self, *row: object) -> None:
        self._execute("INSERT INTO outbox VALUES (?, ?, ?, ?)", row)

    def expect(self, batch: Sequence[Prepared]) -> None:
        """Nothing to do: a question costs a few microseconds here."""

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

    def _add_counts(self) -> None:
        """One write for each value and epoch that the transaction touched."""
        self.connection.executemany(
            "INSERT INTO tally VALUES (?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET"
            " withdrawn = withdrawn + excluded.withdrawn, exchanged = exchanged + excluded.exchanged,"
            " spent = spent + excluded.spent, deposited = deposited + excluded.deposited,"
            " replaced = replaced + excluded.replaced, changed = 1",
            [(*value, *row) for value, row in self.counts.items()],
        )
