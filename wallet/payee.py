"""
What a member does as a payee: ask, look, capture or release a hold, take a sealed payment, cancel.

Everything waits on disk and on the board: a payee may be away for days. Only what comes by a request's reply
blocks needs his post, and a file does instead.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

import msgspec

from bank.formats.order import tau_of
from mixmint.errors import FatalError, UserError
from mixmint.keys import BoxKey
from wallet.arrivals import Arrivals, arrivals
from wallet.counter import Counter
from wallet.derivation import Purpose
from wallet.machines.foreign import ForeignState
from wallet.machines.invoice import InvoiceState
from wallet.machines.steps import FINAL, Phase, Revoke
from wallet.notices.checks import certificates_of, check_hold, check_refund, check_sealed, h_of
from wallet.notices.letters import Letters, check_room
from wallet.notices.notice import (
    HoldNotice,
    Notice,
    SealedNotice,
    decode_all,
    parse_notice,
)
from wallet.notices.refund import RefundTo
from wallet.notices.sealed import open_notice
from wallet.notices.ways import blocks_used
from wallet.payment_request import MOST_BLOCKS, PaymentRequest, check_note
from wallet.plans import request_exponents
from wallet.settings import WalletSettings
from wallet.teller import Teller


class Payee:
    """The payee's side of a wallet. ``letters``: what comes by reply blocks; None where there is no post."""

    def __init__(
        self,
        teller: Teller,
        counter: Counter,
        settings: WalletSettings,
        letters: Letters | None,
        now_s: Callable[[], float],
    ) -> None:
        self._teller = teller
        self._books = teller.books
        self._purse = teller.purse
        self._counter = counter
        self._settings = settings
        self._letters = letters
        self._now_s = now_s

    async def request(
        self, amount: int, note: str, rounds: int | None, *, hold: bool = False, reply: bool = False
    ) -> tuple[int, PaymentRequest]:
        """A payment request with fresh ids, on file before it is shown; its row."""
        exponents = request_exponents(amount)
        check_note(note)
        closed = await self._teller.sync()
        number, way = 0, None
        if reply:
            if self._letters is None:
                raise UserError("this wallet has no post, so nothing can come back to it")
            # What comes to a mailbox that isn't open is lost.
            await self._teller.reach()
            number, way = self._letters.expect(f"payment request over {amount} units", MOST_BLOCKS)
        with self._purse.transaction():
            row = self._purse.next_operation()
            outputs = self._purse.expect(Purpose.INVOICE, exponents, row, recognisable=True)
            last_round = closed + (rounds or self._settings.request_rounds)
            request = PaymentRequest(self._books.bank.id, last_round, outputs, note, reply=way)
            if hold:
                request = replace(request, tau=tau_of(self._h(request)))
            state = InvoiceState(
                request=request.encode(), grace_rounds=self._settings.grace_rounds, replies=number
            )
            self._purse.add_operation(state, self._now_s())
        return row, request

    def _h(self, request: PaymentRequest) -> bytes:
        found = self._purse.coin(request.outputs[0].coin)
        if found is None:
            raise FatalError("a payment request's own coin isn't in the purse")
        return h_of(found[1].secret)

    def invoice(self, row: int) -> InvoiceState:
        """Raises UserError when ``row`` is no payment request of ours."""
        stored = self._purse.operations().get(row)
        if stored is None or not isinstance(stored.state, InvoiceState):
            raise UserError(f"operation {row} is no payment request of yours; see `mixmint wallet history`")
        return stored.state

    def arrivals(self, row: int) -> Arrivals:
        """What came of a request so far."""
        return arrivals(self.invoice(row), self._purse.coin)

    # What comes back

    async def collect(self, row: int = 0) -> None:
        """
        Fetch what came by reply blocks, if an open request of ours (or the one in ``row``) has any, and keep
        what is about a request with it. For the one in ``row`` it waits a while, if nothing came yet. Without
        the network, later.
        """
        states = {number: stored.state for number, stored in self._purse.operations().items()}
        waiting = {
            number: state
            for number, state in states.items()
            if isinstance(state, InvoiceState) and state.replies
        }
        is_asked = row in waiting or any(state.phase not in FINAL for state in waiting.values())
        if self._letters is None or not is_asked:
            return
        expected = waiting[row].replies if row in waiting and not waiting[row].notices else 0
        with suppress(UserError):
            await self._letters.carry(expected)
        arrived = self._letters.arrived()
        for number, state in waiting.items():
            for text in arrived.get(state.replies, ()):
                self._sort(number, text)
        # What wasn't on disk yet comes again after a crash.
        self._letters.keep()

    def _sort(self, row: int, text: str) -> None:
        """Keep what came by a request's blocks, if it is about it: whoever has the request can write."""
        try:
            notice = parse_notice(text)
            self._check(row, notice)
        except UserError:
            return
        self._note(row, notice)

    def check_way(self, request: PaymentRequest) -> None:
        """Whether a stranger's request leads back to him now. Raises UserError."""
        if self._letters is not None and request.reply is not None:
            check_room(1, request.reply, blocks_used(self._purse, request.encode()))
            self._letters.check(request.reply)

    async def send(self) -> None:
        """Send what is queued for payees of ours. Without the network, later."""
        if self._letters is not None and self._letters.is_loaded:
            with suppress(UserError):
                await self._letters.carry()

    def _open(self) -> dict[int, InvoiceState]:
        stored = self._purse.open_operations().items()
        return {row: each.state for row, each in stored if isinstance(each.state, InvoiceState)}

    def _check(self, row: int, notice: Notice) -> None:
        """Raises UserError when a notice isn't about this request."""
        request = self.invoice(row).opened()
        if isinstance(notice, HoldNotice):
            check_hold(notice, request, self._h(request), self._books.bank)
        elif isinstance(notice, SealedNotice):
            check_sealed(notice, request)
        else:
            check_refund(notice, request)

    def _note(self, row: int, notice: Notice) -> None:
        """Keep a notice, which was checked, with the request that it is about."""
        state, encoded = self.invoice(row), notice.encode()
        if encoded in state.notices:
            return
        with self._purse.transaction():
            changed = msgspec.structs.replace(state, notices=(*state.notices, encoded))
            self._purse.set_operation(row, changed)
        self._teller.at("notice-kept")

    def keep(self, row: int, text: str) -> None:
        """Keep a notice that came as a file. Raises UserError: it isn't about this request."""
        notice = open_notice(text, self._keys([self.invoice(row)]))
        self._check(row, notice)
        self._note(row, notice)

    def notices(self, row: int) -> list[Notice]:
        """What came for a request, the oldest first."""
        return decode_all(self.invoice(row).notices)

    def wishes(self, row: int) -> list[RefundTo]:
        """What asks for a refund of a request and is signed by who shows its orders, the oldest first."""
        return [notice for notice in self.notices(row) if isinstance(notice, RefundTo)]

    # Holds and sealed payments

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

    def _keys(self, states: Iterable[InvoiceState]) -> list[BoxKey]:
        if self._letters is None:
            return []
        keys = []
        for state in states:
            # Of a restored wallet's earlier requests the post knows nothing.
            with suppress(UserError):
                keys += [self._letters.key(state.replies)] if state.replies else []
        return keys

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
