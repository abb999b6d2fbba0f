"""A payment request, paid: exact coins from stock first, or one order with change at once."""

import msgspec

from wallet.errands.desk import Desk, after_last
from wallet.operations import PlanState
from wallet.payment_request import PaymentRequest
from wallet.plans import Exchange, Payment, merge, next_exchanges, pay_at_once, pay_from_stock, total


def pay(desk: Desk, row: int, plan: PlanState) -> list[int]:
    """One step of ``Want.PAY``."""
    request = PaymentRequest.decode(plan.request)
    if plan.last:
        return after_last(desk, row, plan)
    if desk.closed >= request.last_round:
        return desk.end(row, plan, "expired")
    if total(desk.held()) < plan.amount:
        return desk.end(row, plan, "not-enough")
    move = next_move(desk, plan, len(request.outputs))
    if move is None:
        return desk.end(row, plan, "too-many-coins")
    if not isinstance(move, Payment):
        return desk.start(row, move)
    with desk.purse.transaction():
        last_round = min(desk.last_round(), request.last_round)
        last = desk.counter.payment(
            move.inputs, request.outputs, move.change, last_round, row, request.digest()
        )
        desk.purse.set_operation(row, msgspec.structs.replace(plan, last=last))
    desk.teller.at("order-written")
    return [last]


def next_move(desk: Desk, plan: PlanState, paid_outputs: int) -> Payment | list[Exchange] | None:
    """The payment, or what must be exchanged first; None when no order can carry the amount."""
    held = desk.held()
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
