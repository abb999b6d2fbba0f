"""
What came of a payment request, coin by coin: in part, with other values, late, twice. Pure.

Twice can't happen to one id, since the bank certifies it once. The rest can, when the payer isn't a wallet of
ours, and each has a rule: a request is paid only by all its ids with the values asked for; whatever else
comes to its ids is the payee's, is shown, and can be paid back (`mixmint wallet refund`), once.
"""

from collections.abc import Callable
from dataclasses import dataclass

from wallet.machines.invoice import InvoiceState
from wallet.machines.promised import PromisedState
from wallet.machines.steps import FINAL, Phase
from wallet.operations import PlanState, Stored, Want
from wallet.purse import CoinRecord, CoinState

_ON_THE_BOARD = (
    CoinState.FREE,
    CoinState.RESERVED,
    CoinState.SPENT,
    CoinState.HANDED,
    CoinState.LOST,
    CoinState.DISPUTED,
)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Units: ``asked`` for; ``came`` in all, of these ``late``; and how many coins came with other values."""

    asked: int
    came: int
    late: int
    odd: int
    is_paid: bool
    is_over: bool
    cancelled: bool

    @property
    def word(self) -> str:
        """The request's state, in a word."""
        if self.is_paid:
            return "paid"
        if self.came:
            return "partial"
        if self.cancelled:
            return "cancelled"
        return "expired" if self.is_over else "waiting"

    def advice(self, last_round: int) -> str:
        """What the payee may do about it; nothing when all is as it should be."""
        if self.is_paid:
            late = self.late and "it came after the request's end: deliver, or pay it back"
            return f"{late} with `mixmint wallet refund`" if late else ""
        if not self.came:
            return ""
        if self.odd:
            return (
                f"{self.came} units came for {self.asked}, {self.odd} coin(s) with another value than asked "
                "for: this request can't be paid any more; pay it back with `mixmint wallet refund`"
            )
        if self.is_over:
            return f"{self.came} of {self.asked} units came; pay them back with `mixmint wallet refund`"
        return f"{self.came} of {self.asked} units came; the rest may come until round {last_round}"


def arrivals(state: InvoiceState, coin_of: Callable[[bytes], tuple[int, CoinRecord] | None]) -> Arrivals:
    """``coin_of``: the purse's record of a coin id."""
    request = state.opened()
    end = request.last_round + state.grace_rounds
    came = late = odd = 0
    for output in request.outputs:
        found = coin_of(output.coin)
        # Without a certificate, after a change of the bank's key, it is no money any more.
        if found is None or found[1].state not in _ON_THE_BOARD or not found[1].certificate:
            continue
        record = found[1]
        came += record.units
        odd += record.exponent != output.exponent
        late += record.units if record.round > end else 0
    return Arrivals(
        request.units,
        came,
        late,
        odd,
        is_paid=state.phase is Phase.SETTLED,
        is_over=state.phase in FINAL,
        cancelled=state.cancelled,
    )


def refunds_of(row: int, operations: dict[int, Stored]) -> dict[int, int]:
    """What was paid back of the request in ``row``, or is being paid back: units by the plan's row."""
    plans = {number: stored.state for number, stored in operations.items()}
    return {
        number: plan.units if plan.is_partly_paid else plan.amount
        for number, plan in plans.items()
        if isinstance(plan, PlanState)
        and plan.want is Want.PAY
        and plan.refunds == row
        and plan.phase is not Phase.REFUSED
        and not came_back(plan, operations)
    }


def came_back(plan: PlanState, operations: dict[int, Stored]) -> bool:
    """Whether a payment lapsed and its coins are exchanged: its order can never be executed."""
    last = operations[plan.last].state if plan.last else None
    return isinstance(last, PromisedState) and last.phase is Phase.EXPIRED
