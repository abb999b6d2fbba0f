"""The beat of a node: everything it sends, it sends at ticks."""

import asyncio


class Ticker:
    """
    Ticks every ``tick_s`` seconds on a fixed grid; one that comes late doesn't shift the next.

    ``tick_s`` 0: no grid; `wait` returns as soon as something was announced by `poke`. For measuring only:
    then the time of what goes out tells the time of what came in.
    """

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._next: float | None = None
        self._poked = asyncio.Event()

    def poke(self) -> None:
        """Something waits to be sent."""
        self._poked.set()

    async def wait(self) -> float:
        """Wait for the next tick; returns how late it is, in seconds."""
        loop = asyncio.get_running_loop()
        if self._tick_s == 0:
            await self._poked.wait()
            self._poked.clear()
            return 0.0
        now = loop.time()
        if self._next is None:
            self._next = now + self._tick_s
        await asyncio.sleep(self._next - now)
        now = loop.time()
        lag = now - self._next
        # Ticks that were missed altogether are skipped, not made up for: a burst of frames would show it.
        self._next += self._tick_s * (1 + int(lag / self._tick_s))
        return lag
