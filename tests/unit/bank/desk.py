"""A bank's desk for tests: the real rules on the real store, one request at a time, with a board by hand."""

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from bank.board.feed import Batch
from bank.formats.account import AccountRequest, Operation, Statement, sign_request
from bank.formats.answer import NO_SUCH_HOLD, Answer, Withdrawn
from bank.formats.coin import Coin, CoinId, CoinKey, Secret, coin_id
from bank.formats.entry import Entry, decode_entry
from bank.formats.order import NOTHING, Order, Output, SignedOrder, sign_order
from bank.formats.request import BankRequest, Deposit, Replace, Withdraw, encode_request, subject_of
from bank.formats.statement import Tally
from bank.ledger import Moment, Signer, Terms, prepare, settle
from bank.ledger.accounts import credit, open_account
from bank.ledger.book import Value
from bank.stores.interface import Books
from bank.stores.sqlite import SqliteCommandStore
from mixmint.keys import SigningKey
from tests.unit.bank.engines import Engine, Sqlite

T = TypeVar("T")

LATE = 10_000
"""A last round that no test reaches by chance."""


class Desk:
    """Asks the ledger as a customer would; every answer's signature and subject are checked."""

    def __init__(
        self,
        folder: Path,
        terms: Terms | None = None,
        seed: bytes = bytes(32),
        engine: Engine | None = None,
    ) -> None:
        self.key = SigningKey(seed)
        self.terms = terms or Terms(epoch_s=1000, hold_rounds=10, promise_rounds=5)
        self.signer = Signer(self.key, self.terms)
        self.bank = self.signer.bank
        self.engine = engine or Sqlite(folder / "bank.db")
        self.store = self.engine.command_store(self.bank)
        self.closed = 7
        self.epoch = 3

    @property
    def moment(self) -> Moment:
        return Moment(self.closed, self.epoch)

    def reopen(self) -> None:
        """What a crash leaves: whatever was committed."""
        self.store.close()
        self.store = self.engine.command_store(self.bank)

    def close(self) -> None:
        self.store.close()

    @property
    def path(self) -> Path:
        """Of books in SQLite."""
        assert isinstance(self.engine, Sqlite)
        return self.engine.path

    @property
    def connection(self) -> sqlite3.Connection:
        """To books in SQLite."""
        assert isinstance(self.store, SqliteCommandStore)
        return self.store.connection

    def run(self, operation: Callable[[Books], T]) -> T:
        """One transaction."""
        return self.store.run(operation)

    def ask_bytes(self, data: bytes) -> bytes:
        return self.ask_all([data])[0]

    def ask_all(self, batch: Sequence[bytes]) -> list[bytes]:
        """One transaction for all."""
        prepared = [prepare(data, self.signer, self.moment) for data in batch]
        return self.run(
            lambda book: [settle(one, self.signer, book, self.moment) for one in prepared],
        )

    def read(self, request: BankRequest, data: bytes) -> Answer:
        answer = Answer.decode(data)
        assert answer.holds(self.key.public, self.bank)
        assert answer.subject == subject_of(request, unknown=answer.body == NO_SUCH_HOLD)
        assert answer.encode() == data
        return answer

    def ask(self, request: BankRequest) -> Answer:
        return self.read(request, self.ask_bytes(encode_request(request)))

    def coin(self, exponent: int = 3, epoch: int | None = None) -> SigningKey:
        """A fresh certified coin's key pair."""
        key = SigningKey.generate()
        value = Value(exponent, self.epoch if epoch is None else epoch)
        assert self.run(lambda book: book.certify(coin_id(key.public), value, NOTHING, self.closed))
        return key

    def account(self, units: int) -> SigningKey:
        """A fresh account with a balance."""
        key = SigningKey.generate()
        self.run(lambda book: open_account(self.bank, key.public, book))
        if units:
            self.run(lambda book: credit(self.bank, key.public, units, book))
        return key

    def newest(self, account: SigningKey) -> Statement:
        return self.run(lambda book: book.statements(account.public, 0, 10**6))[-1]

    def order(
        self,
        keys: Sequence[SigningKey],
        outputs: Sequence[Output],
        *,
        tau: bytes = NOTHING,
        last_round: int = LATE,
        account: bytes = NOTHING,
        note: bytes = NOTHING,
        bank: bytes | None = None,
    ) -> SignedOrder:
        order = Order(
            self.bank if bank is None else bank,
            os.urandom(16),
            last_round,
            tuple(sorted(CoinKey(key.public) for key in keys)),
            tuple(sorted(outputs, key=lambda output: output.coin)),
            account,
            tau,
            note,
        )
        return sign_order(order, list(keys))

    def withdraw(self, account: SigningKey, outputs: Sequence[Output], last_round: int = LATE) -> Withdraw:
        newest = self.newest(account)
        request = AccountRequest(
            self.bank,
            account.public,
            newest.sequence + 1,
            newest.head(),
            Operation.WITHDRAW,
            os.urandom(16),
            last_round,
            outputs=tuple(sorted(outputs, key=lambda output: output.coin)),
        )
        return Withdraw(sign_request(account, request))

    def replace(
        self, account: SigningKey, withdrawal: Withdraw, receipt: Withdrawn, outputs: Sequence[Output]
    ) -> Replace:
        newest = self.newest(account)
        request = AccountRequest(
            self.bank,
            account.public,
            newest.sequence + 1,
            newest.head(),
            Operation.REPLACE,
            os.urandom(16),
            LATE,
            withdrawal.signed.request.digest(),
            tuple(sorted(outputs, key=lambda output: output.coin)),
        )
        return Replace(sign_request(account, request), withdrawal.signed, receipt.statement)

    def retire(self, before: int, *, sweep: bool = True) -> None:
        """Coins of epochs before this one are over; ``sweep``: and how they were spent is forgotten."""

        def operation(book: Books) -> None:
            book.note_due(before, self.closed)
            book.retire(before)
            while sweep and not book.sweep(2):
                pass

        self.run(operation)

    def deposit(self, account: SigningKey, keys: Sequence[SigningKey], last_round: int = LATE) -> Deposit:
        newest = self.newest(account)
        order = self.order(keys, (), account=account.public)
        request = AccountRequest(
            self.bank,
            account.public,
            newest.sequence + 1,
            newest.head(),
            Operation.DEPOSIT,
            os.urandom(16),
            last_round,
            seal=order.seal,
        )
        return Deposit(sign_request(account, request), order)

    def groups(self) -> list[list[Entry]]:
        """All groups that wait in the outbox, decoded."""
        rows = self.engine.sql("SELECT batch FROM outbox ORDER BY first")
        return [
            [decode_entry(entry) for entry in group] for (row,) in rows for group in Batch.decode(row).groups
        ]

    def tallies(self) -> dict[Value, Tally]:
        rows = self.run(lambda book: book.tallies())
        return {Value(row.exponent, row.epoch): row.tally for row in rows}

    def count(self, table: str) -> int:
        ((number,),) = self.engine.sql(f"SELECT count(*) FROM {table}")  # noqa: S608 - ours
        return int(number)

    def values(self) -> dict[bytes, Value]:
        """Of every coin certified, by its id."""
        rows = self.engine.sql("SELECT coin, exponent, epoch FROM certified")
        return {coin: Value(exponent, epoch) for coin, exponent, epoch in rows}

    def units(self, what: str) -> int:
        """The sum of all coins ``certified``, or of those ``spent``."""
        rows = self.engine.sql("SELECT coin, exponent FROM certified")
        spent = {coin_id(key) for (key,) in self.engine.sql("SELECT key FROM spent")}
        return sum(1 << exponent for coin, exponent in rows if what == "certified" or coin in spent)


def fresh(exponent: int = 3) -> tuple[SigningKey, Output]:
    """A new secret's key pair and the output that asks for its coin."""
    key = SigningKey.generate()
    return key, Output(CoinId(coin_id(key.public)), exponent)


def coin_of(key: SigningKey, exponent: int, epoch: int, certificate: bytes) -> Coin:
    """The wallet's side of a certified output."""
    return Coin(Secret(key.seed), exponent, epoch, certificate)
