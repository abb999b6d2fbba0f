"""
Coins in PostgreSQL within a transaction that writes, kept in memory until its end: certified, spent, held and
promised ones. Nothing here talks to the server.
"""

from collections.abc import Sequence
from typing import TypeVar

from bank.formats.coin import coin_id
from bank.formats.order import SignedOrder
from bank.ledger.book import HeldOrder, LiveHold, LivePromise, SpentCoin, Value
from bank.stores.gathering import Gathering
from bank.stores.postgres.known import Known, NotRead, Wants
from bank.stores.postgres.view import PostgresView
from bank.stores.reading import MOST_BIGINT, STATE
from mixmint.errors import FatalError

L = TypeVar("L", LiveHold, LivePromise)


class PostgresCoins(PostgresView, Gathering):
    """
    What ``bank.ledger.Book`` has of coins, over what was read; its attributes are what will be written.
    ``PostgresBook`` is the whole of it.
    """

    def __init__(self, known: Known) -> None:
        super().__init__(known)
        self.spent_now: dict[bytes, SpentCoin] = {}
        self.certified_now: dict[bytes, Value] = {}
        self.orders_now: dict[bytes, tuple[HeldOrder, int]] = {}
        """New held orders, each with the round that it is kept until."""
        self.executed_now: dict[bytes, tuple[int, int, int]] = {}
        """Of held orders, by their seals: round, epoch, group."""
        self.holds_now: dict[bytes, LiveHold | None] = {}
        self.promises_now: dict[bytes, LivePromise | None] = {}
        """Of both, None: gone with the execution of its order."""
        self.let_go: list[tuple[bytes, bytes]] = []
        """Held coins and promised ids of executed orders, each with its order's seal."""
        self.held_at = MOST_BIGINT
        """The newest closed round at the first hold: what lapsed by then gives way."""
        self.others: list[tuple[str, tuple[object, ...], int | None]] = []
        """Writes that need no place of their own: SQL, arguments, and how many rows it must touch."""
        self._answered: dict[bytes, SpentCoin] = {}
        """Spent coins on file whose inherited order is answered now: else one batch would answer it twice."""
        self._ended: set[bytes] = set()

    def write(self, sql: str, *arguments: object, must: int | None = None) -> None:
        self.others.append((sql, arguments, must))

    def value(self, coin: bytes) -> Value | None:
        now = self.certified_now.get(coin)
        if now is not None:
            return now
        values = self._known.values
        if coin not in values:
            raise NotRead(Wants(values={coin}))
        return values[coin]

    def has_ended(self, coin: bytes) -> bool:
        return self.value(coin) is not None and (coin in self._known.ended or coin in self._ended)

    def end(self, coin: bytes) -> bool:
        if self.value(coin) is None or self.has_ended(coin):
            return False
        self._ended.add(coin)
        self.write("UPDATE certified SET ended = 1 WHERE coin = $1 AND ended = 0", coin, must=1)
        return True

    def spend(self, key: bytes, coin: bytes, spent: SpentCoin, closed: int) -> bool:
        if self.spent(key) is not None:
            return False
        live = self.hold_on(coin, closed)
        if live is not None and live.seal != spent.seal:
            return False
        self.spent_now[key] = spent
        return True

    def answer_inherited(self, key: bytes, round_: int) -> None:
        now = self.spent_now.get(key)
        if now is not None:
            self.spent_now[key] = now._replace(round=round_, epoch=-1)
            return
        before = self.spent(key)
        if before is not None:
            self._answered[key] = before._replace(round=round_, epoch=-1)
        self.write("UPDATE spent SET round = $1, epoch = -1 WHERE key = $2", round_, key, must=1)

    def spent(self, key: bytes) -> SpentCoin | None:
        now = self.spent_now.get(key) or self._answered.get(key)
        if now is not None:
            return now
        spent = self._known.spent
        if key not in spent:
            raise NotRead(Wants(spent={key}))
        return spent[key]

    def certify(self, coin: bytes, value: Value, seal: bytes, closed: int) -> bool:
        if self.value(coin) is not None:
            return False
        promise = self.promise_of(coin, closed)
        if promise is not None and promise.seal != seal:
            return False
        self.certified_now[coin] = value
        return True

    def take_back(self, keys: Sequence[bytes], coins: Sequence[bytes]) -> None:
        for key in keys:
            self.spent_now.pop(key, None)
        for coin in coins:
            self.certified_now.pop(coin, None)

    def hold_on(self, coin: bytes, closed: int) -> LiveHold | None:
        if coin in self.holds_now:
            held = self.holds_now[coin]
        else:
            holds = self._known.holds
            if coin not in holds:
                raise NotRead(Wants(holds={coin}))
            held = holds[coin]
        return held if held is not None and held.to_round > closed else None

    def live_holds(self, closed: int, most: int) -> int:
        ((count,),) = self.rows(
            "SELECT count(*) FROM (SELECT 1 FROM held_coin WHERE to_round > $1 LIMIT $2) AS live",
            *(closed, most),
        )
        # A coin that was held before and is held anew counts twice, for the length of one transaction.
        return int(count) + sum(hold is not None for hold in self.holds_now.values())

    def promise_of(self, coin: bytes, closed: int) -> LivePromise | None:
        if coin in self.promises_now:
            promise = self.promises_now[coin]
        else:
            promises = self._known.promises
            if coin not in promises:
                raise NotRead(Wants(promises={coin}))
            promise = promises[coin]
        return promise if promise is not None and promise.to_round > closed else None

    def held(self, seal: bytes) -> HeldOrder | None:
        if seal in self.orders_now:
            held: HeldOrder | None = self.orders_now[seal][0]
        else:
            orders = self._known.orders
            if seal not in orders:
                raise NotRead(Wants(orders={seal}))
            held = orders[seal]
        executed = self.executed_now.get(seal)
        if held is None or executed is None:
            return held
        return HeldOrder(held.from_round, held.to_round, held.order, executed[:2], held.key, held.signature)

    def hold(
        self, order: SignedOrder, coins: Sequence[bytes], from_round: int, to_round: int, keep_round: int
    ) -> None:
        seal, closed = order.seal, from_round - 1
        outputs = [output.coin for output in order.order.outputs]
        if (
            self.held(seal) is not None
            or any(self.hold_on(coin, closed) for coin in coins)
            or any(self.promise_of(coin, closed) for coin in outputs)
        ):
            raise FatalError("the bank's books contradict themselves; restore or recover the store")
        first = order.order.inputs[0], order.signatures[0]
        held = HeldOrder(from_round, to_round, order, None, *first)
        self.orders_now[seal] = held, keep_round
        self.held_at = min(self.held_at, closed)
        for coin, signature in zip(coins, order.signatures, strict=True):
            self.holds_now[coin] = LiveHold(seal, signature, to_round)
        for coin in outputs:
            self.promises_now[coin] = LivePromise(seal, to_round)

    def execute_held(self, order: SignedOrder, coins: Sequence[bytes], round_: int, epoch: int) -> None:
        seal = order.seal
        self.executed_now[seal] = round_, epoch, self.newest_group()
        # Spent and certified rows stand for them now.
        for coin in coins:
            self._let_go(coin, seal, self.holds_now, self._known.holds)
        for output in order.order.outputs:
            self._let_go(output.coin, seal, self.promises_now, self._known.promises)

    def sweep(self, most: int) -> bool:
        ((*_, after),) = self.rows(STATE)
        # In the order of the keys, not through an index: nobody but the sweep asks for a coin's epoch.
        page = self.rows("SELECT key, seal FROM spent WHERE key > $1 ORDER BY key LIMIT $2", after, most)
        coins = {coin_id(key): (key, seal) for key, seal in page}
        over = [
            coin
            for (coin,) in self.rows(
                "SELECT coin FROM certified WHERE coin = ANY ($1) AND epoch < $2",
                *(tuple(coins), self.retired()),
            )
        ]
        if over:
            keys, seals = zip(*(coins[coin] for coin in over), strict=True)
            self.write("UPDATE certified SET ended = 1 WHERE coin = ANY ($1)", over, must=len(over))
            self.write("DELETE FROM spent WHERE key = ANY ($1)", keys, must=len(over))
            self.write("DELETE FROM held_order WHERE seal = ANY ($1) AND group_number IS NOT NULL", seals)
        is_done = len(page) < most
        self.mark_swept(b"" if is_done else page[-1][0])
        return is_done

    def _let_go(
        self, coin: bytes, seal: bytes, now: dict[bytes, L | None], before: dict[bytes, L | None]
    ) -> None:
        live = now[coin] if coin in now else before.get(coin)
        if live is not None and live.seal == seal:
            now[coin] = None
            self.let_go.append((coin, seal))
