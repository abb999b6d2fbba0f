"""
Feeding the board: one task that posts the outbox's groups, keeps the clock right, and has statements made.

Before anything is numbered, and after any feed that failed, an empty feed asks where the board is. So the
bank numbers nothing before it has compared its books with the board, and never goes on by an old number.
"""

import asyncio
import logging
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

from bank.announcing import publish_terms
from bank.board.feed import UNKNOWN, Batch, FeedReceipt
from bank.confirmer import Confirmer
from bank.ledger import Signer
from bank.outbox import (
    BoardClock,
    begin_after_log,
    cursor_of,
    next_batch,
    publish_pending,
    record,
)
from bank.statements import Statements
from bank.stores.interface import Books, State, Store, View
from mixmint.errors import FatalError, PeerError, Unavailable, UserError

MOST_AHEAD = 1024
"""Rounds that a receipt may name beyond those that the bank has read on the board: its reader is seldom a
hundred behind, and this is what a false clock can cost."""

_log = logging.getLogger("bank.feeder")


class Board(Protocol):
    """The board, as the feeder sees it; in production ``bank.board.feed.FeedClient``."""

    async def feed(self, batch: Batch) -> FeedReceipt:
        """Raises Unavailable, PeerError."""


class Feeder:
    """One task that keeps the board fed and the clock right."""

    def __init__(
        self,
        store: Store,
        board: Board,
        key_entry: bytes,
        clock: BoardClock,
        *,
        pause_s: float,
        statements: Statements | None = None,
        signer: Signer | None = None,
        confirmer: Confirmer | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._store = store
        self._board = board
        self._key_entry = key_entry
        self._clock = clock
        self._pause_s = pause_s
        self._statements = statements
        self._signer = signer
        self._confirmer = confirmer
        self._wanted: int | None = None
        """The group that the board waits for; None while only an empty feed may ask for it."""
        self._reading_log = False
        self.trouble = ""
        """Why our own store can't be fed from; empty when it is well, whatever the board is."""
        registry = registry or CollectorRegistry()
        self.fed = Counter("mixmint_bank_fed_groups", "Groups that the board took.", registry=registry)
        self.failures = Counter(
            "mixmint_bank_feed_failures", "Feeds that failed, by reason.", ["reason"], registry=registry
        )
        self.waiting = Gauge(
            "mixmint_bank_outbox_groups", "Groups that the board hasn't taken yet.", registry=registry
        )

    async def run(self) -> None:
        """
        Feed until cancelled; at least one feed every ``pause_s`` seconds, for the clock.

        Raises FatalError when store and board contradict each other.
        """
        silent = False
        while True:
            try:
                await self.step()
                if silent:
                    _log.info("the board takes groups again")
                silent, self.trouble = False, ""
            except (Unavailable, PeerError, UserError) as error:
                is_ours = isinstance(error, UserError) and not isinstance(error, Unavailable)
                self.trouble = str(error) if is_ours else ""
                self.failures.labels(error.reason if isinstance(error, PeerError) else "unavailable").inc()
                if not silent:
                    _log.warning("%s; groups wait in the outbox", error)
                silent = True
            await asyncio.sleep(self._pause_s)

    async def step(self) -> None:
        """One feed: at first, and after one that failed, an empty one, which only asks where the board is."""
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            await self._store.run(self._publish_pending)
        own, batch = await self._store.run(lambda book: _read(book, wanted))
        read = cursor_of(own).round
        receipt = await self._board.feed(batch)
        self._check_clock(receipt, read)
        if receipt.next_group != UNKNOWN:
            _check(own, receipt)
        await self._store.run(lambda book: record(book, batch, receipt))
        if receipt.next_group == UNKNOWN:
            found = await self._ask_the_log(receipt)
            # The board takes the number only from a feed that follows an empty one with the same.
            if found is None or found != batch.first or batch.groups:
                return
            self._wanted = found
        else:
            self.fed.inc(max(0, receipt.next_group - max(wanted or 0, own.confirmed)))
            self.waiting.set(own.next_group - receipt.next_group)
            self._wanted = receipt.next_group
        self._clock.heard(receipt.newest_closed)

    def _check_clock(self, receipt: FeedReceipt, read: int) -> None:
        """
        Whether the log can bear out the board's clock. ``read``: the newest round that the bank has read.

        A round far ahead would lapse holds and orders at once, and stay in the books when the true ones come.
        Once the bank has a complaint it reads no further; then the board has convicted itself already.
        Raises PeerError("clock").
        """
        if self._confirmer is None or self._confirmer.complaint is not None:
            return
        if receipt.newest_closed > read + MOST_AHEAD:
            raise PeerError(
                "clock",
                f"the board says that round {receipt.newest_closed} is closed, and its log was read up to "
                f"{read}; nothing is answered until that is read",
            )

    async def _ask_the_log(self, receipt: FeedReceipt) -> int | None:
        found = await self._store.run(lambda book: begin_after_log(book, receipt.newest_closed))
        complaint = self._confirmer.complaint if self._confirmer else None
        if found is None and complaint is not None:
            raise FatalError(
                f"the board was recovered from a copy of its log, and {complaint}. Either these books are an "
                "older copy, then restore the newest one; or the log is false"
            )
        if found is None and not self._reading_log:
            _log.warning("the board was recovered from a copy of its log; reading that before going on")
        self._reading_log = found is None
        return found

    def _publish_pending(self, book: Books) -> None:
        publish_pending(book, self._key_entry)
        if self._signer is not None:
            publish_terms(book, self._signer)
        if self._statements is not None:
            self._statements.publish_due(book)


def _read(view: View, wanted: int | None) -> tuple[State, Batch]:
    own = view.state()
    return own, Batch(own.confirmed, ()) if wanted is None else next_batch(view, wanted)


def _check(own: State, receipt: FeedReceipt) -> None:
    if receipt.next_group > own.next_group:
        raise FatalError(
            f"the board has groups up to {receipt.next_group - 1}, this store made only "
            f"{own.next_group - 1}: it was restored from a backup, and would sign against its own word. "
            "Restore the newest copy of the store, or rebuild the bank from the board"
        )
    if receipt.next_group < own.confirmed:
        raise FatalError(
            f"the board waits for group {receipt.next_group}, which it has shown before: it was restored "
            "from a backup, or is another one. Restore the board's newest state"
        )
