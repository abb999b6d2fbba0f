"""
Fetching for everyone who waits: one fetch at a time, its items stored, then acknowledged with the next.

While anyone is `listening`, a task long-polls the gateway. Whoever waits is woken by each batch (`news`), and
looks into the store for what is his.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from mixmint.errors import PeerError, UserError
from replyblocks.intake import Report
from replyblocks.link import Item, Link

LONGEST_WAIT_S = 30.0
PAUSE_S = 0.5
LAST_ACKNOWLEDGE_S = 2.0


class Polling:
    """
    ``take`` stores a batch in one transaction; ``prepare`` runs before each fetch (registers, once a day).
    """

    def __init__(
        self, link: Link, take: Callable[[Sequence[Item]], Report], prepare: Callable[[], Awaitable[None]]
    ) -> None:
        self._link = link
        self._take = take
        self._prepare = prepare
        self._one_at_a_time = asyncio.Lock()
        self._done: list[int] = []
        self._listeners = 0
        self._poller: asyncio.Task[None] | None = None
        self.news = asyncio.Event()
        """Set, and replaced by a new one, with every batch."""
        self.trouble: UserError | None = None
        """Why nothing comes at the moment, for whoever gives up waiting."""
        self._has_looked = False

    @property
    def is_listening(self) -> bool:
        return self._listeners > 0

    @property
    def is_looking(self) -> bool:
        """Whether the mailbox was looked into in this process, or is being looked into right now."""
        return self._has_looked or self.is_listening

    async def fetch(self, wait_s: float) -> Report | None:
        """One fetch, stored; None when nothing came. Raises Unavailable, or UserError when refused."""
        await self._prepare()
        async with self._one_at_a_time:
            done = list(self._done)
            items = await self._link.fetch(wait_s, done)
            del self._done[: len(done)]
            self.trouble = None
            self._has_looked = True
            if not items:
                return None
            report = self._take(items)
            # Committed: from here on the gateway may delete them.
            self._done += [item.number for item in items]
        self._wake()
        return report

    async def wait(self, news: asyncio.Event, wait_s: float) -> None:
        """Until ``news``, or ``wait_s`` is over. Raises what ended the polling, if it has ended."""
        if self._poller is not None and self._poller.done():
            self._poller.result()
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await news.wait()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """While anyone is inside, the mailbox is polled."""
        self._listeners += 1
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll_on())
        try:
            yield
        finally:
            self._listeners -= 1
            if self._listeners == 0:
                await self._stop()

    async def close(self) -> None:
        """Stop, and acknowledge what is stored."""
        await self._stop()
        if self._done:
            # Not needed for safety: what isn't acknowledged comes again and is dropped then.
            with suppress(UserError, PeerError, TimeoutError):
                async with asyncio.timeout(LAST_ACKNOWLEDGE_S):
                    await self._link.fetch(0, self._done)

    async def _poll_on(self) -> None:
        try:
            while True:
                try:
                    await self.fetch(LONGEST_WAIT_S)
                except UserError as error:
                    self.trouble = error
                    await asyncio.sleep(PAUSE_S)
                except PeerError:
                    # Our gateway's own bytes make no sense. Nothing is taken from it; it may recover.
                    await asyncio.sleep(PAUSE_S)
        finally:
            self._wake()

    async def _stop(self) -> None:
        poller, self._poller = self._poller, None
        if poller is not None and not poller.done():
            poller.cancel()
            await asyncio.wait([poller])

    def _wake(self) -> None:
        self.news.set()
        self.news = asyncio.Event()
