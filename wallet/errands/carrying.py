"""Carries plans on: one step, then the orders that it started, until the plan is over."""

from collections.abc import Callable, Sequence
from random import Random

from bank.formats.order import input_ids
from mixmint.errors import FatalError
from wallet.counter import Counter
from wallet.errands.apart import Apart
from wallet.errands.desk import Desk
from wallet.errands.exchanging import deposit, exchange
from wallet.errands.handing import hand_over, receive
from wallet.errands.paying import pay, take_back
from wallet.machines.order import OrderState
from wallet.machines.promised import PromisedState
from wallet.machines.steps import FINAL, Phase
from wallet.notices.letters import Letters
from wallet.operations import PlanState, Want
from wallet.plans import Held
from wallet.purse import CoinState
from wallet.settings import WalletSettings
from wallet.teller import Teller

Step = Callable[[Desk, int, PlanState], list[int]]


class Errands:
    """
    Carries plans on. ``stock_wait_s``: over how long one plan's standard exchanges are spread. ``now_s``:
    Unix seconds. ``letters``: the way back to payees.
    """

    def __init__(
        self,
        teller: Teller,
        counter: Counter,
        settings: WalletSettings,
        stock_wait_s: float,
        now_s: Callable[[], float],
        rng: Random,
        letters: Letters | None = None,
    ) -> None:
        self._desk = Desk(teller, counter, settings, letters)
        self._apart = Apart(self._desk, now_s, rng)
        self._teller = teller
        self._wait_s = stock_wait_s
        self._rng = rng
        self._steps: dict[Want, Step] = {
            Want.PAY: pay,
            Want.HAND_OVER: hand_over,
            Want.RECEIVE: receive,
            Want.EXCHANGE: exchange,
            Want.DEPOSIT: deposit,
            Want.TAKE_BACK: take_back,
        }

    async def carry_on(self, row: int, patience_s: float | None = None) -> PlanState:
        """
        Carry a plan to its end; its final state. ``patience_s``: how long a payment's pieces are waited for
        whose time has not come; by default as long as exchanges are spread.

        Raises PendingError when an order's outcome stays unknown, or something has its time later: the plan
        stays open.
        """
        wait_s = self._wait_s
        patience_s = min(self._wait_s if patience_s is None else patience_s, self._teller.patience_s)
        while (plan := self._desk.plan(row)).phase not in FINAL:
            if plan.parts:
                await self._apart.go_on(row, patience_s)
                continue
            unfinished = self.unfinished(row)
            if unfinished:
                await self._teller.finish(unfinished)
                continue
            exchanges = self._steps[plan.want](self._desk, row, plan)
            if not exchanges and self._desk.plan(row) == plan:
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
        states = [self._desk.purse.operation(row) for row in rows]
        return all(isinstance(state, OrderState) and state.purpose == "exchange" for state in states)

    def start_due(self) -> None:
        """Put the pieces of payments on file whose time has come."""
        for row, stored in self._desk.purse.open_operations().items():
            if isinstance(stored.state, PlanState) and stored.state.parts:
                self._apart.start_due(row)

    def only_waits(self, row: int) -> bool:
        """Whether this plan is a payment with nothing under way, and pieces whose time comes later."""
        return self._apart.only_waits(row)

    def lapsed(self) -> list[int]:
        """Orders for somebody else to carry out that lapsed, and whose coins no plan takes back."""
        operations = self._desk.purse.open_operations()
        states = {row: stored.state for row, stored in operations.items()}
        plans = [state for state in states.values() if isinstance(state, PlanState)]
        taken = {plan.last for plan in plans if plan.want is Want.TAKE_BACK}
        return [
            row
            for row, state in states.items()
            if isinstance(state, PromisedState)
            and state.phase is Phase.LAPSED
            and row not in taken
            and not self._is_executed(row, state)
        ]

    def _is_executed(self, row: int, state: PromisedState) -> bool:
        """Whether the bank has shown that the order itself spent its coins: the board will show the rest."""
        found = [self._desk.purse.coin(coin) for coin in input_ids(state.order)]
        records = [each[1] for each in found if each is not None]
        return any(record.state is CoinState.SPENT and record.operation == row for record in records)

    # What the cashier asks before it writes a plan

    def unfinished(self, row: int) -> list[int]:
        """The plan's orders that are not over."""
        return self._desk.unfinished(row)

    def held(self) -> list[Held]:
        """The coins that can be spent now."""
        return self._desk.held()

    @property
    def closed(self) -> int:
        """The newest round of the board, as far as it was read."""
        return self._desk.closed

    def last_round(self) -> int:
        """The last round of an order made now."""
        return self._desk.last_round()
