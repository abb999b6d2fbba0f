"""
Coins in SQLite within a transaction that writes: certified, spent, held and promised ones. Each is written at
once, and the primary key decides.
"""

import sqlite3
from collections.abc import Sequence

from bank.formats.coin import coin_id
from bank.formats.order import SignedOrder
from bank.ledger.book import HeldOrder, LiveHold, LivePromise, SpentCoin, Value
from bank.stores.gathering import Gathering
from bank.stores.sqlite.view import SqliteView
from mixmint.errors import FatalError


class SqliteCoins(SqliteView, Gathering):
    """What ``bank.ledger.Book`` has of coins; ``SqliteBook`` is the whole of it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._held: int | None = None
        """Coins held now, once this transaction has asked; it may say a few too many."""

    def write(self, sql: str, *arguments: object, must: int | None = None) -> None:
        found = self._execute(sql.replace("$", "?"), arguments).rowcount
        if must is not None and found != must:
            raise FatalError("the bank's books contradict themselves; restore or recover the store")

    def value(self, coin: bytes) -> Value | None:
        row = self._execute("SELECT exponent, epoch FROM certified WHERE coin = ?", (coin,)).fetchone()
        return None if row is None else Value._make(row)

    def has_ended(self, coin: bytes) -> bool:
        found = self._execute("SELECT 1 FROM certified WHERE coin = ? AND ended", (coin,)).fetchone()
        return found is not None

    def end(self, coin: bytes) -> bool:
        return (
            self._execute("UPDATE certified SET ended = 1 WHERE coin = ? AND ended = 0", (coin,)).rowcount
            == 1
        )

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

    def hold(
        self, order: SignedOrder, coins: Sequence[bytes], from_round: int, to_round: int, keep_round: int
    ) -> None:
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
                keep_round,
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
        seal = order.seal
        self._put(
            "UPDATE held_order SET round = ?, epoch = ?, group_number = ? WHERE seal = ?",
            (round_, epoch, self.newest_group(), seal),
        )
        # Spent and certified rows stand for them now.
        self.connection.executemany(
            "DELETE FROM held_coin WHERE coin = ? AND seal = ?", ((coin, seal) for coin in coins)
        )
        self.connection.executemany(
            "DELETE FROM promised WHERE coin = ? AND seal = ?",
            ((output.coin, seal) for output in order.order.outputs),
        )

    def sweep(self, most: int) -> bool:
        (after,) = self._execute("SELECT sweep_key FROM state").fetchone()
        # In the order of the keys, not through an index: nobody but the sweep asks for a coin's epoch.
        rows = self._execute(
            "SELECT key, seal FROM spent WHERE key > ? ORDER BY key LIMIT ?", (after, most)
        ).fetchall()
        for key, seal in rows:
            coin = coin_id(key)
            over = self._execute(
                "UPDATE certified SET ended = 1 WHERE coin = ? AND epoch < ?", (coin, self.retired())
            ).rowcount
            if over:
                self._put("DELETE FROM spent WHERE key = ?", (key,))
                self._execute("DELETE FROM held_order WHERE seal = ? AND group_number NOT NULL", (seal,))
        is_done = len(rows) < most
        self.mark_swept(b"" if is_done else rows[-1][0])
        return is_done

    def _put(self, sql: str, values: tuple[object, ...]) -> None:
        """A write that must touch one row."""
        self.write(sql, *values, must=1)
