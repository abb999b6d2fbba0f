"""
The outbox: what the board must still be given or show, in order and exactly once; and the board's clock.

Groups enter the outbox in the transaction that makes them true, numbered without gaps. The feeder
(bank/feeder.py) posts them; the board's receipt says which number it waits for. They stay until the bank has
read them on the board (bank/confirmer.py), so a board that lost its newest state can be fed again. So a crash
at any point, on either side, repeats a feed, never a group.
"""

import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing

from bank.board.feed import UNKNOWN, Batch, FeedReceipt, batch_digest
from bank.board.reading.client import Cursor
from bank.formats.entry import AccountEntry
from bank.ledger import Moment
from bank.ledger.terms import Terms
from bank.stores.interface import Books, KeptReceipt, State, View
from mixmint.errors import FatalError, MalformedMessage, Unavailable

MOST_READ_BYTES = 3 << 18
"""Of outbox rows in one feed; a row is at most a third of this, and a feed 1 MiB."""
MOST_ACCOUNTS = 256

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


def cursor_of(state: State) -> Cursor:
    """How far the board was read. Raises FatalError when what is on file is no cursor."""
    try:
        return Cursor.decode(state.cursor) if state.cursor else Cursor()
    except MalformedMessage:
        raise FatalError("the place up to which the board was read is damaged; restore the store") from None


def publish_pending(book: Books, key_entry: bytes) -> None:
    """
    Number what waits without a group: the bank's key, the very first of all, accounts opened since, and what
    else the operator changed.

    Only after the board was asked: a store restored from a backup must not use a number twice.
    """
    state = book.state()
    if state.next_group == 1:
        book.publish([key_entry])
    for key in book.unpublished(MOST_ACCOUNTS):
        book.publish([AccountEntry(key).encode()])
        book.mark_published(key)
    if state.unnumbered:
        book.mark_numbered()
        book.publish(())


def next_batch(view: View, wanted: int) -> Batch:
    """
    The groups from number ``wanted`` on, as many as one feed carries; none when there are none.

    Raises FatalError when the outbox begins later: what follows would go by wrong numbers.
    """
    found: list[Sequence[bytes]] = []
    size = 0
    with closing(view.outbox(wanted)) as rows:
        for first, batch in rows:
            if not found and first > wanted:
                raise FatalError(f"group {wanted} is missing in the outbox; restore or recover the store")
            size += len(batch)
            if found and size > MOST_READ_BYTES:
                break
            found.extend(Batch.decode(batch).groups[max(0, wanted - first) :])
    return Batch.fill(wanted, found)


def groups_from(view: View, group: int) -> Generator[Sequence[bytes]]:
    """The groups from this number on, read as they are taken. Close it when done."""
    with closing(view.outbox(group)) as rows:
        for first, batch in rows:
            yield from Batch.decode(batch).groups[max(0, group - first) :]


def record(book: Books, batch: Batch, receipt: FeedReceipt) -> None:
    """
    Take over the receipt for a batch: keep it until the board shows the groups, and let lapse what lapsed.

    Raises FatalError when the board's clock went back.
    """
    state = book.state()
    newest, closed = state.newest_closed, receipt.newest_closed
    if closed < newest:
        raise FatalError(
            f"the board is back at round {closed}, and was at {newest}: it was restored from an older state; "
            "restore its newest one before this bank goes on"
        )
    if receipt.next_group == UNKNOWN:
        # At once, with the rounds that it may have closed since without what it lost.
        _forget_receipts(book, state.confirmed)
    else:
        _keep(book, max(state.confirmed, book.signed_for()), batch, receipt)
    if closed > newest:
        book.close_rounds(closed)


def _keep(book: Books, known: int, batch: Batch, receipt: FeedReceipt) -> None:
    if receipt.next_group > known:
        digest = batch_digest(batch.encode())
        book.keep_receipt(KeptReceipt(batch.first, len(batch.groups), digest, receipt))
    elif receipt.next_group < known:
        _forget_receipts(book, receipt.next_group)


def _forget_receipts(book: Books, wanted: int) -> None:
    """
    The board waits for a group that it had signed for: it lost its newest state, and is fed again. Its word
    was broken, but nobody is harmed by it whose entries come late.
    """
    if book.forget_receipts(wanted):
        _log.warning("the board lost groups from %d on, which it had signed for; feeding again", wanted)


def begin_after_log(view: View, newest_closed: int) -> int | None:
    """
    Where to go on with a board that doesn't know: after the groups that its log shows. None until the log was
    read up to its newest round.
    """
    state = view.state()
    return state.confirmed if cursor_of(state).round >= newest_closed else None
