"""
What a member can do: the wallet as a program uses it. Commands, and later a web page, call nothing else.

Each method writes what is wanted to disk, then carries it to its end. It raises UserError before anything has
happened, and PendingError when the outcome isn't known yet; ``resume`` goes on from there.
"""

from collections.abc import Callable, Collection
from pathlib import Path
from random import Random

from bank.board.log.reader import LogReader
from bank.formats.answer import Spent
from bank.formats.coin import certificate_holds, exponents_of
from bank.formats.order import MOST_OUTPUTS
from bank.ledger.terms import Terms
from mixmint.errors import UserError
from wallet.bearer import Bearer
from wallet.books import Books
from wallet.counter import Counter
from wallet.errands import Errands
from wallet.errands.churning import Churning
from wallet.errands.desk import Desk
from wallet.machines.account import AccountState
from wallet.machines.order import OrderState
from wallet.machines.promised import PromisedState
from wallet.machines.steps import FINAL, RESTING
from wallet.marks.mark import Part
from wallet.notices.letters import Letters
from wallet.operations import STOCK, PlanState, Stored, Want, is_wish
from wallet.outcome import Outcome, Unfinished, is_errand, new_file, on_file, proofs_of
from wallet.payee import Payee
from wallet.payer import Payer
from wallet.payment_request import PaymentRequest
from wallet.plans import Exchange, Held, check_enough, covering, renew
from wallet.purse import CoinState
from wallet.receipts.making import make_receipt
from wallet.receipts.receipt import Receipt
from wallet.refunds import Refunds
from wallet.renewal import Renewals, renewals
from wallet.replacing import Found, replaceable
from wallet.settings import WalletSettings
from wallet.teller import Teller
from wallet.words import meaning


