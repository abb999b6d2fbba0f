"""
Writes new orders and account requests to disk: inputs reserved, outputs derived, everything signed.

Each of these is called inside the purse's transaction, before the first byte leaves. What it puts on file is
all that a later process needs to go on.
"""

import os
from collections.abc import Callable, Sequence

from bank.formats.account import Operation
from bank.formats.coin import Coin, CoinKey
from bank.formats.order import NOTHING, Order, Output, sign_order
from mixmint.keys import SigningKey
from wallet.books import Books
from wallet.derivation import Purpose
from wallet.machines.account import AccountState
from wallet.machines.order import OrderState
from wallet.plans import Exchange, Held
from wallet.purse import CoinState


class Counter:
    """Where operations begin. ``now_s``: the clock, of which whole hours are stored."""

    def __init__(self, books: Books, now_s: Callable[[], float]) -> None:
        self._purse = books.purse
        self._bank = books.bank
        self._now_s = now_s

    def exchange(self, move: Exchange, last_round: int, parent: int, purpose: str = "exchange") -> int:
        """An order for oneself; its row."""
        return self._order(move.inputs, (), move.outputs, last_round, parent, purpose)

    def payment(
        self,
        inputs: Sequence[Held],
        paid: tuple[Output, ...],
        change: tuple[int, ...],
        last_round: int,
        parent: int,
        note: bytes,
    ) -> int:
        """The order that pays somebody's ids; its row."""
        return self._order(inputs, paid, change, last_round, parent, "payment", note)

    def _order(
        self,
        inputs: Sequence[Held],
        foreign: tuple[Output, ...],
        own: Sequence[int],
        last_round: int,
        parent: int,
        purpose: str,
        note: bytes = NOTHING,
    ) -> int:
        row = self._purse.next_operation()
        keys, exchanges = self._reserve(inputs, row)
        # Change of a payment tells its amount, so it counts as not yet exchanged.
        made = 0 if foreign else exchanges + 1
        mine = self._purse.expect(Purpose.EXCHANGE, own, row, exchanges=made)
        outputs = tuple(sorted((*foreign, *mine), key=lambda output: output.coin))
        state = self._signed(keys, outputs, mine, last_round, purpose, parent, note)
        return self._purse.add_operation(state, self._now_s())

    def bearer_exchange(self, coin: Coin, last_round: int, parent: int) -> int:
        """v -> v for a coin that somebody handed over; its row."""
        row = self._purse.next_operation()
        mine = self._purse.expect(Purpose.EXCHANGE, (coin.exponent,), row, exchanges=1)
        state = self._signed([coin.key()], mine, mine, last_round, "receive", parent, NOTHING)
        return self._purse.add_operation(state, self._now_s())

    def _signed(
        self,
        keys: list[SigningKey],
        outputs: tuple[Output, ...],
        mine: tuple[Output, ...],
        last_round: int,
        purpose: str,
        parent: int,
        note: bytes,
    ) -> OrderState:
        # A note that binds nothing looks like one that does, else the bank could tell exchanges from payments.
        note = os.urandom(32) if note == NOTHING else note
        order = Order(self._bank.id, os.urandom(16), last_round, _sorted_keys(keys), outputs, note=note)
        return OrderState(
            signed=sign_order(order, keys).encode(),
            mine=tuple(output.coin for output in mine),
            purpose=purpose,
            conversation=os.urandom(16),
            parent=parent,
        )

    def _reserve(self, inputs: Sequence[Held], row: int) -> tuple[list[SigningKey], int]:
        """Keep these coins for operation ``row``; their keys, and the fewest own exchanges of any."""
        records = self._purse.coins(CoinState.FREE)
        for coin in inputs:
            self._purse.change_coin(coin.row, records[coin.row], state=CoinState.RESERVED, operation=row)
        keys = [records[coin.row].key() for coin in inputs]
        return keys, min(records[coin.row].exchanges for coin in inputs)

    def withdrawal(self, exponents: Sequence[int], last_round: int) -> int:
        """A withdrawal of these coins; its row. Signed when the account's chain is known."""
        row = self._purse.next_operation()
        outputs = self._purse.expect(Purpose.WITHDRAW, exponents, row)
        state = AccountState(
            operation=Operation.WITHDRAW,
            bank=self._bank.id,
            request_id=os.urandom(16),
            last_round=last_round,
            outputs=tuple((output.coin, output.exponent) for output in outputs),
        )
        return self._purse.add_operation(state, self._now_s())

    def deposit(self, inputs: Sequence[Held], last_round: int, parent: int) -> int:
        """A deposit of these coins to the own account; its row."""
        row = self._purse.next_operation()
        keys, _ = self._reserve(inputs, row)
        account = self._purse.account().public
        order = Order(self._bank.id, os.urandom(16), last_round, _sorted_keys(keys), account=account)
        state = AccountState(
            operation=Operation.DEPOSIT,
            bank=self._bank.id,
            request_id=os.urandom(16),
            last_round=last_round,
            order=sign_order(order, keys).encode(),
            parent=parent,
        )
        return self._purse.add_operation(state, self._now_s())


def _sorted_keys(keys: Sequence[SigningKey]) -> tuple[CoinKey, ...]:
    return tuple(sorted(CoinKey(key.public) for key in keys))
