"""
The clerk: one task that answers the board's claims, some at a time, the most urgent first.

What is open is on the books, so a restart forgets nothing. An answer and the note that there is one are one
transaction; what was answered isn't answered again, however often the board is read. Like every request, a
claim is only answered while the bank hears its board.
"""

import asyncio
import logging

from prometheus_client import CollectorRegistry, Counter, Gauge

from bank.claims.answering import Posted, answer_prepared, prepare_claim
from bank.formats.claim import Claim
from bank.ledger import Moment, Signer
from bank.outbox import BoardClock
from bank.stores.interface import Books, Store
from mixmint.errors import Unavailable, UserError

AT_ONCE = 32
"""Claims in one transaction: about 25 ms at most, so that a flood of claims holds up no order for longer."""

_log = logging.getLogger("bank.claims")


def answer_some(book: Books, signer: Signer, moment: Moment, most: int = AT_ONCE) -> int:
    """
    Answer the most urgent of the open claims, whose rounds the board's receipts say are closed; how many.

    Inside the book's transaction.
    """
    # As every batch is judged: by what the books know of the clock, in step with the holds that they forgot.
    moment = Moment(max(moment.closed, book.state().newest_closed), moment.epoch)
    kept = book.open_claims(moment.closed, most)
    claims = [Claim.decode(each.claim) for each in kept]
    prepared = [prepare_claim(claim, signer, moment) for claim in claims]
    # All that they may ask for at once: PostgreSQL would be asked row by row, for seconds.
    book.expect([each for choice in prepared for each in choice])
    for each, claim, choice in zip(kept, claims, prepared, strict=True):
        entry = answer_prepared(claim, choice, Posted.of(each, signer.terms), signer, book, moment)
        if entry is not None:
            book.publish([entry])
        book.answer_claim(each.subject)
    return len(kept)


class Clerk:
    """One task for one bank's claims."""

    def __init__(
        self,
        store: Store,
        signer: Signer,
        clock: BoardClock,
        *,
        pause_s: float,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock
        self._pause_s = pause_s
        registry = registry or CollectorRegistry()
        self.answered = Counter(
            "mixmint_bank_claims_answered", "Claims of the board that were answered.", registry=registry
        )
        self.open = Gauge(
            "mixmint_bank_open_claims", "Claims of the board that have no answer yet.", registry=registry
        )
        self.oldest = Gauge(
            "mixmint_bank_oldest_claim_rounds",
            "Rounds since the oldest open claim's; above claim_rounds the bank's word is broken.",
            registry=registry,
        )

    async def run(self) -> None:
        """
        Answer claims until cancelled.

        Raises FatalError when the books contradict themselves.
        """
        while True:
            answered = 0
            try:
                answered = await self.step()
            except Unavailable:
                # Without its board the bank answers nothing, claims neither.
                pass
            except UserError as error:
                _log.warning("claims wait: %s", error)
            if not answered:
                await asyncio.sleep(self._pause_s)

    async def step(self) -> int:
        """Answer some claims; how many. Raises Unavailable, UserError, FatalError."""
        count, oldest = await self._store.read(lambda view: view.count_open_claims())
        closed = self._clock.closed or 0
        self.open.set(count)
        self.oldest.set(max(0, closed - oldest) if count else 0)
        if not count:
            return 0
        moment = self._clock.moment()
        answered = await self._store.run(lambda book: answer_some(book, self._signer, moment))
        self.answered.inc(answered)
        return answered
