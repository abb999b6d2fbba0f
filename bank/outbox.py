"""
The outbox: what the board must still be given, in order and exactly once; and the clock that comes back.

Groups enter the outbox in the transaction that makes them true, numbered without gaps. The feeder posts them
from the oldest on; the board's receipt says which number it waits for, and only then are rows deleted. So a
crash at any point, on either side, repeats a feed or a deletion, never a group.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

from bank.board.feed import Batch, FeedReceipt
from bank.formats.entry import AccountEntry
from bank.ledger import Moment
from bank.ledger.terms import Terms
from bank.store import SqliteBook, Store
from mixmint.errors import FatalError, PeerError, Unavailable, UserError

MOST_READ_BYTES = 3 << 18
"""Of outbox rows in one feed; a row is at most a third of this, and a feed 1 MiB."""
MOST_ACCOUNTS = 256
KEEP_ROUNDS = 16
"""A lapsed order stays on file a little longer than it can be executed, so that it is refused as too late."""

_log = logging.getLogger("bank.outbox")


class BoardClock:
    """
    The board's rounds, as the bank knows them: its only clock for last rounds, holds and promises.

    While the board is down no round closes, so the bank goes on with the newest one that it knows: things get
    late. But a bank that is cut off from a running board would promise rounds that are past, and look like a
    cheat; so after ``silence_s`` without a receipt (and before the first one) it answers nothing.
    """

    def __init__(self, terms: Terms, silence_s: float, now_s: Callable[[], float] = time.time) -> None:
        self._terms = terms
        self._silence_s = silence_s
        self._now_s = now_s
        self.closed: int | None = None
        self._heard_s = 0.0

    def heard(self, closed: int) -> None:
        """The board's newest closed round, from a receipt that was asked for just now."""
        self.closed, self._heard_s = closed, time.monotonic()

    @property
    def is_right(self) -> bool:
        """Whether the board was heard lately."""
        return self.closed is not None and time.monotonic() - self._heard_s <= self._silence_s

    def epoch(self) -> int:
        """The coin epoch by this machine's clock."""
        return self._terms.epoch_at(self._now_s())

    def moment(self) -> Moment:
        """Raises Unavailable when the board hasn't been heard lately."""
        if self.closed is None or not self.is_right:
            raise Unavailable("the bank doesn't hear its board; try again later")
        return Moment(self.closed, self.epoch())


@dataclass(frozen=True, slots=True)
class Own:
    """What the store says of its feed: oldest group still in the outbox, next number, newest round seen."""

    oldest: int
    next_group: int
    newest_closed: int


def newest_closed(book: SqliteBook) -> int:
    """The board's newest closed round, as the books know it: in step with the holds that they forgot."""
    (closed,) = book.connection.execute("SELECT newest_closed FROM state").fetchone()
    return int(closed)


def own_state(book: SqliteBook) -> Own:
    """Read at the beginning of a transaction."""
    next_group, closed = book.connection.execute("SELECT next_group, newest_closed FROM state").fetchone()
    (oldest,) = book.connection.execute("SELECT min(first) FROM outbox").fetchone()
    return Own(next_group if oldest is None else oldest, next_group, closed)


def publish_pending(book: SqliteBook, key_entry: bytes) -> None:
    """
    Number what waits without a group: the bank's key, the very first of all, accounts opened since, and what
    else the operator changed.

    Only after the board was asked: a store restored from a backup must not use a number twice.
    """
    if own_state(book).next_group == 1:
        book.publish([key_entry])
    keys = book.connection.execute(
        "SELECT key FROM account WHERE published = 0 LIMIT ?", (MOST_ACCOUNTS,)
    ).fetchall()
    for (key,) in keys:
        book.publish([AccountEntry(key).encode()])
        book.connection.execute("UPDATE account SET published = 1 WHERE key = ?", (key,))
    if book.connection.execute("UPDATE state SET unnumbered = 0 WHERE unnumbered").rowcount:
        book.publish(())


