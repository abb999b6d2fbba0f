"""
A parent's side of a conversation with a child process: `Child`. `mixmint.child` is the other side.

Processes, not threads: what is many small operations would take turns at the interpreter's lock instead of
running side by side.
"""

import asyncio
import socket
import subprocess
import sys

from mixmint.child import LENGTH_BYTES, framed


class Child:
    """
    One child process, ``python -m <module>``, and the socket to it. Started at first use, and again after
    `stop`; its first message is ``greeting``, if there is one.

    One question at a time. Whoever gives up waiting must call `stop`: half an answer may be on its way,
    and the next question must not get it.
    """

    def __init__(self, module: str, greeting: bytes = b"") -> None:
        self._module = module
        self._greeting = greeting
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    @property
    def pid(self) -> int:
        """The process's id; 0 when none runs."""
        return self._process.pid if self._process else 0

    async def ask(self, request: bytes) -> bytes:
        """Send a request, receive its answer. EOFError, OSError: the process is gone."""
        loop = asyncio.get_running_loop()
        if self._socket is None:
            self._socket = self._start()
            if self._greeting:
                await loop.sock_sendall(self._socket, framed(self._greeting))
        await loop.sock_sendall(self._socket, framed(request))
        length = int.from_bytes(await self._exactly(loop, LENGTH_BYTES))
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
            # -I: neither environment nor working folder decides what code gets our secrets.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", self._module],
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
