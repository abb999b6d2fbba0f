"""
The board at work: feeds come in, rounds close on time, news go out. Everything that lasts is in the store.
"""

import asyncio
import logging
import time
from random import Random, SystemRandom

import msgspec

from bank.board.events import Hub
from bank.board.feed import open_feed
from bank.board.journal import ClosedRound, Taken
from bank.board.metrics import BoardMetrics
from bank.board.sampling import choose, is_true
from bank.board.store import BoardStore
from bank.board.views import round_view
from bank.formats.coin import bank_id
from mixmint.errors import PeerError, UserError
from mixmint.keys import SigningKey

_RETRY_S = 1.0
_INLINE_BYTES = 1 << 15
"""Checking a signature over more than this is done beside the event loop: 1 MiB takes 2 ms."""

_log = logging.getLogger("bank.board")


class Board:
    """One board over one store. ``bank_key``: whose feed it takes (32 bytes)."""

    def __init__(
        self,
        store: BoardStore,
        key: SigningKey,
        bank_key: bytes,
        *,
        round_s: float,
        check_entries: int = 0,
        subscribers: int = 256,
        metrics: BoardMetrics | None = None,
        rng: Random | None = None,
    ) -> None:
        self.store = store
        self.metrics = metrics or BoardMetrics()
        self.hub = Hub(subscribers, self.metrics.evicted.inc)
        self.metrics.subscribers.set_function(lambda: len(self.hub))
        self.writes = True
        """Whether the last attempt to write succeeded."""
        self.stopped = ""
        """Why a part of the board runs no more; empty as long as all do."""
        self._key = key
        self._bank_key = bank_key
        self._bank = bank_id(bank_key)
        self._round_s = round_s
        self._check_entries = check_entries
        self._rng = rng or SystemRandom()
        # Rounds yet to be sampled; a flood of rounds drops some, since each is only a sample anyway.
        self._unchecked: asyncio.Queue[ClosedRound] = asyncio.Queue(64)
        self._closed_s = time.monotonic()
        self.metrics.round_age_s.set_function(lambda: time.monotonic() - self._closed_s)

    async def feed(self, body: bytes) -> Taken:
        """
        Take a signed batch, or say which group is waited for.

        Raises MalformedMessage, PeerError("signature"), UserError when the disk is full (nothing was taken).
        """
        started_s = time.perf_counter()
        if len(body) > _INLINE_BYTES:
            encoded = await asyncio.to_thread(open_feed, self._bank_key, self._key.public, body)
        else:
            encoded = open_feed(self._bank_key, self._key.public, body)
        try:
            taken = await self.store.take(encoded, time.time())
        except UserError:
            self._note_failure()
            raise
        self._note_success()
        self.metrics.feeds.labels("taken" if taken.taken else "expected-another").inc()
        self.metrics.feed_s.observe(time.perf_counter() - started_s)
        self._announce(taken.closed)
        return taken

    async def close_rounds(self) -> None:
        """
        Close a round whenever the newest is ``round_s`` old; runs until cancelled.

        After a stand-still, however long, one round closes: rounds count, they don't catch up.
        """
        while True:
            due_s = self._closed_s + self._round_s - time.monotonic()
            if due_s > 0:
                await asyncio.sleep(due_s)
                continue
            try:
                closed = await self.store.close_round(time.time())
            except UserError as error:
                if self.writes:
                    _log.error("%s; rounds stop until it can", error)
                self._note_failure()
                await asyncio.sleep(min(_RETRY_S, self._round_s))
                continue
            self._note_success()
            self._announce((closed,))

    async def check_samples(self) -> None:
        """Check a few signatures of each round; runs until cancelled."""
        while True:
            await self.check_sample(await self._unchecked.get())

    async def check_sample(self, closed: ClosedRound) -> int:
        """Check a few signatures of one round; how many were false."""
        false = 0
        round_ = closed.round
        for index in choose(round_.first, round_.count, self._check_entries, self._rng):
            (placed,) = await self.store.entries(index, 1)
            if await asyncio.to_thread(is_true, placed.entry, self._bank, self._bank_key):
                self.metrics.checked.labels("true").inc()
            else:
                false += 1
                self.metrics.checked.labels("false").inc()
                _log.error("entry %d, fed by the bank, has a false signature", index)
        return false

    def _announce(self, rounds: tuple[ClosedRound, ...]) -> None:
        for closed in rounds:
            self._closed_s = time.monotonic()
            self.metrics.rounds.inc()
            self.metrics.entries.inc(closed.round.count)
            view = round_view(closed.round, closed.closed_at_s, closed.totals)
            self.hub.publish(closed.round.number, msgspec.json.encode(view))
            if closed.round.count and self._check_entries and not self._unchecked.full():
                self._unchecked.put_nowait(closed)
        if rounds:
            newest = rounds[-1]
            self.metrics.newest.set(newest.round.number)
            self.metrics.repeats.set(newest.totals.repeats)
            self.metrics.unknown.set(newest.totals.unknown)

    def _note_failure(self) -> None:
        self.metrics.write_failures.inc()
        self.writes = False

    def _note_success(self) -> None:
        if not self.writes:
            _log.info("the store can write again")
        self.writes = True

    def note_end(self, task: "asyncio.Task[None]") -> None:
        """
        For the tasks that end by cancellation only: another end leaves the board in doubt, so the health
        check turns red.
        """
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.critical("a part of the board stopped; restart it", exc_info=error)
            self.stopped = "a part of the board stopped; see its log, then restart it"

    def note_refusal(self, error: PeerError) -> None:
        """Count a request that broke the rules."""
        self.metrics.refused.labels(error.reason).inc()
