"""
Writes new orders and account requests to disk: inputs reserved, outputs derived, everything signed.

Each of these is called inside the purse's transaction, before the first byte leaves. What it puts on file is
all that a later process needs to go on.
"""

import os
from collections.abc import Callable, Sequence

from bank.formats.account import Operation
from bank.formats.coin import Coin, CoinKey
from bank.formats.order import NOTHING, Order, Output, SignedOrder, sign_order
from mixmint.keys import SigningKey
from wallet.books import Books
from wallet.derivation import Purpose
from wallet.machines import foreign
from wallet.machines.account import AccountState
from wallet.machines.claim import RECLAIM
from wallet.machines.foreign import ForeignState
from wallet.machines.order import OrderState
from wallet.machines.promised import PromisedState
from wallet.machines.steps import Phase
from wallet.marks.mark import Mark
from wallet.plans import Exchange, Held
from wallet.purse import CoinRecord, CoinState
from wallet.replacing import Replaceable


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
        mark: Mark,
        *,
        purpose: str = "payment",
        tau: bytes = NOTHING,
    ) -> int:
        """
        The order that pays somebody's ids; its row. ``purpose``: ``payment``, at once; ``hold``, once he
        shows the h of ``tau``; ``sealed``, for him to submit.
        """
        promised = purpose != "payment"
        return self._order(inputs, paid, change, last_round, parent, purpose, mark, tau, promised=promised)

    def _order(
        self,
        inputs: Sequence[Held],
        theirs: tuple[Output, ...],
        own: Sequence[int],
        last_round: int,
        parent: int,
        purpose: str,
        mark: Mark | None = None,
        tau: bytes = NOTHING,
        *,
        promised: bool = False,
    ) -> int:
        row = self._purse.next_operation()
        keys, exchanges = self._reserve(inputs, row)
        # Change of a payment tells its amount, so it counts as not yet exchanged.
        made = 0 if theirs else exchanges + 1
        mine = self._purse.expect(Purpose.EXCHANGE, own, row, exchanges=made)
        outputs = tuple(sorted((*theirs, *mine), key=lambda output: output.coin))
        state = self._signed(keys, outputs, mine, last_round, purpose, parent, mark, tau)
        if promised:
            state = _promised(state)
        return self._purse.add_operation(state, self._now_s())

    def take_back(self, coin: Held, kept: CoinRecord, last_round: int, parent: int) -> int:
        """v -> v for a coin that an order of ours kept, and that lapsed; its row."""
        # One transaction with the new order: the coin is never free in between.
        self._purse.change_coin(coin.row, kept, state=CoinState.FREE)
        return self.exchange(Exchange((coin,), (coin.exponent,)), last_round, parent)

    def foreign(
        self,
        order: SignedOrder,
        mine: tuple[bytes, ...],
        purpose: str,
        parent: int,
        h: bytes = b"",
        hold: bytes = b"",
        closed: int = 0,
        end: int = 0,
        *,
        unheld: bool = False,
        certificates: tuple[bytes, ...] = (),
    ) -> int:
        """
        An order that its payer signed, for us to carry out; its row. ``parent``: the request that it pays;
        ``closed``: the board's newest round; ``end``: until when a sealed payment may wait for another hold.
        ``unheld``: the hold is by a key that the bank has no more. ``certificates``: of a sealed payment's
        coins, checked.
        """
        state = ForeignState(
            signed=order.encode(),
            mine=mine,
            purpose=purpose,
            conversation=os.urandom(16),
            parent=parent,
            h=h,
            hold=hold,
            end=end,
            unheld=unheld,
            certificates=certificates,
        )
        state = foreign.at(state, closed)
        return self._purse.add_operation(state, self._now_s())

    def bearer_exchange(self, coin: Coin, last_round: int, parent: int) -> int:
        """v -> v for a coin that somebody handed over; its row."""
        row = self._purse.next_operation()
        mine = self._purse.expect(Purpose.EXCHANGE, (coin.exponent,), row, exchanges=1)
        state = self._signed([coin.key()], mine, mine, last_round, "receive", parent)
        return self._purse.add_operation(state, self._now_s())

    def reclaim(self, coin: int, last_round: int) -> int:
        """v -> v for a coin (its row) that the bank denies; its row. Only the board's answer ends it."""
        row, record = self._purse.next_operation(), self._purse.coins(CoinState.DISPUTED)[coin]
        self._purse.change_coin(coin, record, state=CoinState.RESERVED, operation=row, reclaimed=True)
        mine = self._purse.expect(
            Purpose.EXCHANGE, (record.exponent,), row, exchanges=record.exchanges + 1, recognisable=True
        )
        state = self._signed([record.key()], mine, mine, last_round, RECLAIM, 0)
        return self._purse.add_operation(state, self._now_s())

    def _signed(
        self,
        keys: list[SigningKey],
        outputs: tuple[Output, ...],
        mine: tuple[Output, ...],
        last_round: int,
        purpose: str,
        parent: int,
        mark: Mark | None = None,
        tau: bytes = NOTHING,
    ) -> OrderState:
        # A note that binds nothing looks like one that does, or the bank could tell exchanges apart.
        note = os.urandom(32) if mark is None else mark.commitment()
        keys_in = _sorted_keys(keys)
        order = Order(self._bank.id, os.urandom(16), last_round, keys_in, outputs, tau=tau, note=note)
        return OrderState(
            signed=sign_order(order, keys).encode(),
            mine=tuple(output.coin for output in mine),
            purpose=purpose,
            conversation=os.urandom(16),
            parent=parent,
            mark=b"" if mark is None else mark.encode(),
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

    def replacement(self, part: Replaceable, last_round: int) -> int:
        """A replacement of expired coins of one withdrawal; its row. The coins stay aside."""
        state = AccountState(
            operation=Operation.REPLACE,
            bank=self._bank.id,
            request_id=os.urandom(16),
            last_round=last_round,
            replaced=part.coins,
            receipt=part.request.encode() + part.statement.encode(),
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


def _promised(order: OrderState) -> PromisedState:
    """The same order, for somebody else to carry out; a sealed one is out of our hands from the beginning."""
    fields = {name: getattr(order, name) for name in order.__struct_fields__}
    if order.order.tau == NOTHING:
        fields |= {"phase": Phase.KEPT, "round": order.order.last_round}
    return PromisedState(**fields)


def _sorted_keys(keys: Sequence[SigningKey]) -> tuple[CoinKey, ...]:
    return tuple(sorted(CoinKey(key.public) for key in keys))
