"""
A payee takes what somebody else's order pays him: captures a hold or releases it, submits a sealed payment.
"""

from mixmint.errors import UserError
from wallet.machines.foreign import ForeignState
from wallet.machines.invoice import InvoiceState
from wallet.machines.steps import FINAL, Phase, Revoke
from wallet.notices.checks import certificates_of, check_sealed
from wallet.notices.notice import (
    HoldNotice,
    SealedNotice,
)
from wallet.notices.sealed import open_notice
from wallet.payee.asking import Asking


class Payee(Asking):
    """The payee's side of a wallet."""

    async def capture(self, row: int, text: str | None) -> int:
        """
        Take the money of a hold: from the notice in ``text``, or the one that came by the reply blocks. The
        row of the order that does it; ask again and it goes on.

        Raises UserError before anything happened, PendingError.
        """
        state = self.invoice(row)
        if not state.opened().is_hold:
            raise UserError(f"request {row} doesn't ask for a hold: its payer pays it outright")
        if text is not None:
            self.keep(row, text)
        before = self._carried_out(row)
        if before is not None:
            return before
        if state.cancelled:
            raise UserError(f"request {row} was released or cancelled; its payer gets his coins back")
        closed = await self._teller.sync()
        if self.invoice(row).phase is Phase.SETTLED:
            raise UserError(f"request {row} is paid already")
        await self.collect(row)
        notice = self._best_hold(row)
        if notice is None:
            raise UserError(
                f"no hold has come for request {row} yet; if its payer gave you a file, name it with --file"
            )
        await self._teller.reach()
        request = state.opened()
        mine = tuple(output.coin for output in request.outputs)
        with self._purse.transaction():
            h, answer, bank = self._h(request), notice.answer, self._books.bank
            order = self._counter.foreign(
                notice.order,
                mine,
                "capture",
                row,
                h,
                answer.encode(),
                closed,
                unheld=not answer.holds(bank.key, bank.id),
            )
        self._teller.at("order-written")
        return order

    def _best_hold(self, row: int) -> HoldNotice | None:
        """
        The hold that lasts longest, of those that weren't refused yet: else a payer could send one that is
        over behind the one that counts.
        """
        refused = {order.opened.seal for order in self._orders(row).values()}
        holds = [notice for notice in self.notices(row) if isinstance(notice, HoldNotice)]
        left = [notice for notice in holds if notice.order.seal not in refused]
        return max(left or holds, key=lambda notice: notice.hold.to_round, default=None)

    async def take(self, text: str) -> int:
        """
        Take a sealed payment: the row of the order that does it. Whoever takes its statement away, or changes
        it, has nothing that the bank would take.

        Raises UserError before anything happened.
        """
        requests = {row: each.state for row, each in self._purse.operations().items()}
        invoices = {row: state for row, state in requests.items() if isinstance(state, InvoiceState)}
        notice = open_notice(text, self._keys(invoices.values()))
        if not isinstance(notice, SealedNotice):
            raise UserError("this is no payment; a hold is captured: mixmint wallet capture REQUEST --file")
        paid = {output.coin for output in notice.order.order.outputs}
        for row, state in invoices.items():
            if state.wanted() <= paid:
                self._check(row, notice)
                self._note(row, notice)
                await self._teller.sync()
                await self._teller.reach()
                return self._submit(row, notice)
        raise UserError("this payment isn't for a request of this wallet")

    def statement(self, row: int) -> str:
        """What came with the sealed payment of a request that was submitted; nothing when there was none."""
        orders = self._orders(row)
        if not orders:
            return ""
        submitted = orders[self._carried_out(row) or max(orders)].opened.seal
        for notice in self.notices(row):
            # Others may have come as well, from anyone: theirs was never said by who paid.
            if isinstance(notice, SealedNotice) and notice.order.seal == submitted:
                return check_sealed(notice, self.invoice(row).opened())
        return ""

    def sealed(self) -> list[int]:
        """Sealed payments that came by reply blocks and wait to be submitted: put on file; their rows."""
        return [
            self._submit(row, notice)
            for row in self._open()
            for notice in self.notices(row)
            if isinstance(notice, SealedNotice) and not self._is_tried(row, notice)
        ]

    def _is_tried(self, row: int, notice: SealedNotice) -> bool:
        """Whether it was submitted once. What somebody else sent and the bank refused is in nobody's way."""
        return any(order.opened.seal == notice.order.seal for order in self._orders(row).values())

    def _submit(self, row: int, notice: SealedNotice) -> int:
        for number, order in self._orders(row).items():
            if order.opened.seal == notice.order.seal and order.phase is not Phase.REFUSED:
                return number
        before = self._carried_out(row)
        if before is not None:
            return before
        state = self.invoice(row)
        mine = tuple(output.coin for output in state.opened().outputs)
        end = state.opened().last_round + state.grace_rounds
        with self._purse.transaction():
            shown = certificates_of(notice, self._books.bank)
            made = self._counter.foreign(notice.order, mine, "relay", row, end=end, certificates=shown)
        self._teller.at("order-written")
        return made

    def _orders(self, row: int) -> dict[int, ForeignState]:
        stored = self._purse.operations().items()
        return {
            number: each.state
            for number, each in stored
            if isinstance(each.state, ForeignState) and each.state.parent == row
        }

    def _carried_out(self, row: int) -> int | None:
        """
        The order that pays a request and is under way or done: there is never a second one. A sealed payment
        that waits for another's hold doesn't count, since it may be a stranger's: the bank executes one.
        """
        for number, state in self._orders(row).items():
            is_waiting = state.is_sealed and state.phase is Phase.HELD
            if state.phase is not Phase.REFUSED and not is_waiting:
                return number
        return None

    def cancel(self, row: int) -> None:
        """
        Ask no longer for it. Its ids stay watched: what comes all the same is ours, and shown.

        Raises UserError: it is over already.
        """
        state = self.invoice(row)
        if state.cancelled:
            return
        if state.phase in FINAL:
            word = "paid" if state.phase is Phase.SETTLED else "over"
            raise UserError(f"request {row} is {word} already")
        if self._carried_out(row) is not None:
            raise UserError(f"the payment of request {row} is under way; it can be paid back when it is done")
        self._books.feed(row, Revoke())
