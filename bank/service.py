"""
The bank at work: batches of request bytes in, signed answers out, each durable before it leaves.

    prepare (read, verify, sign; on all cores)  ->  settle (one transaction, in the store)  ->  answers

While one batch is committed the next one is verified. Over the mixes a service host hands in whole batches;
requests that come one by one over HTTP are gathered into the same kind of batch.
"""

import asyncio
from collections import Counter as Tally
from collections import deque
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram

from bank.formats.answer import Kind
from bank.ledger import Moment, Prepared, Signer, settle
from bank.outbox import BoardClock
from bank.stores.interface import Books, Store
from bank.verifying import Verifiers
from mixmint.errors import FatalError, MixmintError, Unavailable, UserError
from replyblocks.service import Request

BATCH_REQUESTS = 64
MOST_WAITING = 4096
"""Requests one by one that may wait; more are turned away, so that a flood costs no memory."""
WORTH_A_SECOND = 16
"""Beside a batch in hand another begins only with so many requests: fewer wait and share the next commit."""


class Bank:
    """
    ``replyblocks.service.Handler`` for the bank.

    Idempotent by the ledger's own rules (an order is known by its seal, an account request by its digest), so
    no answer is stored and request ids play no part.
    """

    def __init__(
        self,
        signer: Signer,
        store: Store,
        clock: BoardClock,
        *,
        verifiers: int = 2,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._signer = signer
        self._store = store
        self._clock = clock
        self._verifiers = Verifiers(signer, verifiers)
        self._waiting: deque[tuple[bytes, asyncio.Future[bytes]]] = deque()
        self._batches: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[FatalError] = asyncio.get_running_loop().create_future()
        registry = registry or CollectorRegistry()
        self.answers = Counter(
            "mixmint_bank_answers", "Signed answers, by kind.", ["kind"], registry=registry
        )
        self.unanswered = Counter(
            "mixmint_bank_unanswered",
            "Requests not answered: no board, a full disk, too many at once.",
            registry=registry,
        )
        self.batch_requests = Histogram(
            "mixmint_bank_batch_requests",
            "Requests that shared a commit.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=registry,
        )

    async def handle(self, requests: Sequence[Request]) -> Sequence[bytes]:
        """
        One answer for each request, in order; durable.

        Raises Unavailable or UserError (the board isn't heard, the disk is full): nothing was answered, and
        the same requests may come again. FatalError: the books contradict themselves.
        """
        return await self.answer([request.body for request in requests])

    async def answer(self, bodies: Sequence[bytes]) -> list[bytes]:
        """As ``handle``, for the requests' bytes alone."""
        if self._failure.done():
            raise FatalError("the bank has stopped")
        try:
            moment = self._clock.moment()
            prepared = await self._verifiers.prepare(bodies, moment)
            answers = await self._store.run(lambda book: self._settle(prepared, book, moment))
        except UserError:
            self.unanswered.inc(len(bodies))
            raise
        except FatalError as error:
            # The transaction was rolled back; whether the next one would be right is what nobody knows now.
            failure = FatalError(f"the bank's books are in doubt ({error}); restore or recover them")
            if not self._failure.done():
                self._failure.set_result(failure)
            raise failure from None
        self.batch_requests.observe(len(answers))
        for kind, count in Tally([answer[0] for answer in answers]).items():
            self.answers.labels(Kind(kind).name.lower()).inc(count)
        return answers

    async def ask(self, body: bytes) -> bytes:
        """
        Answer one request; those that wait at the same time share a commit.

        Raises as ``handle``; Unavailable also when too many wait already.
        """
        if len(self._waiting) >= MOST_WAITING:
            self.unanswered.inc()
            raise Unavailable("the bank has more requests than it can answer; try again")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        self._waiting.append((body, future))
        if len(self._waiting) in {1, WORTH_A_SECOND}:
            # Not at once: whoever is ready in this turn of the loop comes into the same batch.
            loop.call_soon(self._dispatch)
        return await future

    async def ready(self) -> None:
        """Wait for the processes that verify beside this one; else they start with the first large batch."""
        await self._verifiers.ready()

    async def failed(self) -> None:
        """Wait until the books are in doubt, then raise the FatalError that stops the daemon."""
        raise await asyncio.shield(self._failure)

    async def close(self) -> None:
        """Finish the batches in hand."""
        while self._batches:
            await asyncio.wait(self._batches)
        await self._verifiers.close()

    def _settle(self, batch: Sequence[Prepared], book: Books, moment: Moment) -> list[bytes]:
        book.expect(batch)
        # A round may have closed since the batch was prepared, and what lapsed in it is deleted: judged by
        # the round before, a new hold would begin in the old one's last round. An earlier promise is kept.
        moment = Moment(max(moment.closed, book.state().newest_closed), moment.epoch)
        return [settle(prepared, self._signer, book, moment) for prepared in batch]

    def _dispatch(self) -> None:
        while self._waiting and (
            not self._batches or (len(self._batches) == 1 and len(self._waiting) >= WORTH_A_SECOND)
        ):
            count = min(BATCH_REQUESTS, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            task = asyncio.get_running_loop().create_task(self._answer_waiting(batch))
            self._batches.add(task)
            task.add_done_callback(self._batch_done)

    def _batch_done(self, task: "asyncio.Task[None]") -> None:
        self._batches.discard(task)
        self._dispatch()

    async def _answer_waiting(self, batch: Sequence[tuple[bytes, "asyncio.Future[bytes]"]]) -> None:
        try:
            answers = await self.answer([body for body, _ in batch])
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        except MixmintError as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        finally:
            # Whatever went wrong, nobody waits for ever. Cancelling what is done does nothing.
            for _, future in batch:
                future.cancel()
