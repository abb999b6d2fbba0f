"""
What one short step of the agent does with an opened wallet.

1. Read the board, and go on with whatever is open, as every command does first.
2. Go on with a churn that the member began.
3. Coins in their grace are exchanged, whatever else is under way. While nothing is: coins whose time has come
   are renewed ahead of their expiry; if there are none, one exchange at most, for the stock when the next one
   for it is due, or of a coin that has rested long enough.

A step may end anywhere, as a process may: the next one goes on from what is on disk. Only the times of the
next exchanges are in memory. Exponential gaps have no memory either, so nothing is lost with them.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random

from mixmint.errors import PendingError
from wallet.agent.settings import AgentSettings
from wallet.anonymity import churn, stock
from wallet.cashier import Cashier
from wallet.derivation import Purpose
from wallet.plans import Exchange, Held, renew
from wallet.purse import CoinState

_LOOK_AGAIN_S = 3600.0
"""For coins to renew: the bank's terms may have changed."""


class Keeper:
    """``now_s``: Unix seconds; ``rng`` draws which exchange, and when."""

    def __init__(self, settings: AgentSettings, now_s: Callable[[], float], rng: Random) -> None:
        self._settings = settings
        self._now_s = now_s
        self._rng = rng
        self._due_s = now_s() + self._gap_s()
        self._looked_s = now_s()
        self._renew_s = 0.0
        self.begun = 0
        """Exchanges begun since this process did."""
        self.got_on = False
        """Whether the newest step came through what is open, or at least farther on the board."""

    def _gap_s(self) -> float:
        return self._rng.expovariate(1.0 / self._settings.exchange_gap_s)

    async def step(self, cashier: Cashier) -> None:
        """
        One step. Raises Unavailable (the board can't be reached) and what else the cashier raises; what is
        only pending goes on in the next step.
        """
        hold_s = self._settings.hold_s
        # Half of the time at most: what isn't answered mustn't have the rest of the step cut off for ever.
        before = cashier.books.closed
        try:
            with cashier.teller.hurry(hold_s / 2), suppress(PendingError):
                await cashier.resume()
            self.got_on = True
        finally:
            # A wallet that was away for days reads for many steps, and is well.
            self.got_on = self.got_on or cashier.books.closed > before
        row = cashier.churning.open()
        if row:
            await cashier.churning.go_on(row, hold_s)
        rows = self._exchange(cashier)
        with cashier.teller.hurry(hold_s), suppress(PendingError):
            await cashier.teller.finish(rows)

    def _exchange(self, cashier: Cashier) -> list[int]:
        """Put the next exchanges on file, if it is time and there are any; their rows."""
        passed_s = min(max(0.0, self._now_s() - self._looked_s), self._settings.exchange_gap_s)
        # A machine that slept doesn't make up for it: coins of one member that all move at once are his.
        self._looked_s = self._now_s()
        undecided = cashier.undecided()
        moves = self._ahead_of_expiry(cashier, only_grace=undecided)
        if not moves and not undecided:
            move = self._for_the_stock(cashier) or self._of_a_rested_coin(cashier, passed_s)
            moves = [] if move is None else [move]
        self.begun += len(moves)
        return [cashier.background_exchange(move) for move in moves]

    def _ahead_of_expiry(self, cashier: Cashier, *, only_grace: bool) -> list[Exchange]:
        """
        An order each; of coins in their life at most two at once, or they would show as one member's.
        ``only_grace``: those in their grace alone, which end while something else stays open for ever.
        """
        now_s = self._now_s()
        if now_s < self._renew_s:
            return []
        found = cashier.renewals()
        if only_grace:
            return [renew(_held(cashier)[row]) for row in found.first]
        self._renew_s = min(found.next_s or now_s, now_s + _LOOK_AGAIN_S)
        held = _held(cashier)
        return [renew(held[row]) for row in (*found.first, *found.now)]

    def _for_the_stock(self, cashier: Cashier) -> Exchange | None:
        if self._now_s() < self._due_s:
            return None
        self._due_s = self._now_s() + self._gap_s()
        held = _held(cashier)
        moves = stock.next_exchanges(tuple(held.values()), _coming(cashier), self._settings.stock)
        if not moves:
            free = cashier.purse.coins(CoinState.FREE).items()
            coins = [churn.Coin(row, each.exponent, each.epoch, each.exchanges) for row, each in free]
            due = churn.due(coins, churn.Aim(self._settings.churn_to), 0)
            moves = [renew(held[coin.row]) for coin in due]
        return stock.timed(moves, self._settings.exchange_gap_s, self._rng)[0].exchange if moves else None

    def _of_a_rested_coin(self, cashier: Cashier, passed_s: float) -> Exchange | None:
        held = list(_held(cashier).values())
        if not churn.is_over_rest(len(held), passed_s, self._settings.rest_s, self._rng):
            return None
        return renew(self._rng.choice(held))


def _held(cashier: Cashier) -> dict[int, Held]:
    free = cashier.purse.coins(CoinState.FREE).items()
    return {row: Held.of(row, record) for row, record in free}


def _coming(cashier: Cashier) -> Counter[int]:
    """Coins that orders and withdrawals under way will bring, by exponent."""
    records = cashier.purse.coins(CoinState.EXPECTED, CoinState.PENDING).values()
    # What a payment request asks for may never come.
    return Counter(record.exponent for record in records if record.purpose != Purpose.INVOICE)
