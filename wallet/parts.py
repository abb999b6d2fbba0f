"""
A payment that is made coin by coin, as the purse has it: each output of the request, the coin that is kept
for it, and what became of the orders that pay it.

What is paid follows from the orders' own states alone, so nothing can disagree after a crash.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from bank.formats.order import Output
from mixmint.errors import FatalError
from wallet.machines.order import OrderState
from wallet.machines.steps import FINAL, Phase
from wallet.operations import Part, PlanState, Stored
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


_CUT_SHORT = "cut-short"
"""The purse's fact: rows, 4 bytes each, of payments that ended before all of them were paid by us."""


def watch(purse: Purse, row: int) -> None:
    """What this payment has left is looked for on the board from now on; inside a transaction."""
    _set_cut_short(purse, [*_cut_short(purse), row])


def watched(purse: Purse, open_: Mapping[int, Stored]) -> dict[int, PlanState]:
    """
    Payments coin by coin whose request may be paid by others too, by row: those of the ``open_`` operations,
    and those that were cut short.
    """
    states = {row: stored.state for row, stored in open_.items()}
    states |= {row: purse.operation(row) for row in _cut_short(purse)}
    return {row: state for row, state in states.items() if isinstance(state, PlanState) and state.parts}


def note_shown(purse: Purse, row: int, plan: PlanState, coins: Collection[bytes]) -> None:
    """The board shows these ids of the request; inside a transaction."""
    shown = tuple(sorted({*plan.shown, *coins}))
    if shown == plan.shown:
        return
    purse.set_operation(row, msgspec.structs.replace(plan, shown=shown))
    if len(shown) == len(plan.parts):
        _set_cut_short(purse, [each for each in _cut_short(purse) if each != row])


def _cut_short(purse: Purse) -> list[int]:
    rows = purse.fact(_CUT_SHORT) or b""
    return [int.from_bytes(rows[at : at + 4]) for at in range(0, len(rows), 4)]


def _set_cut_short(purse: Purse, rows: Sequence[int]) -> None:
    purse.set_fact(_CUT_SHORT, b"".join(row.to_bytes(4) for row in rows))


def newest(pieces: list[Piece]) -> int:
    """The order that was settled last; 0 when none is."""
    rounds = {piece.paid_by: piece.orders[piece.paid_by].round for piece in pieces if piece.paid_by}
    return max(rounds, key=lambda row: (rounds[row], row), default=0)