def next_batch(book: SqliteBook, wanted: int) -> Batch:
    """The groups from number ``wanted`` on, as many as one feed carries; none when there are none."""
    found: list[Sequence[bytes]] = []
    size = 0
    for first, batch in book.connection.execute(
        "SELECT first, batch FROM outbox WHERE next > ? ORDER BY first", (wanted,)
    ):
        size += len(batch)
        if found and size > MOST_READ_BYTES:
            break
        found.extend(Batch.decode(batch).groups[max(0, wanted - first) :])
    return Batch.fill(wanted, found)


def record(book: SqliteBook, receipt: FeedReceipt) -> None:
    """
    Take over a receipt: forget what the board has, and erase what ties inputs to outputs once it is settled.
    """
    execute = book.connection.execute
    fed_group, fed_round, newest = execute("SELECT fed_group, fed_round, newest_closed FROM state").fetchone()
    closed = receipt.newest_closed
    if closed < newest:
        raise FatalError(
            f"the board is back at round {closed}, and was at {newest}: it was restored from an older state; "
            "restore its newest one before this bank goes on"
        )
    execute("DELETE FROM outbox WHERE next <= ?", (receipt.next_group,))
    if fed_round <= closed:
        execute(
            "UPDATE held_order SET signed = NULL WHERE signed NOT NULL AND group_number < ?", (fed_group,)
        )
        if (fed_group, fed_round) != (receipt.next_group, receipt.round):
            execute("UPDATE state SET fed_group = ?, fed_round = ?", (receipt.next_group, receipt.round))
    if closed > newest:
        execute("UPDATE state SET newest_closed = ?", (closed,))
        execute("DELETE FROM held_coin WHERE to_round <= ?", (closed,))
        execute("DELETE FROM promised WHERE to_round <= ?", (closed,))
        execute(
            "DELETE FROM held_order WHERE group_number IS NULL AND last_round <= ?", (closed - KEEP_ROUNDS,)
        )


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
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._store = store
        self._board = board
        self._key_entry = key_entry
        self._clock = clock
        self._pause_s = pause_s
        self._wanted = 0
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
                silent = False
            except (Unavailable, PeerError, UserError) as error:
                self.failures.labels(error.reason if isinstance(error, PeerError) else "unavailable").inc()
                if not silent:
                    _log.warning("%s; groups wait in the outbox", error)
                silent = True
            await asyncio.sleep(self._pause_s)

    async def step(self) -> None:
        """One feed: at first an empty one, which only asks where the board is."""
        if self._wanted:
            await self._store.run(lambda book: publish_pending(book, self._key_entry))
        own, batch = await self._store.run(self._read)
        receipt = await self._board.feed(batch)
        _check(own, receipt)
        await self._store.run(lambda book: record(book, receipt))
        self.fed.inc(max(0, receipt.next_group - max(self._wanted, own.oldest)))
        self.waiting.set(own.next_group - receipt.next_group)
        self._wanted = receipt.next_group
        self._clock.heard(receipt.newest_closed)

    def _read(self, book: SqliteBook) -> tuple[Own, Batch]:
        own = own_state(book)
        return own, next_batch(book, self._wanted) if self._wanted else Batch(own.oldest, ())


def _check(own: Own, receipt: FeedReceipt) -> None:
    if receipt.next_group > own.next_group:
        raise FatalError(
            f"the board has groups up to {receipt.next_group - 1}, this store made only "
            f"{own.next_group - 1}: it was restored from a backup, and would sign against its own word. "
            "Restore the newest copy of the store, or rebuild the bank from the board"
        )
    if receipt.next_group < own.oldest:
        raise FatalError(
            f"the board waits for group {receipt.next_group}, which this bank has fed and forgotten: the "
            "board was restored from a backup, or is another one. Restore the board's newest state"
        )
