"""
Carries operations to their end: asks the bank, reads the board, and books what comes first.

Each operation is driven by a task of its own; one more reads the board for all of them. An operation may end
through either: an answer that was lost on its way is made up for by the board.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from mixmint.errors import FatalError, PeerError, PendingError, Unavailable, UserError
from mixmint.keys import Label, labelled_hash
from wallet.answers import check
from wallet.books import Books, Outward
from wallet.lines import BankLine, Board, Claims
from wallet.machines.account import AccountState
from wallet.machines.order import OrderState
from wallet.machines.steps import RESTING, Answered, Ask, Begin, Forget, Phase, Wrong
from wallet.operations import Machine, PlanState
from wallet.settings import WalletSettings
from wallet.teller.board import BoardSide, nothing
from wallet.words import line_of

CONVERSATION_LABEL = Label("mixmint/wallet-conversation/v1")
PENDING: Final = "the outcome isn't known yet; run: mixmint wallet resume"

Start = Callable[[], Awaitable[int]]
"""Puts an operation on file when its time has come; its row, or 0 when there is none to begin any more."""


class Teller(BoardSide):
    """Drives operations. One at a time per home; its methods may run concurrently in one event loop."""

    def __init__(
        self,
        books: Books,
        line: BankLine,
        board: Board,
        settings: WalletSettings,
        *,
        answer_wait_s: float,
        now_s: Callable[[], float],
        claims: Claims | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        tell: Callable[[str], None] = nothing,
        warn: Callable[[str], None] | None = None,
        at: Callable[[str], None] = nothing,
    ) -> None:
        """
        ``answer_wait_s``: how long an answer is waited for. ``claims``: where certificates go that the bank
        forgot to publish. ``tell`` gets a line for the member at each event; ``warn`` what he must know (by
        default ``tell`` does). ``at`` is called at each named step; tests end the process there.
        """
        super().__init__(books, board, settings, claims, tell, warn or tell, at)
        self._line = line
        self._poll_s = settings.poll_s
        self._settle_wait_s = settings.settle_wait_s
        self._answer_wait_s = answer_wait_s
        self._now_s = now_s
        self.sleep = sleep
        self._queues: dict[int, asyncio.Queue[Outward]] = {}

    def _hand_out(self, row: int, outward: Outward) -> None:
        if row in self._queues:
            self._queues[row].put_nowait(outward)
        else:
            self._forget(row, outward)

    async def reach(self) -> None:
        """Before something new begins. Raises Unavailable: nothing has happened."""
        await self._line.reach()

    @property
    def patience_s(self) -> float:
        """How long anything is waited for."""
        return self._settle_wait_s

    @property
    def poll_s(self) -> float:
        """The pause between two looks at the board."""
        return self._poll_s

    @contextmanager
    def hurry(self, most_s: float) -> Iterator[None]:
        """Inside, nothing is waited for longer than this: for commands that only look."""
        before = self._answer_wait_s, self._settle_wait_s
        self._answer_wait_s, self._settle_wait_s = min(before[0], most_s), min(before[1], most_s)
        try:
            yield
        finally:
            self._answer_wait_s, self._settle_wait_s = before

    async def finish(
        self, rows: Sequence[int | Start], delays_s: Sequence[float] = (), *, enough: Collection[Phase] = ()
    ) -> None:
        """
        Carry these operations to their end, all at once; each may begin after a delay of its own. A ``Start``
        waits for its own time. ``enough``: phases in which they may be left alone, too.

        Raises PendingError when one of them isn't over within the settings' patience. The others are carried
        on all the same.
        """
        if not rows:
            return
        delays = delays_s or [0.0] * len(rows)
        drives = [self._drive(row, delay, enough) for row, delay in zip(rows, delays, strict=True)]
        driving = asyncio.gather(*drives, return_exceptions=True)
        watching = asyncio.create_task(self._watch())
        posting = asyncio.create_task(self._post())
        try:
            futures: set[asyncio.Future[Any]] = {driving, watching, posting}
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            for beside in (watching, posting):
                if beside.done():
                    raise _ended(beside)
            # What is no UserError (a bug, a test's crash) comes before what is only pending.
            errors = [each for each in driving.result() if isinstance(each, BaseException)]
            for error in sorted(errors, key=lambda error: isinstance(error, UserError)):
                raise error
        finally:
            for task in (driving, watching, posting):
                task.cancel()
            await asyncio.gather(driving, watching, posting, return_exceptions=True)

    async def _watch(self) -> None:
        """Read the board again and again, while it is away too: each drive has its own patience."""
        while True:
            with suppress(Unavailable):
                await self.sync()
            await self.sleep(self._poll_s)

    async def _post(self) -> None:
        """Beside the reading, which goes on while a certificate is under way."""
        while True:
            await self.post_forgotten()
            await self.post_claims()
            await asyncio.sleep(self._poll_s)

    async def _drive(self, start: int | Start, delay_s: float, enough: Collection[Phase]) -> None:
        if delay_s:
            await self.sleep(delay_s)
        row = start if isinstance(start, int) else await start()
        if not row:
            return
        queue = self._queues[row] = asyncio.Queue()
        asking: asyncio.Task[Outward] | None = None
        try:
            outward = self.books.feed(row, Begin(self.books.closed))
            while True:
                for ask in self._forget(row, outward):
                    if asking is not None:
                        asking.cancel()
                    asking = asyncio.create_task(self._ask(row, ask))
                state = self._machine(row)
                if state.phase in RESTING:
                    self._tell(line_of(state, self.books))
                    return
                if state.phase in enough:
                    return
                if state.phase is Phase.HELD:
                    self._tell(f"another order holds a coin until round {state.round}; waiting for it to end")
                try:
                    outward = await self._next(row, queue, asking)
                except PendingError:
                    if asking is None or not self._is_claimed(row):
                        raise
                    # The board is asked now, not the bank.
                    outward = []
                if asking is not None and asking.done():
                    asking = None
        finally:
            del self._queues[row]
            if asking is not None:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)

    async def _next(
        self, row: int, queue: asyncio.Queue[Outward], asking: asyncio.Task[Outward] | None
    ) -> Outward:
        """What happens first: the bank's answer, or news from the board."""
        news = asyncio.create_task(queue.get())
        # While the bank is asked, the question has its own patience.
        patience_s = None if asking is not None else self._settle_wait_s
        waiting = {news} if asking is None else {news, asking}
        try:
            done, _ = await asyncio.wait(waiting, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise PendingError(f"{self._stage(row)}; {PENDING}")
            if asking is not None and asking in done:
                return asking.result() + (news.result() if news in done else [])
            return news.result()
        finally:
            news.cancel()

    def _is_claimed(self, row: int) -> bool:
        state = self._machine(row)
        return isinstance(state, OrderState | AccountState) and state.claim.posted

    def _stage(self, row: int) -> str:
        state = self._machine(row)
        kind = state.purpose if isinstance(state, OrderState) else "account"
        return f"operation {row} ({kind}) is {state.phase.value}"

    def _machine(self, row: int) -> Machine:
        state = self.purse.operation(row)
        if isinstance(state, PlanState):
            raise FatalError("a plan is not driven as an operation")
        return state

    async def _ask(self, row: int, ask: Ask) -> Outward:
        conversation = self._conversation(row, ask.attempt)
        self.at("before-asking")
        try:
            expires_s = int(self._now_s() + self._line.lifetime_s)
            data = await self._line.ask(conversation, ask.body, expires_s, self._answer_wait_s)
        except UserError as error:
            # Also when nobody could be reached: it is on disk, so the outcome is unknown, never "failed".
            raise PendingError(f"{error}; {PENDING}") from None
        except PeerError as error:
            # The bank's endpoint refuses this conversation's id; another one asks the same again.
            self.books.feed(row, Wrong(ask.body, f"conversation-{error.reason}"))
            raise PendingError(f"the bank refused a conversation; {PENDING}") from None
        self.at("answered")
        event = await self._check(row, ask.body, data)
        outward = self.books.feed(row, event)
        self._tell_of_copies()
        self.at("answer-booked")
        if isinstance(event, Wrong):
            self._forget(row, outward)
            raise PendingError(
                f"the bank's answer is wrong ({event.reason}); it is kept in the evidence folder; {PENDING}"
            )
        return outward

    async def question(self, body: bytes) -> bytes:
        """
        Ask the bank something that changes nothing; its answer, not checked. Nothing is on file for it:
        whoever is cut short asks anew.

        Raises Unavailable, PendingError: no answer came.
        """
        conversation = os.urandom(16)
        try:
            expires_s = int(self._now_s() + self._line.lifetime_s)
            return await self._line.ask(conversation, body, expires_s, self._answer_wait_s)
        except PeerError as error:
            raise Unavailable(f"the bank refused a conversation ({error.reason}); try again") from None
        finally:
            self._line.forget(conversation)

    async def _check(self, row: int, request: bytes, data: bytes) -> Answered | Wrong:
        event = check(self.books.bank, request, data, self.books.known(self._machine(row)))
        if isinstance(event, Wrong) and event.reason in ("too-late-too-early", "invented-booking"):
            # The bank knows the board's clock first, and what another copy of this wallet did; look again
            # before it is called a liar.
            await self.sync()
            event = check(self.books.bank, request, data, self.books.known(self._machine(row)))
        return event

    def _forget(self, row: int, outward: Outward) -> list[Ask]:
        """Delete the conversations that are over; of the questions among the effects, return the last."""
        for effect in outward:
            if isinstance(effect, Forget):
                for attempt in range(effect.attempt + 1):
                    self._line.forget(self._conversation(row, attempt))
        return [effect for effect in outward if isinstance(effect, Ask)][-1:]

    def _conversation(self, row: int, attempt: int) -> bytes:
        """The id (16 bytes) of an operation's conversation: the same in every process, and unlinkable."""
        state = self._machine(row)
        if isinstance(state, OrderState):
            seed = state.conversation
        elif isinstance(state, AccountState):
            seed = state.request_id
        else:
            raise FatalError("a payment request asks the bank nothing")
        return labelled_hash(CONVERSATION_LABEL, seed, attempt.to_bytes(4))[:16]


def _ended(task: "asyncio.Task[None]") -> BaseException:
    """Why the board isn't read any more (or nothing posted), while operations are under way."""
    error = task.exception()
    if isinstance(error, UserError):
        return PendingError(f"{error}; {PENDING}")
    return error or FatalError("what goes on beside the operations ended by itself")
