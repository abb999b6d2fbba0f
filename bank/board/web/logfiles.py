"""
The log over HTTP, as C2SP tlog-tiles says: ``/checkpoint`` and ``/tile/...``, the files of the log's folder.

A request's path is read into a tile's numbers, and the file's path is made from those: no text of a request
ever reaches the file system.
"""

import asyncio
import gzip
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from bank.board.log.folder import TileFolder
from bank.board.log.source import CHECKPOINT
from bank.board.log.tiles import ENTRIES, Tile
from bank.board.web.api import ASK_AGAIN, NEVER_CHANGES, answer_cached
from bank.board.web.endpoints import Endpoint, Parameter
from mixmint.errors import Unavailable

AT_ONCE = 64
"""Files in memory at a time, each 8 MiB at most, and mostly below 40 KB."""
MOST_WAITING = 1024
ANSWER_WITHIN_S = 30.0

PATH = Parameter(
    "path", "a tile's path, e.g. 0/x001/x234/067.p/5 or entries/005", place="path", pattern="^[0-9a-z./]+$"
)


class LogFiles:
    """
    The handlers. Like any web server's, they show what is there: a round's tiles a moment before the
    checkpoint that makes them count.
    """

    def __init__(self, folder: TileFolder) -> None:
        self._folder = folder
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        # Its own threads: a flood of readers must not keep rounds from being written.
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="tiles")

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "/checkpoint",
                "The log's newest checkpoint, a signed note (C2SP tlog-checkpoint)",
                self.checkpoint,
                media_type="text/plain",
                statuses=(404, 503),
            ),
            Endpoint(
                "/tile/{path}",
                "Hashes and entries (C2SP tlog-tiles)",
                self.tile,
                media_type="application/octet-stream",
                parameters=(PATH,),
                statuses=(404, 503),
                route="/tile/{path:.+}",
            ),
        ]

    def close(self) -> None:
        """Finish what is being read."""
        self._threads.shutdown()

    async def checkpoint(self, request: web.Request) -> web.StreamResponse:
        data = await self._read(lambda: self._folder.read(CHECKPOINT))
        if data is None:
            raise web.HTTPNotFound
        return answer_cached(request, data, "text/plain", ASK_AGAIN)

    async def tile(self, request: web.Request) -> web.StreamResponse:
        tile = Tile.parse("tile/" + request.match_info["path"])
        if tile is None:
            raise web.HTTPNotFound
        if self._waiting >= MOST_WAITING:
            raise Unavailable("too many ask at once; try again in a moment")
        self._waiting += 1
        try:
            async with self._slots:
                return await self._answer(request, tile)
        finally:
            self._waiting -= 1

    async def _answer(self, request: web.Request, tile: Tile) -> web.StreamResponse:
        zipped = tile.level == ENTRIES and takes_gzip(request)
        data = await self._read(lambda: _file(self._folder, tile, zipped=zipped))
        if data is None:
            raise web.HTTPNotFound
        headers = {"Cache-Control": NEVER_CHANGES}
        if tile.level == ENTRIES:
            headers["Vary"] = "Accept-Encoding"
        if zipped:
            headers["Content-Encoding"] = "gzip"
        response = web.Response(body=data, content_type="application/octet-stream", headers=headers)
        try:
            # Sent here, so that the slot is held as long as the bytes are.
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await response.prepare(request)
                await response.write_eof()
        except (ConnectionError, TimeoutError):
            # He is gone, or doesn't read: his slot is for the next one.
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _read(self, work: Callable[[], bytes | None]) -> bytes | None:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def takes_gzip(request: web.Request) -> bool:
    """Whether the client asked for it."""
    for one in request.headers.get("Accept-Encoding", "").split(","):
        name, _, weight = one.partition(";")
        if name.strip().lower() == "gzip":
            return weight.replace(" ", "").lower() not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def _file(folder: TileFolder, tile: Tile, *, zipped: bool) -> bytes | None:
    data = folder.read(tile.path())
    # Keys and signatures are random, so a higher level saves nothing more; mtime 0: same bytes, same answer.
    return gzip.compress(data, compresslevel=1, mtime=0) if data is not None and zipped else data
