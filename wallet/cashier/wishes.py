"""
What a member can do: the wallet as a program uses it. Commands, and later a web page, call nothing else.

Each method writes what is wanted to disk, then carries it to its end. It raises UserError before anything has
happened, and PendingError when the outcome isn't known yet; ``resume`` goes on from there.
"""

from collections.abc import Collection
from pathlib import Path

from bank.formats.coin import certificate_holds, exponents_of
from bank.formats.order import MOST_OUTPUTS
from mixmint.errors import UserError
from wallet.bearer import Bearer
from wallet.cashier.work import Work
from wallet.errands.apart import is_ending
from wallet.machines.steps import FINAL
from wallet.marks.mark import Part
from wallet.operations import PlanState, Want
from wallet.outcome import Outcome, new_file, on_file
from wallet.payment_request import PaymentRequest
from wallet.plans import check_enough, covering
from wallet.purse import CoinState
from wallet.receipts.making import make_receipt
from wallet.receipts.receipt import Receipt
from wallet.replacing import Found, replaceable
from wallet.words import meaning


class Cashier(Work):
    """What its member asks a wallet for."""

    async def withdraw(self, amount: int) -> Outcome:
        """Coins from the account: the fewest powers of two."""
        if amount <= 0:
            raise UserError("an amount is a whole number of units, at least 1")
        exponents = exponents_of(amount)
        if len(exponents) > MOST_OUTPUTS:
            raise UserError(f"{amount} units are more than {MOST_OUTPUTS} coins; withdraw it in parts")
        await self._prepare()
        with self.purse.transaction():
            row = self._counter.withdrawal(exponents, self._errands.last_round())
        self.teller.at("order-written")
        await on_file(self.teller.finish([row]))
        return self._outcome(row)

    async def exchange(self, amount: int | None) -> Outcome:
        """Own coins, all or about ``amount``, for fresh ones of the same values."""
        await self._prepare()
        held = self._errands.held()
        if amount is not None:
            check_enough(held, amount)
            held = covering(held, amount)
        if not held:
            raise UserError("there is no free coin to exchange; see `mixmint wallet balance`")
        free = self.purse.coins(CoinState.FREE)
        ids = tuple(free[coin.row].id() for coin in held)
        units = sum(coin.units for coin in held)
        return await self._carry(PlanState(want=Want.EXCHANGE, amount=units, coins=ids))

    async def request(
        self, amount: int, note: str, rounds: int | None = None, *, hold: bool = False, reply: bool = False
    ) -> tuple[int, PaymentRequest]:
        """
        A payment request with fresh ids, on file before it is shown; its row. ``hold``: the coins are only
        kept, until we capture them. ``reply``: with reply blocks, so that its payer can tell us something.
        """
        return await self.payee.request(amount, note, rounds, hold=hold, reply=reply)

    async def look_for(self, row: int) -> Outcome | None:
        """Read the board; what became of a payment request, None while it waits. Raises Unavailable."""
        await self.teller.sync()
        return self._outcome(row) if self.purse.operation(row).phase in FINAL else None

    async def pay(
        self,
        request: PaymentRequest,
        *,
        now: bool,
        note: str = "",
        statement: str = "",
        is_sealed: bool = False,
        path: Path | None = None,
        spread_s: float | None = None,
    ) -> Outcome:
        """
        Pay a request: coin by coin from stock, within ``spread_s`` seconds (by default the wallet's own), or
        at once with change. Where its payee carries the order out (a hold, a sealed payment), it is done when
        he has been told; see ``Payer.plan``.
        """
        place = None if path is None else new_file(path)
        plan = self.payer.plan(
            request,
            now=now,
            note=note,
            statement=statement,
            is_sealed=is_sealed,
            path=place,
            spread_s=self._pay_spread_s if spread_s is None else spread_s,
        )
        return await self._pay(plan, request)

    async def _pay(self, plan: PlanState, request: PaymentRequest) -> Outcome:
        await self._prepare()
        if self._errands.closed >= request.last_round:
            raise UserError(meaning("expired"))
        if plan.is_apart and is_ending(request, self._errands.closed):
            raise UserError(meaning("ending"))
        check_enough(self._errands.held(), request.units)
        if not plan.path and (plan.is_sealed or request.is_hold):
            # A hold of which nobody can be told would only keep the coins.
            self.payee.check_way(request)
        outcome = await self._carry(plan)
        await self.payee.send()
        return outcome

    async def capture(self, row: int, text: str | None = None) -> Outcome:
        """
        Take the money of a hold on our request ``row``; ``text``: the payer's notice, if he gave us a file.
        """
        order = await self.payee.capture(row, text)
        await on_file(self.teller.finish([order]))
        return self._outcome(order)

    async def take(self, text: str) -> Outcome:
        """Take a sealed payment from its text."""
        order = await self.payee.take(text)
        await on_file(self.teller.finish([order]))
        return self._outcome(order)

    async def refund(
        self, row: int, to: PaymentRequest | None, *, now: bool, text: str | None = None
    ) -> Outcome:
        """
        Pay back what came of our request ``row``: to this request, or the one that its payer sent; ``text``:
        his notice, if he gave us a file.
        """
        await self._prepare()
        if text is not None:
            self.payee.keep(row, text)
        await self.payee.collect(row)
        wanted = to or await self.refunds.wanted(row)
        return await self._pay(self.payer.refund(row, wanted, now=now, spread_s=self._pay_spread_s), wanted)

    async def ask_refund(self, row: int, path: Path | None = None) -> PaymentRequest:
        """
        Ask for a payment of ours back: a request of our own, sent by the paid request's reply blocks, or
        written to a file for its payee.
        """
        place = None if path is None else new_file(path)
        await self.teller.sync()
        return await self.refunds.ask(row, self.payer.paid_by_us(row), place)

    async def prove(self, row: int, to: str, show: Collection[Part] = tuple(Part)) -> Receipt:
        """A receipt for a payment of ours, for the reader whom ``to`` names; see ``make_receipt``."""
        if self._log is None:
            raise UserError("this wallet reads no log, so it can prove nothing")
        await self.teller.sync()
        return await make_receipt(self.books, self._log, row, to, show)

    async def cancel(self, row: int) -> Outcome:
        """Cancel a request of ours, or take back a sealed payment of ours."""
        state = self.purse.operations().get(row)
        if state is not None and isinstance(state.state, PlanState):
            plan = self.payer.take_back(row)
            await self._prepare()
            return self._outcome(row) if plan is None else await self._carry(plan)
        await self.teller.sync()
        self.payee.cancel(row)
        return self._outcome(row)

    async def hand_over(self, amount: int, path: Path, *, now: bool) -> Outcome:
        """Write coins of exactly this amount into a bearer file."""
        if amount <= 0:
            raise UserError("an amount is a whole number of units, at least 1")
        place = new_file(path)
        await self._prepare()
        check_enough(self._errands.held(), amount)
        plan = PlanState(want=Want.HAND_OVER, amount=amount, now=now, path=str(place))
        return await self._carry(plan)

    async def receive(self, bearer: Bearer) -> Outcome:
        """
        Exchange handed-over coins for fresh ones. ``Outcome.proofs``: of each coin that had been spent.

        Raises UserError when a certificate isn't this bank's: then it was never money.
        """
        bank = self.books.bank
        if bearer.bank != bank.id:
            raise UserError("these coins are of another bank than this wallet's")
        for coin in bearer.coins:
            signed = (coin.certificate, bank.id, coin.exponent, coin.epoch, coin.id())
            # An earlier key's may stand on the board below a cut: the bank says so when it is exchanged.
            if not any(certificate_holds(key, *signed) for key in bank.keys.all):
                raise UserError("a coin in this file was never certified by the bank; it is worth nothing")
        await self._prepare()
        coins = tuple(coin.encode() for coin in bearer.coins)
        return await self._carry(PlanState(want=Want.RECEIVE, amount=bearer.units, coins=coins))

    async def deposit(self, amount: int) -> Outcome:
        """Coins back to the account; only such as the wallet has exchanged itself."""
        if amount <= 0:
            raise UserError("an amount is a whole number of units, at least 1")
        await self._prepare()
        check_enough(self._errands.held(), amount)
        return await self._carry(PlanState(want=Want.DEPOSIT, amount=amount))

    def replaceable(self) -> Found:
        """What of the expired coins can be replaced to the account."""
        self.books.book_expired()
        return replaceable(self.purse)

    async def replace(self) -> list[Outcome]:
        """
        Expired coins of withdrawals back to the account: a request for every eight coins of a withdrawal, one
        after the other, since each is a link of the account's chain.

        Raises UserError when there is nothing to replace: nothing has happened.
        """
        await self._prepare()
        found = self.replaceable()
        if not found.parts:
            raise UserError("there is nothing to replace; `mixmint wallet coins` shows what is expired")
        over = []
        for part in found.parts:
            with self.purse.transaction():
                row = self._counter.replacement(part, self._errands.last_round())
            self.teller.at("order-written")
            await on_file(self.teller.finish([row]))
            over.append(self._outcome(row))
        return over
