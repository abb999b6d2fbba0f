"""
Preparing a batch on several cores: a share in this process, the rest in child processes (bank/verifier.py).

Processes, not threads: between two signatures an order is many small operations, and threads would take turns
at the interpreter's lock. A child is never waited for: it is asked only when it is idle and has said that it
is ready, so a bank with few customers has none, and one whose children die goes on alone.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from bank.formats.request import decode_request, subject_of
from bank.ledger import Moment, Prepared, Signer, prepare
from bank.ledger.prepare import Asking, Refusing
from bank.verifier import Said, encode_hand
from mixmint.parent import Child

SHARE = 12
"""Requests that are worth a child's while: asking it costs as much as one or two."""
TIMEOUT_S = 30.0
"""For one share; 256 orders take 0.05 s. Only a stopped or starved process takes so long."""
RETRY_S = 60.0
_GONE = EOFError, OSError, TimeoutError, msgspec.DecodeError
"""What asking a child may end with: it is dead, hangs, or isn't itself any more."""

_log = logging.getLogger("bank.verifying")


class Verifiers:
    """
    ``processes``: how many prepare at a time, this one included. Used inside an event loop, and closed there.
    """

    def __init__(self, signer: Signer, processes: int) -> None:
        self._signer = signer
        self._hand = encode_hand(signer)
        self._here = ThreadPoolExecutor(1, "verify")
        self._asleep = processes - 1
        """Children that don't run."""
        self._all: set[Child] = set()
        self._idle: list[Child] = []
        self._waking: set[asyncio.Task[None]] = set()
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[list[Said]] = msgspec.msgpack.Decoder(list[Said])

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the children that are idle now."""
        return tuple(child.pid for child in self._idle)

    async def prepare(self, bodies: Sequence[bytes], moment: Moment) -> list[Prepared]:
        """``bank.ledger.prepare`` for each of them, in order."""
        worth = len(bodies) // SHARE - 1
        if worth > 0:
            self._wake()
        helpers = min(len(self._idle), worth)
        if helpers <= 0:
            return await self._prepare_here(bodies, moment)
        share = -(-len(bodies) // (helpers + 1))
        # Ours is the first: it is the largest when they don't come out even.
        parts = await asyncio.gather(
            self._prepare_here(bodies[:share], moment),
            *(
                self._prepare_there(self._idle.pop(), bodies[start : start + share], moment)
                for start in range(share, len(bodies), share)
            ),
        )
        return [prepared for part in parts for prepared in part]

    async def ready(self) -> None:
        """Start the children, and wait until all of them are ready or gone."""
        self._wake()
        while self._waking:
            await asyncio.wait(self._waking)

    async def close(self) -> None:
        """End the children, once nobody prepares any more."""
        self._asleep = 0
        for task in self._waking:
            task.cancel()
        for child in self._all:
            child.stop()
        self._here.shutdown()

    async def _prepare_here(self, bodies: Sequence[bytes], moment: Moment) -> list[Prepared]:
        def work() -> list[Prepared]:
            return [prepare(body, self._signer, moment) for body in bodies]

        return await asyncio.get_running_loop().run_in_executor(self._here, work)

    async def _prepare_there(self, child: Child, bodies: Sequence[bytes], moment: Moment) -> list[Prepared]:
        try:
            said = await self._ask(child, bodies, moment)
        except _GONE as error:
            # Preparing changes nothing, so it can be done again.
            _log.warning("a verifying process ended (%s); another will be started", type(error).__name__)
            self._gone(child)
            return await self._prepare_here(bodies, moment)
        except BaseException:
            # Half an answer may be on its way; the next one must not read it.
            self._gone(child)
            raise
        self._idle.append(child)
        return [_prepared(body, each) for body, each in zip(bodies, said, strict=True)]

    async def _ask(self, child: Child, bodies: Sequence[bytes], moment: Moment) -> list[Said]:
        request = self._encoder.encode((moment.closed, moment.epoch, bodies))
        async with asyncio.timeout(TIMEOUT_S):
            said = self._decoder.decode(await child.ask(request))
        if len(said) != len(bodies):
            raise msgspec.ValidationError("not an answer for each request")
        return said

    def _wake(self) -> None:
        """Start the children that don't run. They are of use once they have answered."""
        while self._asleep:
            self._asleep -= 1
            child = Child("bank.verifier", self._hand)
            self._all.add(child)
            task = asyncio.get_running_loop().create_task(self._woken(child))
            self._waking.add(task)
            task.add_done_callback(self._waking.discard)

    async def _woken(self, child: Child) -> None:
        try:
            await self._ask(child, (), Moment(0, 0))
        except _GONE as error:
            _log.warning("a verifying process doesn't start (%s)", type(error).__name__)
            # Not at once: what keeps it from starting may take a while.
            asyncio.get_running_loop().call_later(RETRY_S, self._gone, child)
        else:
            self._idle.append(child)

    def _gone(self, child: Child) -> None:
        child.stop()
        self._all.discard(child)
        self._asleep += 1


def _prepared(body: bytes, said: Any) -> Prepared:
    if said is None:
        request = decode_request(body)
        return Asking(request, subject_of(request))
    return Refusing(said) if isinstance(said, bytes) else said
