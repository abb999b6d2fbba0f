"""
Money back: the payer asks for it and shows that he paid; the payee sees whether that is so.

Whoever has seen a request can write by its reply blocks. So a refund is paid, without a word from outside,
only to him who opens orders that the board shows as executed, and signs with their coins' keys.
"""

from pathlib import Path

import msgspec

from bank.board.log.reader import LogReader
from bank.formats.claim import ShownCertificate
from bank.formats.coin import total_units
from bank.formats.entry import decode_entry
from bank.formats.order import input_ids
from mixmint.errors import MalformedMessage, PeerError, UserError
from wallet.arrivals import refunds_of
from wallet.machines.foreign import ForeignState
from wallet.machines.invoice import InvoiceState
from wallet.machines.order import OrderState
from wallet.machines.steps import FINAL, Phase
from wallet.notices.letters import Letters, check_room
from wallet.notices.notice import notice_text
from wallet.notices.refund import MOST_ORDERS, PaidBy, RefundTo
from wallet.notices.sealed import write_notice
from wallet.notices.ways import blocks_used
from wallet.operations import PlanState
from wallet.payee import Payee
from wallet.payment_request import PaymentRequest
from wallet.purse import Purse
from wallet.receipts.executed import executed
from wallet.receipts.making import entries_of


