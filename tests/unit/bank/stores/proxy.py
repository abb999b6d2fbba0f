"""A proxy between a bank and its PostgreSQL that breaks connections at a chosen word."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Self

SOCKET = ".s.PGSQL.5432"


class Proxy:
    """
    Forwards everything, until the client sends ``word``: then it breaks that connection, ``before`` the
    server has heard the word or after it has answered, and forgets the word. ``is_down``: nobody is let in.
    """

    def __init__(self, server: Path) -> None:
        self._server_path = server / SOCKET
        self.folder = Path(tempfile.mkdtemp(prefix="mixmint-px-"))
        self.word: bytes | None = None
        self.before = True
        self.is_down = False
        self.broken = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_unix_server(self._accept, self.folder / SOCKET)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        self.drop_all()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        shutil.rmtree(self.folder)

    def drop_all(self) -> None:
        """Break every connection."""
        for writer in self._writers:
            writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_down:
            writer.close()
            return
        there_reader, there = await asyncio.open_unix_connection(self._server_path)
        self._writers |= {writer, there}
        broken = asyncio.Event()
        works = (self._up(reader, there, broken), self._down(there_reader, writer, broken))
        tasks = [asyncio.ensure_future(work) for work in works]
        self._tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in (writer, there):
            each.close()
            self._writers.discard(each)

    async def _up(
        self, reader: asyncio.StreamReader, there: asyncio.StreamWriter, broken: asyncio.Event
    ) -> None:
        while data := await reader.read(1 << 16):
            if self.word is not None and self.word in data:
                self.word = None
                self.broken += 1
                if self.before:
                    return
                broken.set()
            there.write(data)

    async def _down(
        self, reader: asyncio.StreamReader, here: asyncio.StreamWriter, broken: asyncio.Event
    ) -> None:
        while data := await reader.read(1 << 16):
            if broken.is_set():
                return
            here.write(data)
