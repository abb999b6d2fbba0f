"""
What a transaction has read so far, and how more is read.

The rules are plain functions that ask for one row after another; a question to the server for each would cost
more than all the rest. So a transaction reads in advance what its requests will ask for, in one query. What
it still lacks interrupts the rules (``NotRead``), is read, and they run again from the beginning; each run
knows more than the one before, so this ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from bank.formats.account import Statement
from bank.formats.answer import MOST_STATEMENTS
from bank.formats.fields import Reader
from bank.formats.order import SignedOrder, input_ids
from bank.formats.request import Deposit, Execute, ReadAccount, Replace, Withdraw
from bank.ledger.book import Account, HeldOrder, LiveHold, LivePromise, SpentCoin, Value
from bank.ledger.prepare import Asking, Exchange, Prepared
from bank.stores.reading import CHAIN, MOST_BIGINT

Query = tuple[str, tuple[object, ...]]
"""A question that has no table of its own here: SQL and its arguments."""

_POINTS = """
    SELECT ended::integer, coin, NULL::bytea, NULL::bytea, exponent::bigint, epoch FROM certified
        WHERE coin = ANY ($1)
    UNION ALL SELECT 2, key, seal, signature, round, epoch FROM spent WHERE key = ANY ($2)
    UNION ALL SELECT 3, coin, seal, signature, to_round, 0 FROM held_coin WHERE coin = ANY ($3)
    UNION ALL SELECT 4, coin, seal, NULL, to_round, 0 FROM promised WHERE coin = ANY ($4)
"""
_ENDED, _SPENT, _HELD = 1, 2, 3
"""What the first column of that says; 0: certified and not ended."""
_ORDERS = """
    SELECT seal, from_round, to_round, signed, round, epoch, key, signature FROM held_order
    WHERE seal = ANY ($1)
"""
_ACCOUNTS = "SELECT key, sequence, balance, head FROM account WHERE key = ANY ($1)"
_STATEMENTS = """
    SELECT account, sequence, body, epoch FROM statement
    JOIN unnest($1::bytea[], $2::bigint[]) AS wanted (account, sequence) USING (account, sequence)
