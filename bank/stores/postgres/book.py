"""
The bank's books in PostgreSQL within a transaction that writes, kept in memory until its end.

What the rules enter is seen by the rules that come after it, and written by ``write`` (writing.py) in a few
statements. Nothing here talks to the server.
"""

from collections.abc import Sequence
from typing import Any

from bank.formats.account import Operation, Statement
from bank.ledger.book import Account
from bank.ledger.prepare import Prepared
from bank.stores.postgres.coins import PostgresCoins
from bank.stores.postgres.known import Known, NotRead, Wants
from bank.stores.reading import MOST_BIGINT
from mixmint.errors import FatalError


class PostgresBook(PostgresCoins):
    """``bank.stores.interface.Books`` over what was read; its attributes are what will be written."""

    def __init__(self, known: Known) -> None:
        super().__init__(known)
        self.gather_anew()
        self.outbox_now: list[tuple[int, int, int, bytes]] = []
        """Rows: first, next, entries, batch."""
        self.accounts_now: dict[bytes, tuple[Account, int]] = {}
        """Each with the sequence on file that it follows; 0 for one that is opened."""
        self.published_now: set[bytes] = set()
        """Of those opened now the ones whose opening the board shows already."""
        self.statements_now: dict[tuple[bytes, int], tuple[Statement, int]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return self.next_group is None and not (
            self._groups
            or self.spent_now
            or self.certified_now
            or self.counts
            or self.orders_now
            or self.executed_now
            or self.statements_now
            or self.others
        )

    def put_row(self, *row: Any) -> None:
        self.outbox_now.append(row)

    def expect(self, batch: Sequence[Prepared]) -> None:
        self._known.expect(batch)

    def statement(self, account: bytes, sequence: int) -> tuple[Statement, int] | None:
        # Sequences are 64 bits wide on the wire; PostgreSQL's numbers are signed.
        if sequence > MOST_BIGINT:
            return None
        now = self.statements_now.get((account, sequence))
        if now is not None:
            return now
        statements = self._known.statements
        if (account, sequence) not in statements:
            raise NotRead(Wants(statements={(account, sequence)}))
        return statements[account, sequence]

    def statements(self, account: bytes, sequence: int, most: int) -> list[Statement]:
        now = [
            statement
            for (owner, number), (statement, _) in self.statements_now.items()
            if owner == account and number >= sequence
        ]
        # Those made now follow those on file, and each other.
        return [*super().statements(account, sequence, most), *now][:most]

    def account(self, key: bytes) -> Account | None:
        now = self.accounts_now.get(key)
        return super().account(key) if now is None else now[0]

    def add_statement(self, statement: Statement, epoch: int) -> bool:
        key, sequence = statement.account, statement.sequence
        account = self.account(key)
        if statement.operation is Operation.OPENED:
            if account is not None:
                return False
            follows = 0
        elif account is None or account.sequence != sequence - 1:
            raise FatalError("the bank's books contradict themselves; restore or recover the store")
        else:
            follows = self.accounts_now[key][1] if key in self.accounts_now else account.sequence
        self.accounts_now[key] = Account(sequence, statement.balance, statement.head()), follows
        self.statements_now[key, sequence] = statement, epoch
        return True

    def take_over(self, recovered: Statement, listed: Statement | None, epoch: int) -> bool:
        key = recovered.account
        if self.account(key) is not None:
            return False
        self.accounts_now[key] = Account(recovered.sequence, recovered.balance, recovered.head()), 0
        for statement in filter(None, (listed, recovered)):
            self.statements_now[key, statement.sequence] = statement, epoch
        self.published_now.add(key)
        return True
