"""
Plans carried to their end: pay, hand over, receive, exchange, deposit.

A plan is a wish on file. Each pass looks at the coins that are there now, starts the next orders, and waits
until they are settled. So a crash anywhere leaves a wish and some orders, and the next process goes on.
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TypeGuard

import msgspec

from bank.board.reading.client import Cursor
from bank.formats.coin import Coin, exponents_of
from bank.formats.fields import Reader
from bank.formats.order import MOST_INPUTS
from mixmint.errors import FatalError
from wallet.bearer import MOST_COINS, Bearer, write_bearer
from wallet.counter import Counter
from wallet.machines.account import AccountState
from wallet.machines.order import OrderState
from wallet.machines.steps import FINAL, Phase
from wallet.operations import Machine, PlanState, Want
from wallet.payment_request import PaymentRequest
from wallet.plans import (
    Exchange,
    Held,
    Payment,
    exact,
    merge,
    next_exchanges,
    pay_at_once,
    pay_from_stock,
    total,
)
from wallet.purse import CoinState
from wallet.settings import WalletSettings
from wallet.teller import Teller

MOST_TRIES = 3
"""How many orders of one plan may be refused for a reason that another order can mend."""
_MENDABLE = frozenset(("too-late", "spent", "unknown-certificate", "expired-coin"))


class Errands:
    """Carries plans on. ``stock_wait_s``: over how long one plan's standard exchanges are spread."""

    def __init__(
        self, teller: Teller, counter: Counter, settings: WalletSettings, stock_wait_s: float, rng: Random
    ) -> None:
        self._teller = teller
        self._books = teller.books
        self._purse = teller.purse
        self._counter = counter
        self._settings = settings
        self._wait_s = stock_wait_s
        self._rng = rng

    async def carry_on(self, row: int) -> PlanState:
        """
        Carry a plan to its end; its final state.

        Raises PendingError when an order's outcome stays unknown: the plan stays open.
        """
        wait_s = self._wait_s
        while (plan := self._plan(row)).phase not in FINAL:
            unfinished = self.unfinished(row)
            if unfinished:
                await self._teller.finish(unfinished)
                continue
            exchanges = self._step(row, plan)
            if not exchanges and self._plan(row) == plan:
                raise FatalError(f"plan {row} stands still; please report this")
            if exchanges and self._may_wait(plan, exchanges):
                # Half of what is left of the time each pass, so that all of them stay within it.
                wait_s /= 2
                delays = [self._rng.uniform(0, wait_s) for _ in exchanges]
                await self._teller.finish(exchanges, delays)
        return plan

    def _may_wait(self, plan: PlanState, rows: Sequence[int]) -> bool:
        """
        Standard exchanges come at random times, so that nobody sees which of them are one member's. What
        was asked for at once, coins from a stranger's hands, and the order that pays do not wait.
        """
        if plan.now or plan.want is Want.RECEIVE:
            return False
        states = [self._purse.operation(row) for row in rows]
        return all(isinstance(state, OrderState) and state.purpose == "exchange" for state in states)

    def _plan(self, row: int) -> PlanState:
        plan = self._purse.operation(row)
        if not isinstance(plan, PlanState):
            raise FatalError("an operation is not carried on as a plan")
        return plan

    def unfinished(self, row: int) -> list[int]:
        """The plan's orders that are not over."""
        return [
            child for child, stored in self._purse.open_operations().items() if _is_child(stored.state, row)
        ]

    def _children(self, row: int) -> list[OrderState]:
        """The plan's orders, the oldest first."""
        states = [stored.state for stored in self._purse.operations().values()]
        return [state for state in states if isinstance(state, OrderState) and state.parent == row]

    def held(self) -> list[Held]:
        """The coins that can be spent now."""
        free = self._purse.coins(CoinState.FREE)
        return [Held(row, record.exponent, record.is_clean) for row, record in free.items()]

    @property
    def closed(self) -> int:
        """The newest round of the board, as far as it was read."""
        return (self._books.cursor() or Cursor()).round

    def last_round(self) -> int:
        """The last round of an order made now."""
        return self.closed + self._settings.order_rounds

    # Steps. Each either ends the plan, or starts orders and returns their rows.

    def _step(self, row: int, plan: PlanState) -> list[int]:
        steps = {
            Want.PAY: self._pay,
            Want.HAND_OVER: self._hand_over,
            Want.RECEIVE: self._receive,
            Want.EXCHANGE: self._exchange,
            Want.DEPOSIT: self._deposit,
        }
        return steps[plan.want](row, plan)

    def _pay(self, row: int, plan: PlanState) -> list[int]:
        request = PaymentRequest.decode(plan.request)
        if plan.last:
            return self._after_last(row, plan)
        if self.closed >= request.last_round:
            return self._end(row, plan, "expired")
        if total(self.held()) < plan.amount:
            return self._end(row, plan, "not-enough")
        move = self._move(plan, len(request.outputs))
        if move is None:
            return self._end(row, plan, "too-many-coins")
        if not isinstance(move, Payment):
            return self._start(row, move)
        with self._purse.transaction():
            last_round = min(self.last_round(), request.last_round)
            last = self._counter.payment(
                move.inputs, request.outputs, move.change, last_round, row, request.digest()
            )
            self._purse.set_operation(row, msgspec.structs.replace(plan, last=last))
        self._teller.at("order-written")
        return [last]

    def _move(self, plan: PlanState, paid_outputs: int) -> Payment | list[Exchange] | None:
        """The payment, or what must be exchanged first; None when no order can carry the amount."""
        held = self.held()
        if not plan.now:
            from_stock = pay_from_stock(held, plan.amount)
            if from_stock is not None:
                return from_stock
            exchanges = next_exchanges(held, plan.amount)
            if exchanges:
                return exchanges
            # The amount has more coins than an order carries: change can't be avoided.
            held = [coin for coin in held if coin.clean]
        payment = pay_at_once(held, plan.amount, paid_outputs)
        if payment is not None:
            return payment
        merged = merge(held)
        return None if merged is None else [merged]

    def _hand_over(self, row: int, plan: PlanState) -> list[int]:
        if plan.coins:
            return self._write_bearer(row, plan)
        held = self.held()
        chosen = exact([coin for coin in held if coin.clean], plan.amount)
        if chosen is not None and len(chosen) <= MOST_COINS:
            records = self._purse.coins(CoinState.FREE)
            ids = tuple(records[coin.row].id() for coin in chosen)
            with self._purse.transaction():
                for coin in chosen:
                    self._purse.change_coin(
                        coin.row, records[coin.row], state=CoinState.HANDED, operation=row
                    )
                self._purse.set_operation(row, msgspec.structs.replace(plan, coins=ids))
            self._teller.at("coins-chosen")
            return []
        if total(held) < plan.amount:
            return self._end(row, plan, "not-enough")
        exchanges = self._exchanges_to_hand_over(plan, held)
        return self._start(row, exchanges) if exchanges else self._end(row, plan, "too-many-coins")

    def _exchanges_to_hand_over(self, plan: PlanState, held: list[Held]) -> list[Exchange]:
        exponents = tuple(exponents_of(plan.amount))
        if plan.now:
            at_once = pay_at_once(held, plan.amount, len(exponents))
            if at_once is not None:
                return [Exchange(at_once.inputs, (*exponents, *at_once.change))]
        exchanges = next_exchanges(held, plan.amount)
        if exchanges:
            return exchanges
        merged = merge(held)
        return [] if merged is None else [merged]

    def _write_bearer(self, row: int, plan: PlanState) -> list[int]:
        found = [self._purse.coin(coin) for coin in plan.coins]
        coins = tuple(each[1].coin() for each in found if each is not None)
        # The coins count as gone before the file exists: money may wait here, but is never in two places.
        write_bearer(Path(plan.path), Bearer(self._books.bank.id, coins))
        self._teller.at("file-written")
        return self._settle(row, plan, plan.amount)

    def _receive(self, row: int, plan: PlanState) -> list[int]:
        """One standard exchange for each coin: a coin that was spent holds up no other."""
        latest: dict[bytes, OrderState] = {}
        tries: dict[bytes, int] = {}
        for child in self._children(row):
            key = child.order.inputs[0]
            latest[key], tries[key] = child, tries.get(key, 0) + 1
        missing, units, reason = [], 0, ""
        for coin in (Coin.read(Reader(data)) for data in plan.coins):
            public = coin.key().public
            order = latest.get(public)
            if order is not None and order.phase is Phase.SETTLED:
                units += coin.units
            elif order is None or (order.reason == "too-late" and tries[public] < MOST_TRIES):
                missing.append(coin)
            else:
                reason = order.reason
        if missing:
            with self._purse.transaction():
                rows = [self._counter.bearer_exchange(coin, self.last_round(), row) for coin in missing]
            self._teller.at("order-written")
            return rows
        return self._settle(row, plan, units, reason) if units else self._end(row, plan, reason)

    def _exchange(self, row: int, plan: PlanState) -> list[int]:
        children = self._children(row)
        if not children:
            ids = set(plan.coins)
            free = self._purse.coins(CoinState.FREE)
            coins = [
                Held(number, record.exponent, record.is_clean)
                for number, record in free.items()
                if record.id() in ids
            ]
            if not coins:
                return self._end(row, plan, "not-enough")
            return self._start(row, [Exchange((coin,), (coin.exponent,)) for coin in coins])
        done = [child for child in children if child.phase is Phase.SETTLED]
        units = sum(1 << output.exponent for child in done for output in child.own_outputs())
        reason = next((child.reason for child in children if child.phase is not Phase.SETTLED), "")
        return self._settle(row, plan, units, reason) if done else self._end(row, plan, reason)

    def _deposit(self, row: int, plan: PlanState) -> list[int]:
        if plan.last:
            return self._after_last(row, plan)
        held, missing = self.held(), plan.amount - plan.units
        if total(held) < missing:
            return self._end(row, plan, "not-enough")
        chosen = exact([coin for coin in held if coin.clean], missing)
        if chosen is None:
            return self._start(row, next_exchanges(held, missing))
        with self._purse.transaction():
            # More coins than an order carries: several deposits, one after the other, each whole by itself.
            last = self._counter.deposit(chosen[:MOST_INPUTS], self.last_round(), row)
            self._purse.set_operation(row, msgspec.structs.replace(plan, last=last))
        self._teller.at("order-written")
        return [last]

    def _after_last(self, row: int, plan: PlanState) -> list[int]:
        """The order that does it is over: so is the plan, or it tries once more where that can help."""
        last = self._purse.operation(plan.last)
        if isinstance(last, AccountState) and last.phase is Phase.SETTLED:
            units = plan.units + sum(self._books.worth(last.inputs()).values())
            if units < plan.amount:
                self._change(row, plan, last=0, units=units)
                return []
            return self._settle(row, plan, units)
        if isinstance(last, OrderState | AccountState) and last.phase is Phase.REFUSED:
            paid = self._paid(row)
            if paid:
                self._change(row, plan, last=paid)
                return []
            # At most one payment is ever alive: the one before was refused for good, and any other would pay
            # the same ids, which can be certified only once.
            if last.reason in _MENDABLE and plan.tries + 1 < MOST_TRIES:
                self._change(row, plan, last=0, tries=plan.tries + 1)
                return []
            return self._end(row, plan, last.reason)
        return self._settle(row, plan, plan.amount)

    def _paid(self, row: int) -> int:
        """An earlier order of a payment, refused by the bank, that the board shows all the same; else 0."""
        for child, stored in self._purse.operations().items():
            state = stored.state
            is_payment = isinstance(state, OrderState) and state.purpose == "payment"
            if is_payment and _is_child(state, row) and state.phase is Phase.SETTLED:
                return child
        return 0

    # Bookkeeping

    def _start(self, row: int, exchanges: Sequence[Exchange]) -> list[int]:
        with self._purse.transaction():
            rows = [self._counter.exchange(move, self.last_round(), row) for move in exchanges]
        self._teller.at("order-written")
        return rows

    def _change(self, row: int, plan: PlanState, **changes: object) -> None:
        with self._purse.transaction():
            self._purse.set_operation(row, msgspec.structs.replace(plan, **changes))

    def _settle(self, row: int, plan: PlanState, units: int, reason: str = "") -> list[int]:
        # Bearer secrets have done their duty; what is kept is the history.
        self._change(row, plan, phase=Phase.SETTLED, units=units, reason=reason, coins=())
        return []

    def _end(self, row: int, plan: PlanState, reason: str) -> list[int]:
        self._change(row, plan, phase=Phase.REFUSED, reason=reason, coins=())
        return []


def _is_child(state: Machine | PlanState, row: int) -> TypeGuard[OrderState | AccountState]:
    return isinstance(state, OrderState | AccountState) and state.parent == row
