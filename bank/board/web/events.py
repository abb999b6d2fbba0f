"""
The live feed (``/events``): one server-sent event per closed round.

A subscriber who can't keep up is dropped, not waited for: his queue is bounded, and everything he missed is
in ``/api/v1/rounds``.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable

from mixmint.errors import Unavailable

QUEUE_ROUNDS = 64
IDLE_S = 15.0
_COMMENT = b": still here\n\n"


class Hub:
    """Hands each event to every subscriber. ``most``: subscribers at a time; ``evicted`` counts the slow."""

    def __init__(self, most: int, evicted: Callable[[], None] = lambda: None) -> None:
        self._most = most
        self._evicted = evicted
        self._queues: set[asyncio.Queue[bytes | None]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._queues)

    def publish(self, number: int, data: bytes) -> None:
        """``data``: one line of JSON."""
        event = b"event: round\nid: %d\ndata: %s\n\n" % (number, data)
        for queue in list(self._queues):
            if queue.full():
                self._queues.discard(queue)
                self._evicted()
                # His turn comes at the next event, which is the last that he gets.
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    def close(self) -> None:
        """End every feed: the daemon stops."""
        self._closed = True
        for queue in self._queues:
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(None)

    async def subscribe(self, idle_s: float = IDLE_S) -> AsyncGenerator[bytes, None]:
        """
        Events as they happen, a comment when nothing did for ``idle_s``; ends on eviction or ``close``.

        Raises Unavailable when there are too many subscribers.
        """
        if self._closed or len(self._queues) >= self._most:
            raise Unavailable("too many live feeds are open; poll /api/v1/rounds instead")
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_ROUNDS)
        self._queues.add(queue)
        try:
            yield _COMMENT
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), idle_s)
                except TimeoutError:
                    yield _COMMENT
                    continue
                if event is None:
                    return
                yield event
        finally:
            self._queues.discard(queue)
