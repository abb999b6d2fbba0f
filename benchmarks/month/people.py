"""
Fifty members for a month, on a virtual clock. Which coins pay and what is exchanged first, the wallet's own
plans decide; how often people pay, and what, is assumed here.

Forty-five pay about once a day, by day: three in five payments go to one of five shops, the others to
anybody. Amounts are from 1 to 64 units, each size as likely as its double. Whoever has less than 64 units
left withdraws 128 within a day; whoever has more than 192 at the end of a week deposits 64 or a multiple;
shops do so every evening.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import count
from math import exp, log
from random import Random

from bank.formats.coin import exponents_of
from benchmarks.month.bank import ROUND_S, Coin, MonthBank
from wallet import matched
from wallet.agent.settings import AgentSettings
from wallet.anonymity import churn, stock
from wallet.plans import (
    Exchange,
    Held,
    Payment,
    exact,
    next_exchanges,
    pay_at_once,
    renew,
    total,
)

MEMBERS = 50
SHOPS = 5
DAY_S = 86400.0
MOST_AMOUNT = 64
LITTLE, WITHDRAWN, MUCH, KEPT = 64, 128, 192, 128
STOCK_WAIT_S = 40.0
"""Four ticks of configs/example: over so long commands spread their standard exchanges."""
PAY_SPREAD_S = 40.0
"""The same of a payment's coins, after the first."""
LONG_SPREAD_S = 900.0
"""As with `wallet pay --within 15m`."""
MOST_PASSES = 12


class Habit(Enum):
    """How members pay."""

    NOW = "now"
    """`--now`: one order with change, from whatever coins there are."""
    STOCK = "stock"
    """As commands do by default: exact, clean coins are made first, and then pay, each by an order v -> v."""
    AGENT = "agent"
    """With an agent beside the wallet: the stock is there, and no coin rests for ever."""
    SPREAD = "spread"
    """As with the agent, and the coins of a payment are spread over a quarter of an hour."""

    @property
    def has_agent(self) -> bool:
        return self in (Habit.AGENT, Habit.SPREAD)

    @property
    def spread_s(self) -> float:
        """Over how long the coins of a payment are spread; only asked where each is an order."""
        return LONG_SPREAD_S if self is Habit.SPREAD else PAY_SPREAD_S


@dataclass(slots=True)
class Own:
    """A coin in a purse; it can be spent from ``free_s`` on."""

    coin: Coin
    free_s: float
    exchanges: int = 0
    recognisable: bool = False

    def held(self) -> Held:
        return Held(self.coin.number, self.coin.exponent, self.exchanges > 0 and not self.recognisable)


@dataclass(slots=True)
class Counts:
    """What became of the payments."""

    payments: int = 0
    without_change: int = 0
    ready: int = 0
    """Paid from the stock as it was, with no exchange on the spot."""
    exchanges: int = 0


