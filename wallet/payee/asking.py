"""
A payee asks and looks: requests, what came of them, and what their payers sent back.

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
from wallet.answers import Bank
from wallet.arrivals import Arrivals, arrivals
from wallet.counter import Counter
from wallet.derivation import Purpose
from wallet.machines.invoice import InvoiceState
from wallet.machines.steps import FINAL
from wallet.notices.checks import check_hold, check_refund, check_sealed, h_of
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


class Asking:
    """Requests of ours. ``letters``: what comes by reply blocks; None where there is no post."""

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

    @property
    def bank(self) -> Bank:
        """The bank, with the changes of its key that the board has shown."""
        return self._books.bank

    @property
    def closed(self) -> int:
        """The newest round of the board, as far as it was read."""
        return self._books.closed

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

    def _keys(self, states: Iterable[InvoiceState]) -> list[BoxKey]:
        if self._letters is None:
            return []
        keys = []
        for state in states:
            # Of a restored wallet's earlier requests the post knows nothing.
            with suppress(UserError):
                keys += [self._letters.key(state.replies)] if state.replies else []
        return keys
