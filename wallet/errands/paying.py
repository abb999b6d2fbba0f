"""
A payment request, paid: coin by coin from stock (errands/apart.py), or by one order at once, with change.

Where the request asks for a hold, or the member seals the payment, the order isn't the end: its payee carries
it out, so he is told of it. He carries it out whole or not at all, so it is one order, of exact coins if it
can be.
"""

from pathlib import Path

import msgspec

from bank.formats.answer import Answer
from bank.formats.claim import ShownCertificate
from bank.formats.order import input_ids
from mixmint.errors import FatalError, UserError
from wallet.errands.apart import choose
from wallet.errands.desk import MOST_TRIES, Desk, after_last, kept_by
from wallet.machines.promised import PromisedState
from wallet.machines.steps import FINAL, Phase, Returned
from wallet.marks.mark import Mark, Part
from wallet.notices.notice import HoldNotice, Notice, SealedNotice
from wallet.notices.sealed import write_notice
from wallet.notices.ways import blocks_used, text_for
from wallet.operations import PlanState
from wallet.payment_request import PaymentRequest
from wallet.plans import (
    Exchange,
    Held,
    Payment,
    merge,
    next_exchanges,
    pay_at_once,
    pay_from_stock,
    total,
)
from wallet.purse import CoinRecord, CoinState, Purse


def pay(desk: Desk, row: int, plan: PlanState) -> list[int]:
    """One step of ``Want.PAY``."""
    request = PaymentRequest.decode(plan.request)
    if plan.is_apart:
        return choose(desk, row, plan, request)
    kept = kept_by(desk, plan.last)
    if kept is not None:
        return _tell(desk, row, plan, request, kept)
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
        last = _order(desk, row, plan, request, move)
        desk.purse.set_operation(row, msgspec.structs.replace(plan, last=last))
    desk.teller.at("order-written")
    return [] if plan.is_sealed else [last]


def _order(desk: Desk, row: int, plan: PlanState, request: PaymentRequest, move: Payment) -> int:
    """The order that pays, on file; its row."""
    last_round = min(desk.last_round(), request.last_round)
    mark = Mark.make(request.digest(), plan.note, plan.statement)
    how = (move.inputs, request.outputs, move.change, last_round, row, mark)
    if plan.is_sealed:
        return desk.counter.payment(*how, purpose="sealed")
    if request.is_hold:
        return desk.counter.payment(*how, purpose="hold", tau=request.tau)
    return desk.counter.payment(*how)


def _tell(desk: Desk, row: int, plan: PlanState, request: PaymentRequest, kept: PromisedState) -> list[int]:
    """Send the payee what he needs to carry it out, or write it into a file; that is all we can do."""
    if not (kept.is_sealed or kept.hold):
        # The bank never said that it keeps them: there is nothing to tell, and the coins come back.
        return desk.end(row, plan, "untold")
    notice = notice_of(desk.purse, kept)
    try:
        if plan.path:
            write_notice(Path(plan.path), notice, request)
        elif desk.letters is None or request.reply is None:
            raise UserError("this request has no way back to its payee; name a file for him with --out FILE")
        else:
            used = blocks_used(desk.purse, plan.request)
            text = text_for(notice, len(request.reply.blocks) - used)
            told = desk.letters.queue(request.reply, text, used=used)
            plan = msgspec.structs.replace(plan, blocks=told)
    except UserError:
        if kept.phase is not Phase.LAPSED:
            raise
        # It is too late to tell him, and the coins come back.
        return desk.end(row, plan, "untold")
    desk.teller.at("payee-told")
    return desk.settle(row, plan, plan.amount)


def notice_of(purse: Purse, kept: PromisedState) -> Notice:
    """
    What the payee is told; of a sealed payment, the request and the statement are opened to him, and the
    coins' certificates shown, so that he can have the bank answer in public.
    """
    if kept.is_sealed:
        mark = Mark.decode(kept.mark)
        found = [purse.coin(coin) for coin in input_ids(kept.order)]
        records = [each[1] for each in found if each is not None and each[1].certificate]
        shown = [ShownCertificate(each.exponent, each.epoch, each.certificate) for each in records]
        whole = len(shown) == len(kept.order.inputs)
        return SealedNotice(
            kept.opened, mark.open((Part.REQUEST, Part.STATEMENT)), tuple(shown) if whole else ()
        )
    return HoldNotice(kept.opened, Answer.decode(kept.hold))


def take_back(desk: Desk, row: int, plan: PlanState) -> list[int]:
    """
    One step of ``Want.TAKE_BACK``: v -> v for each coin of an order that lapsed. Where the bank says that the
    order itself spent it, the payee was first.
    """
    lapsed = desk.purse.operation(plan.last)
    if not isinstance(lapsed, PromisedState):
        raise FatalError("a plan to take coins back names no order that lapsed")
    if lapsed.phase is Phase.EXPIRED:
        return desk.settle(row, plan, plan.amount)
    if lapsed.phase in FINAL:
        return desk.end(row, plan, "captured" if lapsed.phase is Phase.SETTLED else lapsed.reason)
    missing: list[tuple[Held, CoinRecord]] = []
    units = 0
    for coin in input_ids(lapsed.order):
        found = desk.purse.coin(coin)
        if found is None:
            continue
        number, record = found
        if record.state is CoinState.SPENT and record.operation == plan.last:
            # The bank's own proof; the board will show the rest of it.
            return desk.end(row, plan, "captured")
        is_kept = record.state is CoinState.RESERVED and record.operation == plan.last
        if is_kept or (record.state is CoinState.FREE and plan.tries + 1 < MOST_TRIES):
            missing.append((Held.of(number, record), record))
        elif record.state is CoinState.SPENT:
            units += record.units
    if missing:
        with desk.purse.transaction():
            rows = [desk.counter.take_back(*each, desk.last_round(), row) for each in missing]
            desk.purse.set_operation(row, msgspec.structs.replace(plan, tries=plan.tries + 1))
        desk.teller.at("order-written")
        return rows
    desk.books.feed(plan.last, Returned())
    return desk.settle(row, plan, units)


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
