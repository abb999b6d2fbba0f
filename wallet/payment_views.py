"""Payments as plain data: what a payer's wallet and a payee's show of them, for people and programs."""

from typing import Any

from bank.formats.coin import total_units
from wallet.arrivals import arrivals, refunds_of
from wallet.machines.foreign import ForeignState
from wallet.machines.invoice import InvoiceState
from wallet.machines.order import OrderState
from wallet.machines.promised import PromisedState
from wallet.machines.steps import Phase
from wallet.notices.notice import HoldNotice, decode_all
from wallet.notices.refund import RefundTo
from wallet.operations import PlanState
from wallet.parts import Piece, pieces_of
from wallet.payment_request import PaymentRequest
from wallet.purse import CoinState, Purse

_WORDS = {
    Phase.KEPT: "held",
    Phase.LAPSED: "lapsed",
    Phase.SETTLED: "settled",
    Phase.EXPIRED: "returned",
}
"""Of a payment that its payee carries out. *returned*: its coins are the payer's again."""


PARTLY_PAID = "partly paid"
"""Of a payment coin by coin that came to its end before all of them were paid."""
PAID_WITH_OTHERS = "paid with others"
"""Of one of which somebody else, it may be another copy of this wallet, paid the rest."""


def payment_word(purse: Purse, plan: PlanState) -> str:
    """A payment's state in a word; until its payee has carried it out, *held*, *handed over* or *lapsed*."""
    order = purse.operation(plan.last) if plan.last else None
    if plan.is_partly_paid:
        return PARTLY_PAID
    if plan.is_paid_with_others:
        return PAID_WITH_OTHERS
    if plan.phase is not Phase.SETTLED or not isinstance(order, PromisedState):
        return plan.phase.value
    if order.phase is Phase.KEPT and order.is_sealed:
        return "handed over"
    return _WORDS.get(order.phase, order.phase.value)


def payment_view(purse: Purse, plan: PlanState) -> dict[str, Any]:
    """What the payer sees besides. ``orders``: of a payment coin by coin, one for each."""
    order = purse.operation(plan.last) if plan.last else None
    view: dict[str, Any] = {
        "note": PaymentRequest.decode(plan.request).note,
        "own_note": plan.note,
        "statement": plan.statement,
        "receipt": opening(order) if isinstance(order, OrderState) else None,
    }
    if plan.is_apart:
        pieces = pieces_of(purse, plan)
        view["orders"] = [_order_view(piece) for piece in pieces if piece.orders]
        if len(pieces) > 1:
            view["receipt"] = None
        if plan.phase is Phase.WORKING:
            view["units"] = sum(piece.units for piece in pieces if piece.is_promised)
    if plan.refunds:
        view["refunds"] = plan.refunds
    if isinstance(order, PromisedState) and order.phase in (Phase.KEPT, Phase.LAPSED):
        view["until_round"] = order.round
    return view


def _order_view(piece: Piece) -> dict[str, Any]:
    row = piece.paid_by or max(piece.orders)
    order = piece.orders[row]
    view = {"operation": row, "units": piece.units, "state": order.phase.value, "receipt": opening(order)}
    if order.phase is Phase.SETTLED:
        view["round"] = order.round
    return view


def opening(order: OrderState) -> dict[str, Any]:
    """The opening of an order: what a receipt proves to somebody."""
    opened = order.opened
    return {
        "seal": opened.seal.hex(),
        "salt": opened.salt.hex(),
        "order": opened.order_bytes.hex(),
        "signatures": [signature.hex() for signature in opened.signatures],
    }


def request_word(purse: Purse, state: InvoiceState) -> str:
    """A request's state in a word."""
    word = arrivals(state, purse.coin).word
    return "held" if word == "waiting" and hold_until(state) else word


def request_view(purse: Purse, row: int, state: InvoiceState) -> dict[str, Any]:
    """What the payee sees besides: what came exactly, what it means, what was paid back."""
    request, came = state.opened(), arrivals(state, purse.coin)
    refunds = refunds_of(row, purse.operations())
    notices = decode_all(state.notices)
    view: dict[str, Any] = {
        "note": request.note,
        "arrived": came.came,
        "last_round": request.last_round,
        "late": came.late,
        "other_values": came.odd,
        "cancelled": state.cancelled,
        "advice": came.advice(request.last_round),
        "refunds": sorted(refunds),
        "refunded": sum(refunds.values()),
    }
    if request.is_hold:
        view["held_until_round"] = hold_until(state)
    asked = [notice.request.units for notice in notices if isinstance(notice, RefundTo)]
    if asked:
        view["refund_asked"] = asked[-1]
    return view


def hold_until(state: InvoiceState) -> int:
    """The last round of the longest hold that came for a request; 0 for none."""
    notices = decode_all(state.notices)
    rounds = [notice.hold.to_round for notice in notices if isinstance(notice, HoldNotice)]
    return max(rounds, default=0)


def taken_units(state: ForeignState) -> int:
    """What a captured hold, or a sealed payment that we took, brings us."""
    return total_units(output.exponent for output in state.own_outputs())


def kept_units(purse: Purse) -> int:
    """Units of ours that a payee may take: in holds and sealed payments that aren't over."""
    rows = {row for row, stored in purse.open_operations().items() if isinstance(stored.state, PromisedState)}
    coins = purse.coins(CoinState.RESERVED).values() if rows else ()
    return sum(coin.units for coin in coins if coin.operation in rows)
