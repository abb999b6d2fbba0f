"""What every step of a plan works with: the coins in hand, the plan's orders, and its next state."""

from collections.abc import Sequence
from typing import TypeGuard

import msgspec

from mixmint.errors import FatalError
from wallet.counter import Counter
from wallet.machines.account import AccountState
from wallet.machines.order import OrderState
from wallet.machines.promised import PromisedState
from wallet.machines.steps import RESTING, Phase
from wallet.notices.letters import Letters
from wallet.operations import Machine, PlanState, Want
from wallet.plans import Exchange, Held
from wallet.purse import CoinState
from wallet.settings import WalletSettings
from wallet.teller import Teller

MOST_TRIES = 3
"""How many orders of one plan may be refused for a reason that another order can mend."""
MENDABLE = frozenset(("too-late", "spent", "unknown-certificate", "expired-coin"))


class Desk:
    """Where plans are worked on. ``letters``: the way back to a payee; None where there is no post."""

    def __init__(
        self, teller: Teller, counter: Counter, settings: WalletSettings, letters: Letters | None = None
    ) -> None:
        self.letters = letters
        self.teller = teller
        self.books = teller.books
        self.purse = teller.purse
        self.counter = counter
        self._settings = settings

    def plan(self, row: int) -> PlanState:
        plan = self.purse.operation(row)
        if not isinstance(plan, PlanState):
            raise FatalError("an operation is not carried on as a plan")
        return plan

    def unfinished(self, row: int) -> list[int]:
        """
        The plan's orders that are not over, and not another's turn; of one that takes coins back also the
        order that lapsed, while the board may show that it was executed before.
        """
        states = {child: stored.state for child, stored in self.purse.open_operations().items()}
        found = [
            child for child, state in states.items() if is_child(state, row) and state.phase not in RESTING
        ]
        plan = states.get(row)
        if isinstance(plan, PlanState) and plan.want is Want.TAKE_BACK and plan.last in states:
            return [*found, plan.last] if states[plan.last].phase is Phase.LOOKING else found
        return found

    def children(self, row: int) -> list[OrderState]:
        """The plan's orders, the oldest first."""
        states = [stored.state for stored in self.purse.operations().values()]
        return [state for state in states if isinstance(state, OrderState) and state.parent == row]

    def held(self) -> list[Held]:
        """The coins that can be spent now."""
        free = self.purse.coins(CoinState.FREE)
        return [Held.of(row, record) for row, record in free.items()]

    @property
    def closed(self) -> int:
        """The newest round of the board, as far as it was read."""
        return self.books.closed

    def last_round(self) -> int:
        """The last round of an order made now."""
        return self.closed + self._settings.order_rounds

    # What a step ends with

    def start(self, row: int, exchanges: Sequence[Exchange]) -> list[int]:
        """These exchanges, as orders of the plan; their rows."""
        with self.purse.transaction():
            rows = [self.counter.exchange(move, self.last_round(), row) for move in exchanges]
        self.teller.at("order-written")
        return rows

    def change(self, row: int, plan: PlanState, **changes: object) -> list[int]:
        """The plan goes on with these fields changed; no order was started."""
        with self.purse.transaction():
            self.purse.set_operation(row, msgspec.structs.replace(plan, **changes))
        return []

    def settle(self, row: int, plan: PlanState, units: int, reason: str = "") -> list[int]:
        """The plan is done, with so many units."""
        # Bearer secrets have done their duty; what is kept is the history.
        return self.change(row, plan, phase=Phase.SETTLED, units=units, reason=reason, coins=())

    def end(self, row: int, plan: PlanState, reason: str) -> list[int]:
        """The plan can't be done."""
        return self.change(row, plan, phase=Phase.REFUSED, reason=reason, coins=())


def is_child(state: Machine | PlanState, row: int) -> TypeGuard[OrderState | AccountState]:
    """Whether this is an order or a deposit of the plan in ``row``."""
    return isinstance(state, OrderState | AccountState) and state.parent == row


def after_last(desk: Desk, row: int, plan: PlanState) -> list[int]:
    """The order that does it is over: so is the plan, or it tries once more where that can help."""
    last = desk.purse.operation(plan.last)
    if isinstance(last, AccountState) and last.phase is Phase.SETTLED:
        units = plan.units + sum(desk.books.worth(last.inputs()).values())
        if units < plan.amount:
            return desk.change(row, plan, last=0, units=units)
        return desk.settle(row, plan, units)
    if isinstance(last, OrderState | AccountState) and last.phase is Phase.REFUSED:
        paid = _paid(desk, row)
        if paid:
            return desk.change(row, plan, last=paid)
        # At most one payment is ever alive: the one before was refused for good, and any other would pay
        # the same ids, which can be certified only once.
        if last.reason in MENDABLE and plan.tries + 1 < MOST_TRIES:
            return desk.change(row, plan, last=0, tries=plan.tries + 1)
        return desk.end(row, plan, last.reason)
    return desk.settle(row, plan, plan.amount)


def kept_by(desk: Desk, row: int) -> PromisedState | None:
    """The order in this row, if it is one that somebody else may carry out now."""
    state = desk.purse.operation(row) if row else None
    if isinstance(state, PromisedState) and state.phase in (Phase.KEPT, Phase.LAPSED):
        return state
    return None


def _paid(desk: Desk, row: int) -> int:
    """An earlier order of a payment, refused by the bank, that the board shows all the same; else 0."""
    for child, stored in desk.purse.operations().items():
        state = stored.state
        is_payment = isinstance(state, OrderState) and state.purpose in ("payment", "hold")
        if is_payment and is_child(state, row) and state.phase is Phase.SETTLED:
            return child
    return 0
