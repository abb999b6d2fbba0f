"""
The board's side of the map: `MapKeeper` asks a child process (`bank.board.map.worker`) for roots and proofs.

The order of things: the board makes a round durable -> ``advance`` to its end gives the root -> the board
logs it as a MAP entry of a later round -> that round is published -> ``published``: from now on proofs are
for that root, and older files go. Nothing of it must survive a crash: the log is the truth, a MAP entry that
wasn't logged is asked for again, and what the board has published it says again at its next start.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from bank.board.map.file import MapRoot
from bank.board.map.proof import MapProof
from bank.board.map.worker import greeting, prove_request, read_proof, read_root, step_request
from mixmint.errors import Unavailable, UserError
from mixmint.parent import Child

ATTEMPTS = 2
STEP_TIMEOUT_S = 300.0
"""A step over a million coins takes half a second; only a stopped or starved process takes so long."""
PROOF_TIMEOUT_S = 10.0
MOST_WAITING = 64
"""Proofs, of a millisecond each for a million coins. Who comes when so many wait is asked to come again."""

_BUSY = "the board is busy with proofs; try again in a moment"
_STOPPING = "the board is stopping"
_log = logging.getLogger("bank.board.map")
T = TypeVar("T")


class _Job(NamedTuple):
    request: bytes
    answer: "asyncio.Future[bytes]"


class MapKeeper:
    """
    The map of the log in ``log``, its files in ``folder``; an async context manager.

    Any number of tasks may ask. The process starts with the first question, and again when it dies.
    """

    def __init__(self, folder: Path, log: Path) -> None:
        self._child = Child("bank.board.map.worker", greeting(folder.absolute(), log.absolute()))
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._published = 0
        self._task: asyncio.Task[None] | None = None
        self.restarts = 0
        """How often the process had to be replaced; for the operator's figures."""

    async def __aenter__(self) -> "MapKeeper":
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._child.stop()
        while not self._jobs.empty():
            _fail(self._jobs.get_nowait(), Unavailable(_STOPPING))

    @property
    def pid(self) -> int:
        """The child's process id, 0 when none runs; for tests."""
        return self._child.pid

    def published(self, size: int) -> None:
        """
        The MAP entry for ``size`` leaves is published (or was, before a restart): proofs are for it now.

        Costs nothing here; older files are removed with the next step.
        """
        self._published = size

    async def advance(self, size: int) -> MapRoot:
        """
        The map's root over the log's first ``size`` leaves, whose files are on disk.

        After a start it may have to read the whole log, step by step; proofs are answered in between.
        Cancelled or failed, it is asked again. Raises Unavailable: the log is damaged (which file), the disk
        is full, the process ends unexpectedly.
        """
        while True:
            root = await self._ask(step_request(self._published, size), read_root, None)
            if root.size == size:
                return root

    async def prove(self, coin: bytes) -> tuple[int, MapProof]:
        """
        What the newest published map says of a coin (32 bytes): the map's size, and the proof.

        Raises Unavailable: no map is published yet, too many ask, the map is being made again.
        """
        size = self._published
        if size == 0:
            raise Unavailable("the board has published no map yet; try again later")
        if self._jobs.qsize() >= MOST_WAITING:
            raise Unavailable(_BUSY)
        while True:
            proof = await self._ask(prove_request(size, coin), read_proof, PROOF_TIMEOUT_S)
            if proof is not None:
                return size, proof
            await self._ask(step_request(size, size), read_root, PROOF_TIMEOUT_S)

    async def _ask(self, request: bytes, read: Callable[[bytes], T], timeout_s: float | None) -> T:
        if self._task is None:
            raise Unavailable(_STOPPING)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait(_Job(request, answer))
        try:
            async with asyncio.timeout(timeout_s):
                # Who stops waiting cancels his answer, never the work: the next one needs it too.
                return read(await answer)
        except TimeoutError:
            raise Unavailable(_BUSY) from None
        except UserError as error:
            raise Unavailable(f"there is no map now: {error}") from None

    async def _work(self) -> None:
        """Ask the child one thing after the other; until cancelled."""
        while True:
            job = await self._jobs.get()
            if job.answer.done():
                continue
            try:
                answer = await self._asked(job.request)
            except Unavailable as error:
                _fail(job, error)
                continue
            except asyncio.CancelledError:
                _fail(job, Unavailable(_STOPPING))
                raise
            if not job.answer.done():
                job.answer.set_result(answer)

    async def _asked(self, request: bytes) -> bytes:
        for _ in range(ATTEMPTS):
            try:
                async with asyncio.timeout(STEP_TIMEOUT_S):
                    return await self._child.ask(request)
            except (EOFError, OSError, TimeoutError) as error:
                # Nothing is lost with it: what it was asked changes nothing that isn't derived.
                _log.warning("the map's process ended (%s); starting another", type(error).__name__)
                self._child.stop()
                self.restarts += 1
        raise Unavailable("its process ends unexpectedly; is the machine out of memory?")


def _fail(job: _Job, error: Unavailable) -> None:
    if not job.answer.done():
        job.answer.set_exception(error)
