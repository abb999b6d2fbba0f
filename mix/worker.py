"""
Unwrapping on other cores: `Workers` keeps child processes (`mix.unwrapper`) and gives them batches.

Processes, not threads: unwrapping is many small operations, and threads would take turns at the
interpreter's lock instead of running side by side.
"""

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping

from mix.packet.batch import Batch, decode_batch, unwrap_batch
from mix.packet.command import CommandType
from mix.packet.geometry import KeyId
from mix.unwrapper import LENGTH_BYTES, encode_keys
from mixmint.errors import Unavailable

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

    def __init__(self, secrets: Mapping[KeyId, bytes], expected: CommandType, count: int) -> None:
        self._secrets = dict(secrets)
        self._expected = expected
        self._count = count
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        self._all: list[_Worker] = []
        self._closed = False

    async def __aenter__(self) -> "Workers":
        self._all = [_Worker(encode_keys(self._secrets, self._expected)) for _ in range(self._count)]
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
                _log.warning("an unwrapping process ended (%s); starting another", type(error).__name__)
                worker.stop()
            except asyncio.CancelledError:
                worker.stop()  # half a batch may be on its way; the next one must not read its answer
                raise
            finally:
                self._idle.put_nowait(worker)
        raise Unavailable("unwrapping processes end unexpectedly; is the machine out of memory?")


class _Worker:
    """One child process and the socket to it. Started at first use, and again after `stop`."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    async def ask(self, batch: bytes) -> bytes:
        """Send a batch, receive its result. EOFError, OSError: the process is gone."""
        loop = asyncio.get_running_loop()
        if self._socket is None:
            self._socket = self._start()
            await loop.sock_sendall(self._socket, _framed(self._keys))
        await loop.sock_sendall(self._socket, _framed(batch))
        length = int.from_bytes(await self._exactly(loop, LENGTH_BYTES), "big")
        return bytes(await self._exactly(loop, length))

    def stop(self) -> None:
        """Let the process end: it reads end-of-file. Killed if it is in the middle of something."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            # -I: neither environment nor working folder decides what code gets the keys.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "mix.unwrapper"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
            )
        ours.setblocking(False)
        return ours

    async def _exactly(self, loop: asyncio.AbstractEventLoop, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            if self._socket is None:
                raise EOFError
            received = await loop.sock_recv_into(self._socket, view)
            if received == 0:
                raise EOFError
            view = view[received:]
        return data


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(LENGTH_BYTES, "big") + message
