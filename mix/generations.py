"""
A daemon's parts, made anew for each directory and each set of keys.

What a node does (workers, links, pool, intake) hangs together by its directory and its keys. So when either
changes, all of it is stopped and started as one, a *generation*; what outlives it is on disk or beside it:
the pool file, the database, the replay filter, the sockets. A change loses no more than a restart does, which
is nothing.

    hear(directory)     a newer directory
    house.turn()        keys come and go, while nothing runs
    open(generation)    the parts, as an async context

A directory that has no place for us (not admitted yet, removed) opens nothing: the generation before goes on
until its keys have ended.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Protocol

from mix.directory import Directory, Node
from mix.keys import NodeKeys
from mixmint.errors import UserError

TURN_AGAIN_S = 60.0
"""After a turn that failed (a full disk), the next try: each costs a stop."""

_log = logging.getLogger("mix.generations")


@dataclass(frozen=True)
class Generation:
    """What a daemon's parts are made for."""

    directory: Directory
    node: Node
    keys: NodeKeys


class House(Protocol):
    """What is done while nothing runs."""

    def is_due(self) -> bool:
        """Whether `turn` has something to do."""

    def turn(self) -> None:
        """Do it. Raises UserError when something can't be written; it will be tried again."""


class Generations:
    """
    One generation at a time; an async context manager. `run` is a loop of the daemon.

    ``fit(directory)``: what we are in it; raises UserError when there is no place for us.
    ``open_parts(generation)``: its parts.
    """

    def __init__(
        self,
        fit: Callable[[Directory], Generation],
        open_parts: Callable[[Generation], AbstractAsyncContextManager[None]],
        house: House,
    ) -> None:
        self._fit = fit
        self._open_parts = open_parts
        self._house = house
        self._newest: Directory | None = None
        self._parts = AsyncExitStack()
        self._renewal: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self.now: Generation | None = None
        """The one that runs."""
        self._last: Directory | None = None
        self._failed: Directory | None = None
        self._turn_from = 0.0
        self.why_not = "no directory yet"
        """Why the newest directory isn't used; empty when it is."""

    def hear(self, directory: Directory) -> None:
        """A newer directory."""
        self._newest = directory
        self._woken.set()

    async def run(self, look_s: Callable[[], float]) -> None:
        """Renew when there is a reason; ``look_s()``: how often to look for one. Ends by an error only."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(look_s()):
                    await self._woken.wait()
            self._woken.clear()
            # Begun, it is finished, also when we are stopped meanwhile: half a generation would be left.
            self._renewal = asyncio.create_task(self.renew())
            await asyncio.shield(self._renewal)

    async def renew(self) -> None:
        """
        Make the generation that fits what is known now, if another one runs, or none.

        Raises UserError when it can't be opened, and no earlier one either.
        """
        now = asyncio.get_running_loop().time()
        is_due = now >= self._turn_from and self._house.is_due()
        # What could not be opened isn't tried again and again: each time costs a stop.
        usable = None if self._newest is self._failed else self._newest
        wanted = self._place(usable)
        is_newer = wanted is not None and (self.now is None or self.now.directory is not wanted.directory)
        if not is_due and not is_newer:
            return
        await self._close()
        if is_due:
            try:
                self._house.turn()
            except UserError as error:
                _log.error("keys can't be turned now: %s", error)
                self._turn_from = now + TURN_AGAIN_S
        if not await self._open(usable):
            await self._open(self._last, is_last=True)

    async def _open(self, directory: Directory | None, *, is_last: bool = False) -> bool:
        """Whether a generation runs. ``is_last``: a failure is the end."""
        generation = self._place(directory, is_last=is_last)
        if generation is None:
            return False
        parts = AsyncExitStack()
        try:
            await parts.enter_async_context(self._open_parts(generation))
        except UserError as error:
            if is_last or self._last is None or self._last is directory:
                raise
            _log.error("directory %d can't be used: %s", generation.directory.sequence, error)
            self.why_not, self._failed = str(error), directory
            return False
        self._parts, self.now, self._last = parts, generation, generation.directory
        return True

    def _place(self, directory: Directory | None, *, is_last: bool = False) -> Generation | None:
        if directory is None:
            return None
        why_not, generation = "", None
        try:
            generation = self._fit(directory)
        except UserError as error:
            why_not = str(error)
        if not is_last and why_not != self.why_not:
            self.why_not = why_not
            if why_not:
                _log.warning("directory %d has no place for us: %s", directory.sequence, why_not)
        return generation

    async def _close(self) -> None:
        self.now = None
        parts, self._parts = self._parts, AsyncExitStack()
        await parts.aclose()

    async def __aenter__(self) -> "Generations":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._renewal is not None:
            await asyncio.gather(self._renewal, return_exceptions=True)
        await self._close()
