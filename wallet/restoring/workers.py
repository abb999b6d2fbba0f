"""The processes that derive, one for each core, and what each is asked."""

import asyncio
import os

from mixmint.errors import FatalError
from mixmint.parent import Child
from wallet.restoring.deriving import Run, prefixes


class Workers:
    """
    ``count`` processes (0: in this one, for tests). An async context manager; inside, any number of tasks may
    ask, and wait for the next idle process.
    """

    def __init__(self, seed: bytes, bank: bytes, count: int) -> None:
        self._seed = seed
        self._bank = bank
        self.count = count
        self._idle: asyncio.Queue[Child] = asyncio.Queue()
        self._all: list[Child] = []

    async def __aenter__(self) -> "Workers":
        self._all = [Child("wallet.restoring.worker", self._seed + self._bank) for _ in range(self.count)]
        for child in self._all:
            self._idle.put_nowait(child)
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in self._all:
            child.stop()

    async def prefixes(self, run: Run) -> bytes:
        """As ``deriving.prefixes``. Raises FatalError: a process ended."""
        if not self.count:
            await asyncio.sleep(0)
            return prefixes(self._seed, self._bank, run)
        child = await self._idle.get()
        try:
            return await child.ask(run.encode())
        except (EOFError, OSError) as error:
            child.stop()
            raise FatalError(
                f"a process that derives coins ended ({type(error).__name__}); is the machine out of memory?"
            ) from None
        except asyncio.CancelledError:
            # Half an answer may be on its way.
            child.stop()
            raise
        finally:
            self._idle.put_nowait(child)

    def __repr__(self) -> str:
        return f"Workers({self.count})"


def cores() -> int:
    """How many processes can work at once on this machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