class Refunds:
    """``letters``, ``log``: the post and the board's log; None where there is none."""

    def __init__(self, purse: Purse, payee: Payee, letters: Letters | None, log: LogReader | None) -> None:
        self._purse = purse
        self._payee = payee
        self._letters = letters
        self._log = log

    # The payer's side

    async def ask(self, row: int, plan: PlanState, path: Path | None) -> PaymentRequest:
        """
        Ask the payee of this payment of ours for the money back: a request of our own, sent by a reply block
        of the one that we paid, or written to ``path`` for him. Asked again, the same request is sent again.

        Raises UserError: nothing was paid, or there is no way to him.
        """
        if plan.phase is Phase.REFUSED:
            raise UserError(f"payment {row} was refused, so there is nothing to ask back")
        paid, orders = PaymentRequest.decode(plan.request), self._orders(row, plan)
        if not orders or plan.phase not in FINAL:
            raise UserError(f"payment {row} isn't settled, so there is nothing to ask back yet")
        if len(orders) > MOST_ORDERS:
            raise UserError(f"payment {row} took too many orders to ask for it back; talk to its payee")
        if path is None:
            self._check_way(paid, plan)
        before = self._asked(row)
        if before and path is None and not _is_open(before[-1]):
            raise UserError(
                f"payment {row} was asked back already, by a request that is over, and a reply block works "
                "once; use --out FILE, and give it to the payee"
            )
        if before and _is_open(before[-1]):
            wanted = before[-1].opened()
        else:
            wanted = await self._request(row, paid, orders)
        notice = RefundTo(paid.digest(), wanted, self._opened(orders, paid, wanted))
        if path is not None:
            write_notice(path, notice, paid)
        elif paid.reply is not None and self._letters is not None:
            used = blocks_used(self._purse, plan.request)
            self._letters.queue(paid.reply, notice_text(notice), used=used, last=True)
            await self._letters.carry()
        return wanted

    def _check_way(self, paid: PaymentRequest, plan: PlanState) -> None:
        """Before a request is made. Raises UserError: no reply block is left, or they have expired."""
        if paid.reply is None or self._letters is None:
            raise UserError(
                "the paid request has no way back to its payee; use --out FILE, and give it to him"
            )
        check_room(1, paid.reply, blocks_used(self._purse, plan.request))
        self._letters.check(paid.reply)

    def _orders(self, row: int, plan: PlanState) -> list[OrderState]:
        """The payment's orders that the board shows."""
        ids = {output.coin for output in PaymentRequest.decode(plan.request).outputs}
        states = [stored.state for stored in self._purse.operations().values()]
        return [
            state
            for state in states
            if isinstance(state, OrderState)
            and not isinstance(state, ForeignState)
            and state.parent == row
            and state.phase is Phase.SETTLED
            and not ids.isdisjoint(state.wanted())
        ]

    def _asked(self, row: int) -> list[InvoiceState]:
        """The requests by which this payment was asked back, the oldest first."""
        states = [stored.state for stored in self._purse.operations().values()]
        return [state for state in states if isinstance(state, InvoiceState) and state.refund_of == row]

    async def _request(self, row: int, paid: PaymentRequest, orders: list[OrderState]) -> PaymentRequest:
        ids = {output.coin for output in paid.outputs}
        outputs = [output for state in orders for output in state.order.outputs if output.coin in ids]
        units = total_units(output.exponent for output in outputs)
        number, request = await self._payee.request(units, "", None)
        with self._purse.transaction():
            changed = msgspec.structs.replace(self._payee.invoice(number), refund_of=row)
            self._purse.set_operation(number, changed)
        return request

    def _opened(
        self, orders: list[OrderState], paid: PaymentRequest, wanted: PaymentRequest
    ) -> tuple[PaidBy, ...]:
        made = []
        for state in orders:
            found = [self._purse.coin(coin) for coin in input_ids(state.order)]
            coins = [each[1] for each in found if each is not None]
            by_public = {key.public: key for key in (coin.key() for coin in coins)}
            shown = tuple(ShownCertificate(coin.exponent, coin.epoch, coin.certificate) for coin in coins)
            if len(shown) != len(found) or not all(each.signature for each in shown):
                raise UserError("the certificates of coins that paid are gone; talk to its payee")
            round_ = state.spent_in or state.round
            made.append(
                PaidBy.make(state.opened.salt, state.order, by_public, paid.digest(), wanted, shown, round_)
            )
        return tuple(made)

    # The payee's side

    async def wanted(self, row: int) -> PaymentRequest:
        """
        Where the payer of our request ``row`` wants his money back: the oldest wish of his that isn't paid.
        One whose request is over unpaid is none: he may have asked anew.

        Raises UserError: he hasn't said it. Unavailable.
        """
        operations = self._purse.operations()
        states = [operations[number].state for number in refunds_of(row, operations)]
        paid = {state.request for state in states if isinstance(state, PlanState)}
        wishes, closed = self._payee.wishes(row), self._payee.closed
        proven: list[RefundTo] = []
        for wish in wishes:
            if wish.request.last_round <= closed and wish.request.encode() not in paid:
                continue
            seals = {order.seal for order in wish.orders}
            # One wish for each order: the first.
            known = {order.seal for earlier in proven for order in earlier.orders}
            if seals.isdisjoint(known) and await self._is_shown(wish):
                proven.append(wish)
        for wish in proven:
            if wish.request.encode() not in paid:
                return wish.request
        if proven:
            raise UserError(f"what the payer of request {row} wants back is paid already, or under way")
        if wishes and all(wish.request.last_round <= closed for wish in wishes):
            raise UserError(
                f"the request by which the payer of request {row} wants his money back is over; ask him for "
                "another: mixmint wallet ask-refund PAYMENT --out FILE"
            )
        if wishes:
            raise UserError(
                "somebody asks for a refund of what he didn't pay, as far as the board shows; if the payer "
                "gives you a request of his own, name it with --file"
            )
        raise UserError("its payer hasn't said where; ask him for a payment request: --file FILE")

    async def _is_shown(self, wish: RefundTo) -> bool:
        """Whether the board shows all of its orders as executed. Raises Unavailable."""
        return all([await self._is_executed(order) for order in wish.orders])

    async def _is_executed(self, order: PaidBy) -> bool:
        if self._log is None:
            raise UserError("this wallet reads no log, so it can't see who paid; name a request with --file")
        # A spending in a log proves that a key signed, and no more: the bank may never have seen it.
        bank = self._payee.bank
        if not order.is_money(bank.id, bank.keys.all):
            return False
        # What is the payer's own of it is nothing to us; what came here, our wallet has verified.
        came = {output: self._purse.coin(output.coin) for output in order.order.outputs}
        rounds = {output: found[1].round for output, found in came.items() if found is not None}
        if not rounds or min(rounds.values()) < order.round:
            return False
        coins = [output.coin for output in rounds]
        spans = [(round_, round_) for round_ in sorted({order.round, *rounds.values()})]
        try:
            proofs = await entries_of(self._log, order.seal, order.order.inputs, coins, spans)
            for proof in proofs:
                proof.verify(proof.extra, self._log.log, self._log.policy)
            shown = {proof.index: decode_entry(proof.extra) for proof in proofs}
            executed(shown, order.seal, order.order.inputs, list(rounds))
        except (PeerError, MalformedMessage):
            return False
        return True


def _is_open(state: InvoiceState) -> bool:
    return state.phase is Phase.WORKING
