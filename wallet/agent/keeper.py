"""
What one short step of the agent does with an opened wallet.

1. Read the board, and go on with whatever is open, as every command does first.
2. Go on with a churn that the member began.
3. Coins whose time has come are renewed ahead of their expiry.
4. When the next exchange is due: one standard exchange for the stock; if the stock is there, one more
   exchange of a coin that hasn't had enough. Not while the member's own wish is under way.

A step may end anywhere, as a process may: the next one goes on from what is on disk. Only the time of the
next exchange is in memory. Exponential gaps have no memory either, so nothing is lost with it.
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


class Keeper:
    """``now_s``: Unix seconds; ``rng`` draws which exchange, and when."""

    def __init__(self, settings: AgentSettings, now_s: Callable[[], float], rng: Random) -> None:
        self._settings = settings
        self._now_s = now_s
        self._rng = rng
        self._due_s = now_s() + self._gap_s()
        self.begun = 0
        """Exchanges begun since this process did."""

    def _gap_s(self) -> float:
        return self._rng.expovariate(1.0 / self._settings.exchange_gap_s)

    async def step(self, cashier: Cashier) -> None:
        """
        One step. Raises Unavailable (the board can't be reached) and what else the cashier raises; what is
        only pending goes on in the next step.
        """
        hold_s = self._settings.hold_s
        with cashier.teller.hurry(hold_s), suppress(PendingError):
            await cashier.resume()
        row = cashier.churning.open()
        if row:
            await cashier.churning.go_on(row, hold_s)
        rows = self._exchange(cashier)
        with cashier.teller.hurry(hold_s), suppress(PendingError):
            await cashier.teller.finish(rows)

    def _exchange(self, cashier: Cashier) -> list[int]:
        """Put the next exchange on file, if it is time and there is one; its row."""
        if self._now_s() < self._due_s or cashier.undecided():
            return []
        self._due_s = self._now_s() + self._gap_s()
        moves = self.moves(cashier)
        if not moves:
            return []
        move = stock.timed(moves, self._settings.exchange_gap_s, self._rng)[0].exchange
        self.begun += 1
        return [cashier.background_exchange(move)]

    def moves(self, cashier: Cashier) -> list[Exchange]:
        """What is to be exchanged next, in any order: for the stock first, else for the figure."""
        free = cashier.purse.coins(CoinState.FREE)
        held = {row: Held(row, record.exponent, record.is_clean) for row, record in free.items()}
        moves = stock.next_exchanges(tuple(held.values()), _coming(cashier), self._settings.stock)
        if moves:
            return moves
        coins = [
            churn.Coin(row, record.exponent, record.epoch, record.exchanges) for row, record in free.items()
        ]
        aim = churn.Aim(self._settings.churn_to)
        return [renew(held[coin.row]) for coin in churn.due(coins, aim, 0)]


def _coming(cashier: Cashier) -> Counter[int]:
    """Coins that orders and withdrawals under way will bring, by exponent."""
    records = cashier.purse.coins(CoinState.EXPECTED, CoinState.PENDING).values()
    # What a payment request asks for may never come.
    return Counter(record.exponent for record in records if record.purpose != Purpose.INVOICE)
