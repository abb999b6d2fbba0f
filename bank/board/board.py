"""
The board at work: feeds come in, rounds are published in time, news go out. Everything that lasts is in the
store and in the log's files.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import Random, SystemRandom
from typing import TypeVar

import msgspec

from bank.board.feed import CLOCK_ONLY_BYTES, FeedReceipt, open_feed, sign_receipt
from bank.board.log.tree import leaf_hash
from bank.board.metrics import BoardMetrics
from bank.board.receipts import EntryReceipt, sign_entry_receipt
from bank.board.web.events import Hub
from bank.board.web.views import round_view
from bank.board.writing import bank_keys
from bank.board.writing.journal import BEHIND, MOST_UNPUBLISHED, ClosedRound
from bank.board.writing.publisher import Publisher
from bank.board.writing.sampling import choose, is_true
from bank.board.writing.store import BoardStore, Within, nothing_else
from bank.formats.succession import BankKeys
from mixmint.errors import FatalError, PeerError, Unavailable, UserError
from mixmint.keys import SigningKey

_RETRY_S = 1.0
CALM_S = 5.0
"""With little room left some writes fit and others do not: a store is well when none failed for so long."""
_INLINE_BYTES = 1 << 15
"""Checking a signature over more than this is done beside the event loop: 1 MiB takes 2 ms."""

T = TypeVar("T")
_log = logging.getLogger("bank.board")


class Board:
    """
    One board over one store and one log. ``bank_key``: the bank's founding key (32 bytes), whose feed it
    takes until the log shows a change.
    """

    def __init__(
        self,
        store: BoardStore,
        publisher: Publisher,
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
        self.publisher = publisher
        self.metrics = metrics or BoardMetrics()
        self.hub = Hub(subscribers, self.metrics.evicted.inc)
        self.metrics.subscribers.set_function(lambda: len(self.hub))
        self.writes = True
        """Whether the store could write lately: for ``calm_s`` nothing has failed."""
        self.calm_s = CALM_S
        self._failed_s = 0.0
        self._stuck = False
        """Whether the last round that was due couldn't be published."""
        self.stopped = ""
        """Why a part of the board runs no more; empty as long as all do."""
        self._key = key
        self.keys = BankKeys(bank_key)
        """The bank's, as the published rounds say."""
        self._round_s = round_s
        self._check_entries = check_entries
        self._rng = rng or SystemRandom()
        # Rounds yet to be sampled; a flood of rounds drops some, since each is only a sample anyway.
        self._unchecked: asyncio.Queue[ClosedRound] = asyncio.Queue(64)
        self._full = 0
        """The newest round that needn't wait for the clock."""
        self._wake = asyncio.Event()
        self._publishing = asyncio.Lock()
        self._news = asyncio.Event()
        """Set once, by the next round that is published."""
        self._closed_s = time.monotonic()
        self.metrics.round_age_s.set_function(lambda: time.monotonic() - self._closed_s)

    async def start(self) -> None:
        """
        Open what is on disk, and make sure that it is the newest that this board ever signed.

        Raises UserError, FatalError: the board must not run.
        """
        self._full = await self.publisher.start()
        await self._learn_keys()
        self.metrics.newest.set(self.store.newest.number)

    async def feed(self, body: bytes) -> tuple[bool, FeedReceipt]:
        """
        Take a signed batch, or say which group is waited for; whether it was taken, and the receipt.

        Raises MalformedMessage, PeerError("signature"), Unavailable (too much is waiting), UserError when the
        disk is full. Then nothing was taken.
        """
        started_s = time.perf_counter()
        if len(body) > CLOCK_ONLY_BYTES and self._full - self.store.newest.number >= MOST_UNPUBLISHED:
            # The same answer as after all the work, which the rounds behind need more.
            raise Unavailable(BEHIND)
        bank_key = await self.store.read(lambda connection: bank_keys.feeding(connection, self.keys.founding))
        if len(body) > _INLINE_BYTES:
            encoded = await asyncio.to_thread(open_feed, bank_key[0], self._key.public, body)
        else:
            encoded = open_feed(bank_key[0], self._key.public, body)
        # Read first: groups that come after this batch are in rounds later than the receipt's newest closed
        # one, so a receipt that waits for a group proves that no round up to there has it.
        newest = self.store.newest.number
        signed = bank_key[0], self.keys.founding
        taken = await self._written(lambda: self.store.take(encoded, signed))
        self.metrics.feeds.labels("taken" if taken.taken else "expected-another").inc()
        self.metrics.feed_s.observe(time.perf_counter() - started_s)
        self._filled(taken.full)
        round_ = max(taken.round, newest)
        receipt = sign_receipt(self._key, encoded, taken.next_group, round_, newest, taken=taken.taken)
        return taken.taken, receipt

    async def submit(self, entries: Sequence[bytes], within: Within = nothing_else) -> list[EntryReceipt]:
        """
        Take entries that don't come by the bank's feed (1 to 255, checked by the caller), for one round.

        Returns a receipt for each. ``within(connection, round)`` joins the transaction and may refuse by
        raising. Raises what it raises, Unavailable, UserError; then nothing was taken.
        """
        taken = await self._written(lambda: self.store.submit(entries, within))
        self._filled(taken.full)
        newest = self.store.newest.number
        return [sign_entry_receipt(self._key, leaf_hash(entry), taken.round, newest) for entry in entries]

    def receipt(self, leaf: bytes, round_: int) -> EntryReceipt:
        """For an entry (its leaf hash, 32 bytes) that was taken before, for this round."""
        return sign_entry_receipt(self._key, leaf, round_, self.store.newest.number)

    async def publish_round(self, now_s: float) -> ClosedRound:
        """Close the next round and tell everyone. Raises as ``Publisher.publish``."""
        async with self._publishing:
            return await self._publish(now_s)

    async def _publish(self, now_s: float) -> ClosedRound:
        closed = await self._written(lambda: self.publisher.publish(now_s, self._full))
        await self._learn_keys()
        self._announce(closed)
        return closed

    async def _learn_keys(self) -> None:
        newest, founding = self.store.newest.number, self.keys.founding
        self.keys = await self.store.read(
            lambda connection: bank_keys.read_keys(connection, founding, newest)
        )

    async def round_after(self, number: int) -> ClosedRound:
        """The newest published round, as soon as there is one after ``number``."""
        while self.store.newest.number <= number:
            await self._news.wait()
        return self.store.newest

    async def close_rounds(self) -> None:
        """
        Publish a round whenever one is full, or the newest is ``round_s`` old; runs until cancelled.

        After a stand-still, however long, one round closes: rounds count, they don't catch up.
        """
        while True:
            await self._until_due()
            try:
                async with self._publishing:
                    if self._due_s() <= 0:
                        await self._publish(time.time())
            except UserError as error:
                if not self._stuck:
                    _log.error("%s; rounds stop until it can", error)
                self._stuck = True
                await asyncio.sleep(min(_RETRY_S, self._round_s))
            else:
                self._stuck = False

    async def _until_due(self) -> None:
        while (due_s := self._due_s()) > 0:
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), due_s)

    def _due_s(self) -> float:
        """How long until the next round closes, if nothing comes; at once when one is full."""
        if self.store.newest.number < self._full:
            return 0.0
        return self._closed_s + self._round_s - time.monotonic()

    def _filled(self, full: int) -> None:
        if full > self._full:
            self._full = full
            self._wake.set()

    async def _written(self, work: Callable[[], Awaitable[T]]) -> T:
        """What writes: the health check says whether it could lately."""
        if self.stopped:
            raise Unavailable(self.stopped)
        try:
            done = await work()
        except Unavailable:
            raise
        except UserError as error:
            self.metrics.write_failures.inc()
            if self.writes:
                _log.warning("%s", error)
            self.writes, self._failed_s = False, time.monotonic()
            raise
        if not self.writes and time.monotonic() - self._failed_s >= self.calm_s:
            _log.info("the store can write again")
            self.writes = True
        return done

    async def check_samples(self) -> None:
        """Check a few signatures of each round; runs until cancelled."""
        while True:
            closed = await self._unchecked.get()
            try:
                await self.check_sample(closed)
            except (UserError, FatalError) as error:
                # A damaged file, or no descriptor left for it. Only this sample is lost by it.
                _log.error("round %d can't be checked: %s", closed.number, error)

    async def check_sample(self, closed: ClosedRound) -> int:
        """Check a few signatures of one round; how many were false."""
        false = 0
        for index in choose(closed.first, closed.count, self._check_entries, self._rng):
            (placed,) = await self.store.entries(index, 1)
            key = self.keys.key_at(index)
            if await asyncio.to_thread(is_true, placed.entry, self.keys.id, key):
                self.metrics.checked.labels("true").inc()
            else:
                false += 1
                self.metrics.checked.labels("false").inc()
                _log.error("entry %d, fed by the bank, has a false signature", index)
        return false

    def _announce(self, closed: ClosedRound) -> None:
        self._closed_s = time.monotonic()
        news, self._news = self._news, asyncio.Event()
        news.set()
        self.metrics.rounds.inc()
        self.metrics.entries.inc(closed.count)
        self.metrics.newest.set(closed.number)
        self.metrics.repeats.set(closed.totals.repeats)
        self.metrics.unknown.set(closed.totals.unknown)
        self.hub.publish(closed.number, msgspec.json.encode(round_view(closed)))
        if closed.count and self._check_entries and not self._unchecked.full():
            self._unchecked.put_nowait(closed)

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