class Cashier:
    """
    The wallet over an open purse. ``rng`` draws the times of standard exchanges, and of a payment's coins;
    ``pay_spread_s``: over how long these are spread; ``letters``: what goes by requests' reply blocks;
    ``log``: the board's log, for proofs.
    """

    def __init__(
        self,
        teller: Teller,
        settings: WalletSettings,
        *,
        stock_wait_s: float,
        now_s: Callable[[], float],
        rng: Random,
        pay_spread_s: float = 0.0,
        letters: Letters | None = None,
        log: LogReader | None = None,
    ) -> None:
        self._log = log
        self.teller = teller
        self.books: Books = teller.books
        self.purse = teller.purse
        self._settings = settings
        self._now_s = now_s
        self._rng = rng
        self.stock_wait_s = stock_wait_s
        self._pay_spread_s = pay_spread_s
        self._counter = Counter(self.books, now_s)
        self._errands = Errands(teller, self._counter, settings, stock_wait_s, now_s, rng, letters)
        self.payer = Payer(self.books)
        self.payee = Payee(teller, self._counter, settings, letters, now_s)
        self.refunds = Refunds(self.purse, self.payee, letters, log)
        self.churning = Churning(Desk(teller, self._counter, settings), now_s, rng)

    async def resume(self) -> list[Outcome]:
        """
        Go on with everything that is open, and read the board; what is over now, among it paid requests.

        Raises Unavailable when the board can't be reached, PendingError when something stays open.
        """
        before = self.purse.open_operations()
        if before or self.purse.has_coin(
            CoinState.EXPECTED, CoinState.HANDED, CoinState.FREE, CoinState.VOID
        ):
            await self.teller.sync()
        self.books.book_expired()
        self._reclaim()
        await self.teller.post_claims()
        await self.payee.collect()
        self.payee.sealed()
        self._errands.start_due()
        pending: list[UserError] = []
        machines = [
            row
            for row, stored in self.purse.open_operations().items()
            if isinstance(stored.state, OrderState | AccountState) and stored.state.phase not in RESTING
        ]
        try:
            await self.teller.finish(machines)
        except UserError as error:
            pending.append(error)
        self._take_back()
        for row, stored in self.purse.open_operations().items():
            # What its orders still wait for has been waited for just now; a churn waits for its own times.
            waits = (pending and self._errands.unfinished(row)) or self.teller.claims.rests(row)
            if is_errand(stored.state) and not waits:
                try:
                    await self._errands.carry_on(row)
                except UserError as error:
                    # One that can't go on (a file is in its way) holds up no other.
                    pending.append(error)
        await self.payee.send()
        over = [self._outcome(row) for row in self._ended(before)]
        if pending:
            raise Unfinished(str(pending[0]), over)
        return over

    def _ended(self, before: dict[int, Stored]) -> list[int]:
        """What was asked for and is over now; also payments that their payee has carried out, or let go."""
        ended = {
            row: stored.state for row, stored in before.items() if self.purse.operation(row).phase in FINAL
        }
        rows = {row for row, state in ended.items() if is_wish(state)}
        return sorted(rows | {state.parent for state in ended.values() if isinstance(state, PromisedState)})

    def _reclaim(self) -> None:
        """Coins that the bank denies although it certified them: each is asked for on the board, once."""
        if not self._settings.claims:
            return
        terms = self.books.terms()
        for row, record in self.purse.coins(CoinState.DISPUTED).items():
            lived = 0 if terms is None else int(self._now_s()) // terms.epoch_s - record.epoch
            is_over = terms is not None and lived >= terms.life_epochs + terms.grace_epochs
            if not (record.reclaimed or is_over):
                with self.purse.transaction():
                    self._counter.reclaim(row, self._errands.last_round())

    async def claim(self, row: int) -> Outcome:
        """
        Put what the bank left unanswered on the board now, whatever the settings say; ``row``: an operation,
        or a plan whose orders wait.

        Raises UserError: there is nothing to claim. PendingError: the claim is on file, not answered yet.
        """
        await self.teller.sync()
        stored = self.purse.open_operations().get(row)
        rows = [row] if stored is None or isinstance(stored.state, OrderState | AccountState) else []
        made = [each for each in rows or self._errands.unfinished(row) if self.teller.make_claim(each)]
        if not made:
            raise UserError(
                f"operation {row} waits for no answer of the bank's that could be claimed; "
                "see `mixmint wallet history`"
            )
        await on_file(self.teller.post_claims())
        await on_file(self.teller.finish(made))
        return self._outcome(row)

    def _take_back(self) -> None:
        """Plans for the coins of what lapsed meanwhile."""
        for row in self._errands.lapsed():
            plan = self.payer.taking_back(row)
            if plan is not None:
                with self.purse.transaction():
                    self.purse.add_operation(plan, self._now_s())

    def undecided(self) -> bool:
        """
        Whether an open operation's outcome isn't known. A request, a churn or a payment that waits isn't
        that, nor is an order that its payee may carry out.
        """
        states = {row: stored.state for row, stored in self.purse.open_operations().items()}
        return any(
            (isinstance(state, OrderState | AccountState) and state.phase not in RESTING)
            or (is_errand(state) and not self._errands.only_waits(row))
            for row, state in states.items()
        )

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

    async def renew(self, rows: Collection[int], *, spread_s: float = 0.0) -> None:
        """
        Exchange these free coins, v -> v, an order each, ahead of their expiry; over ``spread_s`` seconds.

        Raises PendingError when an outcome stays unknown: the orders are on file.
        """
        free = self.purse.coins(CoinState.FREE)
        moves = [renew(Held(row, free[row].exponent, free[row].is_clean)) for row in rows if row in free]
        orders = [self.background_exchange(move) for move in moves]
        await on_file(self.teller.finish(orders, [self._rng.uniform(0, spread_s) for _ in orders]))

    def renewals(self) -> Renewals:
        """Which coins are to be renewed now (wallet/renewal.py); none while the terms aren't known."""
        terms = self.books.terms()
        if terms is None:
            return Renewals()
        free = self.purse.coins(CoinState.FREE)
        return renewals(free, Terms.of(terms), self._now_s(), self._rng)

    def background_exchange(self, move: Exchange) -> int:
        """Put an exchange on file that nobody asked for singly; its row."""
        with self.purse.transaction():
            row = self._counter.exchange(move, self._errands.last_round(), 0, STOCK)
        self.teller.at("order-written")
        return row

    async def _prepare(self) -> None:
        """Before anything new: both sides are there. Raises Unavailable: nothing has happened."""
        await self.teller.sync()
        await self.teller.reach()

    async def _carry(self, plan: PlanState) -> Outcome:
        with self.purse.transaction():
            row = self.purse.add_operation(plan, self._now_s())
        self.teller.at("plan-written")
        await on_file(self._errands.carry_on(row, self.teller.patience_s))
        return self._outcome(row)

    def _outcome(self, row: int) -> Outcome:
        return Outcome(row, self.purse.operation(row), self.proofs(row))

    def proofs(self, row: int) -> tuple[Spent, ...]:
        """Proofs that coins of this operation had been spent by an earlier order, ours or a stranger's."""
        return proofs_of(self.purse, row)
