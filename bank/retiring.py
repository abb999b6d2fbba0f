"""
Coin epochs that are over for good: retired once, then swept in small steps.

Retiring an epoch is one number in the books. From its transaction on, the epoch's coins are expired whatever
any clock says, so nothing that follows can be overtaken by an order. Sweeping writes into each coin's own row
whether it was spent, and forgets how; the board's log keeps that. A crash between two steps repeats at most
the last one; a step holds up the orders beside it for some milliseconds.

Source: docs/spec/terms.md, section 5.
"""

import asyncio
import logging
from enum import Enum

from prometheus_client import CollectorRegistry, Gauge

from bank.ledger.terms import Terms
from bank.outbox import BoardClock, cursor_of
from bank.stores.interface import Books, Store
from mixmint.errors import UserError

SWEEP_COINS = 256
"""Spent coins looked at in one transaction: about 5 ms on SQLite."""
BUSY_PAUSE_S = 0.05

_log = logging.getLogger("bank.retiring")


class Step(Enum):
    """What a step found to do."""

    NOTHING = 1
    NOTED = 2
    """Epochs are due: they are retired when the claims before this have had their time."""
    RETIRED = 3
    SWEPT = 4
    """Some spent coins; there are more."""
    DONE = 5
    """All that was retired is swept."""


def retire_step(book: Books, terms: Terms, epoch: int, most: int = SWEEP_COINS) -> Step:
    """
    One small step, inside the book's transaction. ``epoch``: the coin epoch by this machine's clock.

    An epoch is due one whole epoch after its coins expired, by this clock and by the newest round that was
    read on the board: one clock alone, gone wrong, must not end coins for ever.
    """
    found = book.retirement()
    if found.swept < found.retired:
        return Step.DONE if book.sweep(most) else Step.SWEPT
    state = book.state()
    by_board = terms.epoch_at(cursor_of(state).closed_at_s)
    before = min(epoch, by_board) - terms.expiry_epochs
    if found.due > found.retired:
        # What was held by then is held no more: rounds may have stood still for longer than coins live.
        until = found.since + terms.hold_rounds
        if state.newest_closed < until + terms.claim_rounds or before < found.due:
            return Step.NOTHING
        # Claims that were on the board by then are answered first: after a long silence rounds pass at once,
        # and coins that were good when they were claimed would end before anybody has looked.
        claims, oldest = book.count_open_claims()
        if claims and oldest <= until:
            return Step.NOTHING
        book.retire(found.due)
        return Step.RETIRED
    if before <= found.retired:
        return Step.NOTHING
    book.note_due(before, state.newest_closed)
    return Step.NOTED


class Retirer:
    """The task that takes these steps. ``pause_s``: between two looks when there is nothing to do."""

    def __init__(
        self,
        store: Store,
        terms: Terms,
        clock: BoardClock,
        *,
        pause_s: float = 60.0,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._store = store
        self._terms = terms
        self._clock = clock
        self._pause_s = pause_s
        registry = registry or CollectorRegistry()
        self.retired = Gauge(
            "mixmint_bank_retired_epochs", "Coin epochs before this one are over.", registry=registry
        )
        self.sweeping = Gauge(
            "mixmint_bank_sweeping",
            "1: spent coins of retired epochs are being forgotten.",
            registry=registry,
        )

    async def run(self) -> None:
        """
        Until cancelled.

        Raises FatalError when the books contradict themselves.
        """
        while True:
            step = Step.NOTHING
            try:
                step = await self.step()
            except UserError as error:
                # A full disk shows in the requests too; nothing waits for this.
                _log.warning("can't retire coin epochs: %s", error)
            busy = step in {Step.RETIRED, Step.SWEPT}
            self.sweeping.set(busy)
            await asyncio.sleep(BUSY_PAUSE_S if busy else self._pause_s)

    async def step(self) -> Step:
        """One step. Raises UserError (nothing happened), FatalError."""
        epoch = self._clock.epoch()
        step = await self._store.run(lambda book: retire_step(book, self._terms, epoch))
        if step is Step.RETIRED:
            retired = (await self._store.read(lambda view: view.retirement())).retired
            self.retired.set(retired)
            _log.info("coins of epochs before %d are over; sweeping", retired)
        return step
