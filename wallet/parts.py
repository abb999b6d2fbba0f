"""
A payment that is made coin by coin, as the purse has it: each output of the request, the coin that is kept
for it, and what became of the orders that pay it.

What is paid follows from the orders' own states alone, so nothing can disagree after a crash.
"""

from dataclasses import dataclass

from bank.formats.order import Output
from mixmint.errors import FatalError
from wallet.machines.order import OrderState
from wallet.machines.steps import FINAL, Phase
from wallet.operations import Part, PlanState
from wallet.payment_request import PaymentRequest
from wallet.purse import Purse

PROMISED = frozenset((Phase.ANSWERED, Phase.SETTLED))
"""The bank has signed the certificates."""


@dataclass(frozen=True, slots=True)
class Piece:
    """
    One output. ``number``: its place in the request. ``orders``: those that pay it, by row, the oldest first;
    at most one of them can ever be executed, since an id is certified once.
    """

    number: int
    output: Output
    part: Part
    orders: dict[int, OrderState]

    @property
    def units(self) -> int:
        return 1 << self.output.exponent

    @property
    def live(self) -> int:
        """The order under way; 0 for none."""
        return next((row for row, order in self.orders.items() if order.phase not in FINAL), 0)

    @property
    def paid_by(self) -> int:
        """The order that the board shows; 0 for none."""
        return next((row for row, order in self.orders.items() if order.phase is Phase.SETTLED), 0)

    @property
    def is_promised(self) -> bool:
        return any(order.phase in PROMISED for order in self.orders.values())

    @property
    def reason(self) -> str:
        """Why the last order was refused; empty when none was."""
        return next((order.reason for order in reversed(self.orders.values())), "")


def pieces_of(purse: Purse, plan: PlanState) -> list[Piece]:
    """The pieces of a payment; none before its coins are kept."""
    if not plan.parts:
        return []
    outputs = PaymentRequest.decode(plan.request).outputs
    return [
        Piece(number, output, part, {row: _order(purse, row) for row in part.orders})
        for number, (output, part) in enumerate(zip(outputs, plan.parts, strict=True))
    ]


def _order(purse: Purse, row: int) -> OrderState:
    state = purse.operation(row)
    if not isinstance(state, OrderState):
        raise FatalError("a payment names an operation as its order that is none")
    return state


def paid_units(purse: Purse, plan: PlanState) -> int:
    """What the board shows as paid of a payment in pieces."""
    return sum(piece.units for piece in pieces_of(purse, plan) if piece.paid_by)


def newest(pieces: list[Piece]) -> int:
    """The order that was settled last; 0 when none is."""
    rounds = {piece.paid_by: piece.orders[piece.paid_by].round for piece in pieces if piece.paid_by}
    return max(rounds, key=lambda row: (rounds[row], row), default=0)
