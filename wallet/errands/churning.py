"""
Churning: coins exchanged one by one, at random times, until each was exchanged often enough.

Unlike other plans it takes hours and mostly waits. So nobody waits for it: each call starts what is due and
returns, and whoever calls (the command, the agent) comes again at the time that stands in the plan. Other
commands leave it alone, but for its orders that are under way.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import msgspec

from mixmint.errors import PendingError, UserError
from wallet.anonymity.churn import PACKETS_AN_EXCHANGE, Aim, Coin, all_left, due, wait_s
from wallet.anonymity.figures import figures_of
from wallet.derivation import Purpose
from wallet.errands.desk import Desk
from wallet.machines.steps import FINAL, Phase
from wallet.operations import PlanState, Want
from wallet.plans import Exchange, Held
from wallet.purse import CoinState

MOST_REFUSED = 5
"""A plan of which so many exchanges were refused ends: something is wrong that trying again doesn't mend."""
BUSY_S = 5.0
"""When only orders under way are waited for, the next look is after so many seconds."""


@dataclass(frozen=True, slots=True)
class Progress:
    """
    How far a churn has come: exchanges done, under way, and still to do; when to come again and when the
    last one is due (Unix seconds).
    """

    row: int
    phase: Phase
    done: int
    under_way: int
    left: int
    next_s: float
    until_s: float
    reason: str = ""

    @property
    def packets(self) -> int:
        """What it costs in packets through the mixes, all in all."""
        return PACKETS_AN_EXCHANGE * (self.done + self.under_way + self.left)

    @property
    def is_over(self) -> bool:
        return self.phase in FINAL


class Churning:
    """Carries churns on. ``now_s``: Unix seconds."""

    def __init__(self, desk: Desk, now_s: Callable[[], float], rng: Random) -> None:
        self._desk = desk
        self._now_s = now_s
        self._rng = rng

    def plan(self, aim: Aim, within_s: float) -> PlanState:
        """A churn of the coins that are free now and later, to be put on file."""
        now_s = self._now_s()
        coins = self._due(aim)
        first_s = wait_s(self._left(aim), within_s, self._rng)
        return PlanState(
            want=Want.CHURN,
            amount=sum(1 << coin.exponent for coin in coins),
            to=aim.to,
            public=aim.public,
            exponents=tuple(aim.exponents),
            next_s=now_s + first_s,
            until_s=now_s + within_s,
        )

    async def begin(self, aim: Aim, within_s: float) -> int:
        """
        Put a churn on file; its row. Nothing is exchanged yet.

        Raises UserError (one is under way already, or there is nothing to do) and Unavailable: nothing has
        happened then.
        """
        if self.open():
            raise UserError("a churn is under way; go on with `mixmint wallet churn`, or end it with --stop")
        await self._desk.teller.sync()
        if not self._due(aim):
            raise UserError("there is nothing to do: every free coin meant has that figure already")
        with self._desk.purse.transaction():
            return self._desk.purse.add_operation(self.plan(aim, within_s), self._now_s())

    async def go_on(self, row: int, most_s: float) -> Progress:
        """
        Start what is due and wait for what is under way, for at most about ``most_s``; how far it is then.

        Raises Unavailable when the board can't be reached.
        """
        teller = self._desk.teller
        with teller.hurry(most_s):
            await teller.sync()
            self.step(row)
            # It goes on by itself in whoever opens this home next.
            with suppress(PendingError):
                await teller.finish(self._desk.unfinished(row))
        self.step(row)
        return self.progress(row)

    def open(self) -> int:
        """The row of the churn that is under way; 0 when there is none."""
        for row, stored in self._desk.purse.open_operations().items():
            if isinstance(stored.state, PlanState) and stored.state.want is Want.CHURN:
                return row
        return 0

    def step(self, row: int) -> list[int]:
        """Start what is due, if anything is; its orders' rows. Ends the plan when nothing is left."""
        plan, now_s = self._desk.plan(row), self._now_s()
        if plan.phase in FINAL:
            return []
        refused = [each for each in self._desk.children(row) if each.phase is Phase.REFUSED]
        if len(refused) >= MOST_REFUSED:
            return self._desk.end(row, plan, refused[-1].reason)
        aim = aim_of(plan)
        coins = self._due(aim)
        if not coins:
            if not self._desk.unfinished(row):
                self._desk.settle(row, plan, plan.amount)
            return []
        if now_s < min(plan.next_s, plan.until_s):
            return []
        # Time is over: what is left comes at once. Before, one coin an exchange, and which of them is chance.
        chosen = coins if now_s >= plan.until_s else [self._rng.choice(coins)]
        records = self._desk.purse.coins(CoinState.FREE)
        after = self._left(aim) - len(chosen)
        next_s = now_s + wait_s(after, plan.until_s - now_s, self._rng)
        with self._desk.purse.transaction():
            # Orders and time in one transaction: a crash starts none twice.
            self._desk.purse.set_operation(row, msgspec.structs.replace(plan, next_s=next_s))
            rows = [self._exchange(coin, records[coin.row].is_clean, row) for coin in chosen]
        self._desk.teller.at("order-written")
        return rows

    def _exchange(self, coin: Coin, is_clean: bool, row: int) -> int:
        move = Exchange((Held(coin.row, coin.exponent, is_clean),), (coin.exponent,))
        return self._desk.counter.exchange(move, self._desk.last_round(), row)

    def stop(self, row: int) -> None:
        """No further exchange of this plan; orders under way end as they would."""
        self._desk.settle(row, self._desk.plan(row), 0, "stopped")

    def progress(self, row: int) -> Progress:
        """How far it has come."""
        plan = self._desk.plan(row)
        children = self._desk.children(row)
        under_way = len(self._desk.unfinished(row))
        is_over = plan.phase in FINAL
        still = 0 if is_over else self._left(aim_of(plan))
        next_s = min(plan.next_s, plan.until_s) if self._due(aim_of(plan)) else self._now_s() + BUSY_S
        return Progress(
            row,
            plan.phase,
            sum(child.phase is Phase.SETTLED for child in children),
            under_way,
            still,
            next_s,
            plan.until_s,
            plan.reason,
        )

    def _coins(self, *states: CoinState) -> list[Coin]:
        alike = self._desk.books.crowd().alike()
        return [
            Coin(row, record.exponent, record.epoch, record.exchanges, figures_of(record, alike).public)
            for row, record in self._desk.purse.coins(*states).items()
            # What a payment request still waits for may never come.
            if record.state is not CoinState.EXPECTED or record.purpose == Purpose.EXCHANGE
        ]

    def _due(self, aim: Aim) -> list[Coin]:
        return due(self._coins(CoinState.FREE), aim, self._desk.books.crowd().newest_epoch())

    def _left(self, aim: Aim) -> int:
        """Exchanges still needed: of free coins, and of those that exchanges under way will bring."""
        coins = self._coins(CoinState.FREE, CoinState.PENDING, CoinState.EXPECTED)
        return all_left(coins, aim, self._desk.books.crowd().newest_epoch())


def aim_of(plan: PlanState) -> Aim:
    """What a churn is for."""
    return Aim(plan.to, plan.public, plan.exponents)