class Month:
    """Runs one month. ``bank.log`` is what it leaves."""

    def __init__(self, bank: MonthBank, habit: Habit, rng: Random, days: float, members: int) -> None:
        self._bank = bank
        self._habit = habit
        self._rng = rng
        self._end_s = days * DAY_S
        self._members = members
        self._purses: list[dict[int, Own]] = [{} for _ in range(members)]
        self._is_withdrawing = [False] * members
        self._is_in_order = [True] * members
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = count()
        self._agent = AgentSettings(home=".", operations_port=1)  # type: ignore[arg-type]  # its defaults
        self.counts = Counts()

    def run(self) -> Counts:
        for member in range(self._members):
            self._withdraw(self._rng.uniform(0, DAY_S / 4), member)
            self._at(DAY_S * (1 + member % 7), lambda at_s, member=member: self._evening(at_s, member))  # type: ignore[misc]  # bound at once
            if self._habit.has_agent:
                self._tend(0.0, member)
            if member >= SHOPS:
                self._next_payment(self._rng.uniform(0, DAY_S), member)
        while self._events:
            at_s, _, event = heapq.heappop(self._events)
            event(at_s)
        # Orders that came late are noted when they were planned.
        self._bank.log.sort(key=lambda seen: seen.at_s)
        return self.counts

    def _at(self, at_s: float, event: Callable[[float], None]) -> None:
        if at_s < self._end_s:
            heapq.heappush(self._events, (at_s, next(self._numbers), event))

    def _settled_s(self, at_s: float) -> float:
        """When an order's outputs are public: its way through the mixes, and its round."""
        arrived_s = at_s + self._rng.uniform(20, 60)
        return (arrived_s // ROUND_S + 1) * ROUND_S

    # Money in and out

    def _withdraw(self, at_s: float, member: int, units: int = WITHDRAWN) -> float:
        """When the coins are there."""
        free_s = self._settled_s(at_s)
        for coin in self._bank.withdraw(at_s, member, exponents_of(units)):
            self._purses[member][coin.number] = Own(coin, free_s)
        self._is_withdrawing[member] = self._is_in_order[member] = False
        return free_s

    def _evening(self, at_s: float, member: int) -> None:
        pause_s = DAY_S if member < SHOPS else 7 * DAY_S
        self._at(at_s + pause_s, lambda later_s: self._evening(later_s, member))
        at_s += self._rng.uniform(0, DAY_S / 8)
        too_much = total(self._held(at_s, member)) - (LITTLE if member < SHOPS else MUCH)
        if too_much > 0:
            least = LITTLE if member < SHOPS else KEPT
            units = (total(self._held(at_s, member)) - least) // 64 * 64
            self._deposit(at_s, member, units, MOST_PASSES)

    def _deposit(self, at_s: float, member: int, units: int, passes: int) -> None:
        """Only coins that the member exchanged himself; others are exchanged first."""
        held = self._held(at_s, member)
        chosen = exact([coin for coin in held if coin.clean], units)
        if chosen is not None:
            for at in range(0, len(chosen), 8):
                rows = [coin.row for coin in chosen[at : at + 8]]
                self._take(member, rows)
                self._bank.deposit(at_s, member, rows)
            self._is_in_order[member] = False
        elif passes and total(held) >= units:
            later_s = self._exchange_all(at_s, member, next_exchanges(held, units), STOCK_WAIT_S)
            self._at(later_s, lambda at_s: self._deposit(at_s, member, units, passes - 1))

    # Payments

    def _next_payment(self, at_s: float, member: int) -> None:
        day, second = divmod(at_s + self._rng.expovariate(1 / DAY_S), DAY_S)
        at_s = day * DAY_S + 8 * 3600 + second * 14 / 24
        amount = round(exp(self._rng.uniform(0, log(MOST_AMOUNT))))
        self._at(at_s, lambda at_s: self._begin(at_s, member, amount))

    def _begin(self, at_s: float, payer: int, amount: int) -> None:
        self._next_payment(at_s, payer)
        payee = payer
        while payee == payer:
            to_shop = self._rng.random() < 0.6
            payee = self._rng.randrange(SHOPS if to_shop else self._members)
        if total(self._held(at_s, payer)) < amount:
            at_s = self._withdraw(at_s, payer)
        self._at(at_s, lambda at_s: self._pay(at_s, payer, payee, amount, 0))

    def _pay(self, at_s: float, payer: int, payee: int, amount: int, passes: int) -> None:
        held = self._held(at_s, payer)
        if total(held) < amount:
            # Its coins are under way, in another payment or with the agent.
            if passes < MOST_PASSES:
                self._at(at_s + 60, lambda at_s: self._pay(at_s, payer, payee, amount, passes + 1))
            return
        outputs = exponents_of(amount)
        chosen = None if self._habit is Habit.NOW else matched.one_each(held, outputs)
        payment = pay_at_once(held, amount, len(outputs)) if self._habit is Habit.NOW else None
        if chosen is not None:
            self.counts.ready += passes == 0
            # The request's coin ids are random, and the smallest goes first.
            self._rng.shuffle(chosen)
            self._execute_apart(at_s, chosen, payer, payee)
        elif payment is not None:
            self.counts.ready += passes == 0 and not payment.change
            self._execute(at_s, payment, outputs, payer, payee)
        else:
            moves = matched.next_exchanges(held, outputs)
            later_s = self._exchange_all(at_s, payer, moves, STOCK_WAIT_S / 2 ** (passes + 1))
            self._at(later_s, lambda at_s: self._pay(at_s, payer, payee, amount, passes + 1))

    def _execute(self, at_s: float, payment: Payment, outputs: Sequence[int], payer: int, payee: int) -> None:
        rows = [coin.row for coin in payment.inputs]
        self._take(payer, rows)
        theirs, change = self._bank.pay(at_s, rows, outputs, payment.change, payer, payee)
        free_s = self._settled_s(at_s)
        for coin in theirs:
            self._purses[payee][coin.number] = Own(coin, free_s, recognisable=True)
        for coin in change:
            self._purses[payer][coin.number] = Own(coin, free_s)
        self.counts.payments += 1
        self.counts.without_change += not payment.change
        self._changed(free_s, payer, payee)

    def _execute_apart(self, at_s: float, coins: Sequence[Held], payer: int, payee: int) -> None:
        """The first one alone; the others once it is answered: a way back, and one there again."""
        amount = total(coins)
        settled: list[float] = []
        answered_s = at_s + self._rng.uniform(20, 60) + self._rng.uniform(20, 60)
        for coin in coins:
            self._take(payer, [coin.row])
            part_s = answered_s + self._rng.uniform(0, self._habit.spread_s) if settled else at_s
            settled.append(self._settled_s(part_s))
            theirs, _ = self._bank.pay(part_s, [coin.row], [coin.exponent], (), payer, payee, amount)
            self._purses[payee][theirs[0].number] = Own(theirs[0], settled[-1], recognisable=True)
        self.counts.payments += 1
        self.counts.without_change += 1
        self._changed(max(settled), payer, payee)

    def _changed(self, at_s: float, payer: int, payee: int) -> None:
        """Both purses have changed; the payer may need money."""
        self._is_in_order[payer] = self._is_in_order[payee] = False
        if total(self._held(float("inf"), payer)) < LITTLE and not self._is_withdrawing[payer]:
            self._is_withdrawing[payer] = True
            self._at(at_s + self._rng.uniform(0, DAY_S), lambda at_s: self._top_up(at_s, payer))

    def _top_up(self, at_s: float, member: int) -> None:
        if self._is_withdrawing[member]:
            self._withdraw(at_s, member)

    # Exchanges

    def _held(self, at_s: float, member: int) -> list[Held]:
        return [own.held() for own in self._purses[member].values() if own.free_s <= at_s]

    def _take(self, member: int, rows: Sequence[int]) -> list[Own]:
        return [self._purses[member].pop(row) for row in rows]

    def _exchange_all(self, at_s: float, member: int, moves: Sequence[Exchange], wait_s: float) -> float:
        """Spread over a time, as commands do it; when all of them are settled."""
        settled = [self._exchange(at_s + self._rng.uniform(0, wait_s), member, move) for move in moves]
        return max([at_s, *settled])

    def _exchange(self, at_s: float, member: int, move: Exchange) -> float:
        before = self._take(member, [coin.row for coin in move.inputs])
        made = min(own.exchanges for own in before) + 1
        free_s = self._settled_s(at_s)
        for coin in self._bank.order(at_s, [coin.row for coin in move.inputs], move.outputs, member):
            self._purses[member][coin.number] = Own(coin, free_s, made)
        self.counts.exchanges += 1
        return free_s

    # The agent

    def _tend(self, at_s: float, member: int) -> None:
        """One look of the agent's, at the pace at which it keeps the stock, and the next one."""
        gap_s = self._agent.exchange_gap_s
        self._at(at_s + self._rng.expovariate(1 / gap_s), lambda at_s: self._tend(at_s, member))
        purse = self._purses[member]
        if not self._is_in_order[member]:
            coming = Counter(own.coin.exponent for own in purse.values() if own.free_s > at_s)
            moves = stock.next_exchanges(self._held(at_s, member), coming, self._agent.stock)
            self._is_in_order[member] = not moves and not coming
            if moves:
                self._exchange(at_s, member, stock.timed(moves, gap_s, self._rng)[0].exchange)
                return
        if churn.is_over_rest(len(purse), gap_s, self._agent.rest_s, self._rng):
            held = self._held(at_s, member)
            if held:
                self._exchange(at_s, member, renew(self._rng.choice(held)))
