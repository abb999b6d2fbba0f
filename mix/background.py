"""The loops of a daemon: started together, stopped together, and none dies unnoticed."""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from mixmint.errors import FatalError, MixmintError

_log = logging.getLogger("mix.background")


class Background:
    """
    Runs a daemon's loops; an async context manager.

    When one ends by an error the daemon can't go on: it is stopped as by SIGTERM, which finishes what is in
    hand, and leaving the context raises FatalError, so that the exit code tells.
    """

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: BaseException | None = None

    @property
    def failed(self) -> bool:
        return self._failure is not None

    async def __aenter__(self) -> "Background":
        return self

    def start(self, loop: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(loop)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._failure is not None:
            return
        self._failure = task.exception()
        if self._failure is not None:
            # What was foreseen (a full disk) is one line, and the exit says it; a defect needs its traceback.
            foreseen = isinstance(self._failure, MixmintError)
            _log.critical(
                "a loop of this daemon failed; stopping", exc_info=None if foreseen else self._failure
            )
            signal.raise_signal(signal.SIGTERM)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._failure is not None and error is None:
            raise FatalError(str(self._failure))