"""


@dataclass(slots=True)
class Wants:
    """Keys to read: coin ids, coin keys, and so on; ``statements`` by account and sequence."""

    values: set[bytes] = field(default_factory=set)
    spent: set[bytes] = field(default_factory=set)
    holds: set[bytes] = field(default_factory=set)
    promises: set[bytes] = field(default_factory=set)
    orders: set[bytes] = field(default_factory=set)
    accounts: set[bytes] = field(default_factory=set)
    statements: set[tuple[bytes, int]] = field(default_factory=set)
    queries: list[Query] = field(default_factory=list)

    def add_order(self, order: SignedOrder, coins: Sequence[bytes]) -> None:
        """All that deciding about an order may ask for."""
        self.values.update(coins)
        self.holds.update(coins)
        self.spent.update(order.order.inputs)
        self.add_outputs([output.coin for output in order.order.outputs])

    def add_outputs(self, coins: Sequence[bytes]) -> None:
        """All that certifying these ids may ask for."""
        self.values.update(coins)
        self.promises.update(coins)


class NotRead(Exception):
    """Nothing went wrong: read this, then run the operation again."""

    def __init__(self, wants: Wants) -> None:
        super().__init__()
        self.wants = wants


class Known:
    """Rows by their keys; None for a row that isn't there; what is missing here wasn't read."""

    __slots__ = (
        *("values", "ended", "spent", "holds", "promises", "orders", "accounts", "statements", "queries"),
        "_expected",
    )

    def __init__(self) -> None:
        self.values: dict[bytes, Value | None] = {}
        self.ended: set[bytes] = set()
        """Of ``values`` those that ended."""
        self.spent: dict[bytes, SpentCoin | None] = {}
        self.holds: dict[bytes, LiveHold | None] = {}
        self.promises: dict[bytes, LivePromise | None] = {}
        self.orders: dict[bytes, HeldOrder | None] = {}
        self.accounts: dict[bytes, Account | None] = {}
        self.statements: dict[tuple[bytes, int], tuple[Statement, int] | None] = {}
        self.queries: dict[Query, list[Any]] = {}
        self._expected = 0

    def expect(self, batch: Sequence[Prepared]) -> None:
        """Raises NotRead, unless what these requests will ask for was read."""
        executes = [
            each.request.seal
            for each in batch
            if isinstance(each, Asking) and isinstance(each.request, Execute)
        ]
        if self._expected == 0:
            self._expected = 1
            raise NotRead(_wants_of(batch))
        if self._expected == 1 and executes:
            # Only now is it known which coins their orders have.
            self._expected = 2
            wants = Wants()
            for seal in executes:
                held = self.orders.get(seal)
                if held is not None and held.order is not None:
                    wants.add_order(held.order, input_ids(held.order.order))
            raise NotRead(wants)

    async def fetch(self, connection: asyncpg.Connection, wants: Wants) -> None:
        """Read it. Raises what asyncpg raises."""
        if wants.values or wants.spent or wants.holds or wants.promises:
            await self._fetch_points(connection, wants)
        if wants.orders:
            self.orders.update(dict.fromkeys(wants.orders))
            for seal, *row in await connection.fetch(_ORDERS, list(wants.orders)):
                self.orders[seal] = _held(*row)
        if wants.accounts:
            self.accounts.update(dict.fromkeys(wants.accounts))
            for key, *row in await connection.fetch(_ACCOUNTS, list(wants.accounts)):
                self.accounts[key] = Account._make(row)
        if wants.statements:
            self.statements.update(dict.fromkeys(wants.statements))
            pairs = list(wants.statements)
            rows = await connection.fetch(
                _STATEMENTS, [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            )
            for account, sequence, body, epoch in rows:
                self.statements[account, sequence] = Statement.read(Reader(body)), epoch
        for sql, arguments in wants.queries:
            self.queries[sql, arguments] = await connection.fetch(sql, *arguments)

    async def _fetch_points(self, connection: asyncpg.Connection, wants: Wants) -> None:
        values, spent, holds, promises = self.values, self.spent, self.holds, self.promises
        values.update(dict.fromkeys(wants.values))
        spent.update(dict.fromkeys(wants.spent))
        holds.update(dict.fromkeys(wants.holds))
        promises.update(dict.fromkeys(wants.promises))
        rows = await connection.fetch(
            _POINTS, list(wants.values), list(wants.spent), list(wants.holds), list(wants.promises)
        )
        for table, key, seal, signature, number, epoch in rows:
            if table <= _ENDED:
                values[key] = Value(number, epoch)
                if table == _ENDED:
                    self.ended.add(key)
            elif table == _SPENT:
                spent[key] = SpentCoin(seal, signature, number, epoch)
            elif table == _HELD:
                holds[key] = LiveHold(seal, signature, number)
            else:
                promises[key] = LivePromise(seal, number)


def _held(
    from_round: int,
    to_round: int,
    signed: bytes | None,
    round_: int | None,
    epoch: int | None,
    key: bytes,
    signature: bytes,
) -> HeldOrder:
    order = None if signed is None else SignedOrder.decode(signed)
    executed = None if round_ is None or epoch is None else (round_, epoch)
    return HeldOrder(from_round, to_round, order, executed, key, signature)


def _wants_of(batch: Sequence[Prepared]) -> Wants:
    wants = Wants()
    for prepared in batch:
        if isinstance(prepared, Exchange):
            wants.add_order(prepared.order, prepared.coins)
        elif isinstance(prepared, Asking):
            _add(wants, prepared.request)
    return wants


def _add(wants: Wants, request: SignedOrder | Execute | Withdraw | Deposit | Replace | ReadAccount) -> None:
    if isinstance(request, SignedOrder):
        wants.orders.add(request.seal)
        wants.add_order(request, input_ids(request.order))
    elif isinstance(request, Execute):
        wants.orders.add(request.seal)
    elif isinstance(request, ReadAccount):
        wants.accounts.add(request.account)
        wants.queries.append((CHAIN, (request.account, min(request.sequence, MOST_BIGINT), MOST_STATEMENTS)))
    else:
        asked = request.signed.request
        wants.accounts.add(asked.account)
        if asked.sequence <= MOST_BIGINT:
            wants.statements.add((asked.account, asked.sequence))
        outputs = [output.coin for output in asked.outputs]
        wants.add_outputs(outputs)
        if isinstance(request, Replace):
            wants.holds.update(outputs)
        if isinstance(request, Deposit):
            wants.add_order(request.order, input_ids(request.order.order))
