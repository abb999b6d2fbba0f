"""
What goes on by itself in an opened wallet: whatever is unfinished, coins that grow old, coins for the stock.
"""

from collections.abc import Callable, Collection
from random import Random

from bank.board.log.reader import LogReader
from bank.formats.answer import Spent
from bank.ledger.terms import Terms
from mixmint.errors import UserError
from wallet.books import Books
from wallet.counter import Counter
from wallet.errands import Errands
from wallet.errands.churning import Churning
from wallet.errands.desk import Desk
from wallet.machines.account import AccountState
from wallet.machines.order import OrderState
from wallet.machines.promised import PromisedState
from wallet.machines.steps import FINAL, RESTING
from wallet.notices.letters import Letters
from wallet.operations import STOCK, PlanState, Stored, is_wish
from wallet.outcome import Outcome, Unfinished, is_errand, on_file, proofs_of
from wallet.payee import Payee
from wallet.payer import Payer
from wallet.plans import Exchange, Held, renew
from wallet.purse import CoinState
from wallet.refunds import Refunds
from wallet.renewal import Renewals, renewals
from wallet.settings import WalletSettings
from wallet.teller import Teller


class Work:
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

    async def renew(self, rows: Collection[int], *, spread_s: float = 0.0) -> None:
        """
        Exchange these free coins, v -> v, an order each, ahead of their expiry; over ``spread_s`` seconds.

        Raises PendingError when an outcome stays unknown: the orders are on file.
        """
        free = self.purse.coins(CoinState.FREE)
        moves = [renew(Held.of(row, free[row])) for row in rows if row in free]
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
