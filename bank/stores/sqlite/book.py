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
from bank.formats.coin import coin_id
from bank.formats.fields import Reader
from bank.formats.order import SignedOrder
from bank.ledger.book import Count, HeldOrder, LiveHold, LivePromise, SpentCoin, Value
from bank.ledger.prepare import Prepared
from bank.stores.interface import GROUP_BYTES, MOST_OUTBOX_ROW_BYTES, KeptClaim, KeptReceipt
from bank.stores.sqlite.view import SqliteView
from mixmint.errors import FatalError


class SqliteBook(SqliteView):
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
        self._retired = 0
        self._held: int | None = None
        """Coins held now, once this transaction has asked; it may say a few too many."""

    @contextmanager
    def writing(self) -> Iterator["SqliteBook"]:
        """
        Inside a transaction that the caller began and will commit: number the groups made within, and add
        what was counted to the tallies.
        """
        row = self._execute("SELECT next_group, retired FROM state").fetchone()
        self._next_group, self._retired = row
        before = self._next_group
        # Anew, not only at the end: a transaction that failed may have left something.
        self._groups, self._group_bytes, self._counts, self._held = [], 0, {}, None
        yield self
        self._flush()
        self._add_counts()
        if self._next_group != before:
            self._execute("UPDATE state SET next_group = ?", (self._next_group,))

    def value(self, coin: bytes) -> Value | None:
        row = self._execute("SELECT exponent, epoch FROM certified WHERE coin = ?", (coin,)).fetchone()
        return None if row is None else Value._make(row)

    def retired(self) -> int:
        return self._retired

    def swept(self) -> int:
        return self.retirement().swept

    def has_ended(self, coin: bytes) -> bool:
        found = self._execute("SELECT 1 FROM certified WHERE coin = ? AND ended", (coin,)).fetchone()
        return found is not None

    def end(self, coin: bytes) -> bool:
        return (
            self._execute("UPDATE certified SET ended = 1 WHERE coin = ? AND ended = 0", (coin,)).rowcount
            == 1
        )

    def unstated(self) -> int:
        rows = self._execute("SELECT exponent, epoch FROM tally WHERE changed")
        return len(self._counts.keys() | {Value._make(row) for row in rows})

    def spend(self, key: bytes, coin: bytes, spent: SpentCoin, closed: int) -> bool:
        return (
            self._execute(
                "INSERT OR IGNORE INTO spent SELECT ?, ?, ?, ?, ? WHERE NOT EXISTS"
                " (SELECT 1 FROM held_coin WHERE coin = ? AND to_round > ? AND seal <> ?)",
                (key, *spent, coin, closed, spent.seal),
            ).rowcount
            == 1
        )

    def answer_inherited(self, key: bytes, round_: int) -> None:
        self._put("UPDATE spent SET round = ?, epoch = -1 WHERE key = ?", (round_, key))

    def spent(self, key: bytes) -> SpentCoin | None:
        row = self._execute(
            "SELECT seal, signature, round, epoch FROM spent WHERE key = ?", (key,)
        ).fetchone()
        return None if row is None else SpentCoin._make(row)

    def certify(self, coin: bytes, value: Value, seal: bytes, closed: int) -> bool:
        return (
            self._execute(
                "INSERT OR IGNORE INTO certified SELECT ?, ?, ?, 0 WHERE NOT EXISTS"
                " (SELECT 1 FROM promised WHERE coin = ? AND to_round > ? AND seal <> ?)",
                (coin, *value, coin, closed, seal),
            ).rowcount
            == 1
        )

    def count(self, what: Count, values: Sequence[Value]) -> None:
        counts = self._counts
        for value in values:
            row = counts.get(value)
            if row is None:
                row = counts[value] = [0] * len(Count)
            row[what] += 1

    def take_back(self, keys: Sequence[bytes], coins: Sequence[bytes]) -> None:
        self.connection.executemany("DELETE FROM spent WHERE key = ?", ((key,) for key in keys))
        self.connection.executemany("DELETE FROM certified WHERE coin = ?", ((coin,) for coin in coins))

    def hold_on(self, coin: bytes, closed: int) -> LiveHold | None:
        row = self._execute(
            "SELECT seal, signature, to_round FROM held_coin WHERE coin = ? AND to_round > ?", (coin, closed)
        ).fetchone()
        return None if row is None else LiveHold._make(row)

    def live_holds(self, closed: int, most: int) -> int:
        if self._held is None:
            # Once for a transaction: a batch of holds would count all of them again and again.
            (self._held,) = self._execute(
                "SELECT count(*) FROM (SELECT 1 FROM held_coin WHERE to_round > ? LIMIT ?)", (closed, most)
            ).fetchone()
        return self._held

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
        if self._held is not None:
            self._held += len(coins)
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
        self._group_bytes += GROUP_BYTES + sum(map(len, entries))
        if self._group_bytes > MOST_OUTBOX_ROW_BYTES:
            self._flush()

    def publish_later(self) -> None:
        self._execute("UPDATE state SET unnumbered = 1")

    def statement(self, account: bytes, sequence: int) -> tuple[Statement, int] | None:
        # Sequences are 64 bits wide on the wire; SQLite's numbers are signed.
        if sequence >= 2**63:
            return None
        row = self._execute(
            "SELECT body, epoch FROM statement WHERE account = ? AND sequence = ?", (account, sequence)
        ).fetchone()
        return None if row is None else (Statement.read(Reader(row[0])), row[1])

    def accept(self, account: bytes, request: bytes) -> None:
        self._execute("INSERT OR REPLACE INTO accepted VALUES (?, ?)", (account, request))

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

    def expect(self, batch: Sequence[Prepared]) -> None:
        """Nothing to do: a question costs a few microseconds here."""

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

    def mark_published(self, account: bytes) -> None:
        self._put("UPDATE account SET published = 1 WHERE key = ?", (account,))

    def mark_numbered(self) -> None:
        self._execute("UPDATE state SET unnumbered = 0")

    def put_terms(self, terms: bytes) -> None:
        self._execute("UPDATE state SET terms = ?", (terms,))

    def note_due(self, due: int, since: int) -> None:
        self._execute("UPDATE state SET due = ?, due_since = ?", (due, since))

    def retire(self, before: int) -> None:
        self._put(
            "UPDATE state SET retired = ?1, due = 0, due_since = 0, sweep_key = x''"
            " WHERE retired < ?1 AND swept = retired",
            (before,),
        )
        self._retired = before

    def sweep(self, most: int) -> bool:
        (after,) = self._execute("SELECT sweep_key FROM state").fetchone()
        # In the order of the keys, not through an index: nobody but the sweep asks for a coin's epoch.
        rows = self._execute(
            "SELECT key, seal FROM spent WHERE key > ? ORDER BY key LIMIT ?", (after, most)
        ).fetchall()
        for key, seal in rows:
            coin = coin_id(key)
            over = self._execute(
                "UPDATE certified SET ended = 1 WHERE coin = ? AND epoch < ?", (coin, self._retired)
            ).rowcount
            if over:
                self._put("DELETE FROM spent WHERE key = ?", (key,))
                self._execute("DELETE FROM held_order WHERE seal = ? AND group_number NOT NULL", (seal,))
        if len(rows) == most:
            self._execute("UPDATE state SET sweep_key = ?", (rows[-1][0],))
            return False
        self._execute("UPDATE state SET swept = retired, sweep_key = x''")
        return True

    def note_claim_rounds(self, rounds: int) -> None:
        self._execute("UPDATE state SET claim_rounds = ?", (rounds,))

    def note_claim(self, kept: KeptClaim, due: int) -> None:
        self._execute(
            "INSERT OR IGNORE INTO claim VALUES (?, ?, ?, ?, NULL, ?)",
            (kept.subject, kept.round, due, kept.claim, kept.closed_at_s),
        )

    def answer_claim(self, subject: bytes) -> None:
        group = self._next_group + len(self._groups) - 1
        self._put("UPDATE claim SET group_number = ? WHERE subject = ?", (group, subject))

    def keep_receipt(self, kept: KeptReceipt) -> None:
        receipt = kept.receipt
        self._put(
            "INSERT INTO receipt VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                receipt.next_group,
                *(kept.first, kept.groups, kept.digest),
                *(receipt.round, receipt.newest_closed, receipt.signature),
            ),
        )

    def forget_receipts(self, group: int) -> int:
        return self._execute("DELETE FROM receipt WHERE next_group > ?", (group,)).rowcount

    def close_rounds(self, closed: int, lapsed: int) -> None:
        self._execute("UPDATE state SET newest_closed = ?", (closed,))
        self._execute("DELETE FROM held_coin WHERE to_round <= ?", (closed,))
        self._execute("DELETE FROM promised WHERE to_round <= ?", (closed,))
        self._execute("DELETE FROM held_order WHERE group_number IS NULL AND last_round <= ?", (lapsed,))

    def confirm(self, group: int, cursor: bytes, *, news: bool) -> None:
        self._execute(
            "UPDATE state SET confirmed_group = ?, cursor = ?, unstated = max(unstated, ?)",
            (group, cursor, news),
        )
        self._execute("DELETE FROM outbox WHERE next <= ?", (group,))
        # The newest of the receipts for what was read stays: it says from which round on the next may stand.
        self._execute(
            "DELETE FROM receipt"
            " WHERE next_group < (SELECT max(next_group) FROM receipt WHERE next_group <= ?)",
            (group,),
        )
        self._execute("DELETE FROM claim WHERE group_number < ?", (group,))
        self._execute(
            "UPDATE held_order SET signed = NULL WHERE signed NOT NULL AND group_number < ?", (group,)
        )

    def begin_period(self, closed: int) -> None:
        self._execute("UPDATE state SET stated_at = ?", (closed,))

    def mark_stated(self, sequence: int, closed: int) -> None:
        self._execute("UPDATE state SET stated = ?, stated_at = ?, unstated = 0", (sequence, closed))
        self._execute("UPDATE tally SET changed = 0 WHERE changed")

    def _put(self, sql: str, values: tuple[object, ...]) -> None:
        """A write that must touch one row."""
        if self._execute(sql, values).rowcount != 1:
            raise FatalError("the bank's books contradict themselves; restore or recover the store")

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
