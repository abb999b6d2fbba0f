"""
Time without waiting: an event loop whose clock leaps to what is due next, and a thread for what has threads.

Two runs with the same random tapes therefore take the same steps at the same times, to the last one.
"""

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_PATIENCE_S = 60.0
"""Real seconds. The bank answers in milliseconds; this only ends a run that hangs."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """``time()`` is virtual and begins at 0. Nothing but timers and callbacks happens on this loop."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_Leaping(self._leap))

    def time(self) -> float:
        return self._now_s

    def _leap(self, timeout_s: float | None) -> None:
        if timeout_s is None:
            raise RuntimeError("everyone waits for somebody else")
        self._now_s += timeout_s


class _Leaping(selectors.SelectSelector):
    """Where a real loop would sleep, this one moves its clock."""

    def __init__(self, leap: Callable[[float | None], None]) -> None:
        super().__init__()
        self._leap = leap

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self._leap(timeout)
        return []


class Aside:
    """
    A real event loop in a thread of its own, for the bank and its store, which have threads of their own.

    The virtual loop stands still while it asks something there: so whatever the threads do, it is one step.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="aside", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Its result, or what it raised."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_S)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
