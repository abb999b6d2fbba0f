"""Unwrapping on other cores: `Workers` keeps child processes (`mix.unwrapper`) and gives them batches."""

import asyncio
import logging
import os
from collections.abc import Mapping

from mix.packet.batch import Batch, Expected, decode_batch, unwrap_batch
from mix.packet.geometry import KeyId
from mix.unwrapper import encode_keys
from mixmint.errors import Unavailable
from mixmint.parent import Child

ATTEMPTS = 2
TIMEOUT_S = 30.0
"""For one batch; 256 packets take 0.02 s. Only a stopped or starved process takes so long."""

_log = logging.getLogger("mix.worker")


class Workers:
    """
    ``count`` child processes that unwrap with these keys; an async context manager.

    With a count of 0, batches are unwrapped in this process, on the event loop: for tests.
    Any number of tasks may call `unwrap`; they wait for the next idle worker.
    """

    def __init__(self, secrets: Mapping[KeyId, bytes], expected: Expected, count: int) -> None:
        self._secrets = dict(secrets)
        self._expected = expected
        self._count = count
        self._idle: asyncio.LifoQueue[Child] = asyncio.LifoQueue()
        self._all: list[Child] = []
        self._closed = False

    async def __aenter__(self) -> "Workers":
        keys = encode_keys(self._secrets, self._expected)
        self._all = [Child("mix.unwrapper", keys) for _ in range(self._count)]
        for worker in self._all:
            self._idle.put_nowait(worker)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        for worker in self._all:
            worker.stop()

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the children that run now; for metrics and tests."""
        return tuple(worker.pid for worker in self._all if worker.pid)

    async def unwrap(self, packets: bytes) -> Batch:
        """
        Unwrap addressed packets (2,286 bytes each).

        A worker that dies over it is replaced and the batch tried once more: unwrapping changes nothing, so
        that is safe. Raises Unavailable if the second one dies too; the caller must not acknowledge.
        """
        if self._count == 0:
            return decode_batch(unwrap_batch(self._secrets, self._expected, packets, os.urandom))
        for _ in range(ATTEMPTS):
            # The one used last comes first: on an idle machine one process's memory stays warm, not all.
            worker = await self._idle.get()
            try:
                if self._closed:
                    raise Unavailable("the node is stopping")
                async with asyncio.timeout(TIMEOUT_S):
                    return decode_batch(await worker.ask(packets))
            except (EOFError, OSError, TimeoutError) as error:
                if self._closed:
                    # It was we who ended it.
                    raise Unavailable("the node is stopping") from None
                _log.warning("an unwrapping process ended (%s); starting another", type(error).__name__)
                worker.stop()
            except asyncio.CancelledError:
                worker.stop()  # half a batch may be on its way; the next one must not read its answer
                raise
            finally:
                self._idle.put_nowait(worker)
        raise Unavailable("unwrapping processes end unexpectedly; is the machine out of memory?")
