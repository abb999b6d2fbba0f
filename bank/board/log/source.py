"""
Where a log's files are read from: a folder, or a web server. Whoever reads checks; a source only fetches.
"""

import asyncio
from pathlib import Path
from typing import Protocol

import aiohttp

from bank.board.log.checkpoint import origin_of
from bank.board.log.note import MOST_NOTE_BYTES
from bank.board.log.tiles import ENTRIES, WIDTH, Tile
from bank.board.log.tree import HASH_BYTES
from mixmint.errors import MalformedMessage, PeerError, Unavailable

CHECKPOINT = "checkpoint"
BANK = "api/v1/bank"
"""What a board answers there isn't a file of the log; folders and mirrors have none."""
MOST_BANK_BYTES = 1 << 18
MOST_BUNDLE_BYTES = WIDTH * (2 + 32_768)
"""No entry of a board is longer than 32 KiB, so a hostile one can't make a reader hold more than this."""


class TileSource(Protocol):
    """A log's files by their paths."""

    name: str
    """For people: where it is."""

    async def read(self, path: str) -> bytes | None:
        """
        The file's bytes, unchecked but for their number; None when there is no such file.

        Raises Unavailable (try again later), PeerError, MalformedMessage("size").
        """


def most_bytes(path: str) -> int:
    """How long a file of a log may be."""
    if path == BANK:
        return MOST_BANK_BYTES
    tile = Tile.parse(path)
    if tile is None:
        return MOST_NOTE_BYTES
    return MOST_BUNDLE_BYTES if tile.level == ENTRIES else WIDTH * HASH_BYTES


class FolderSource:
    """A folder, as a board or a mirror wrote it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = str(folder)

    async def read(self, path: str) -> bytes | None:
        return await asyncio.to_thread(self._read, path)

    def _read(self, path: str) -> bytes | None:
        try:
            with (self._folder / path).open("rb") as file:
                data = file.read(most_bytes(path) + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Unavailable(f"can't read {self._folder / path}: {error.strerror}") from None
        if len(data) > most_bytes(path):
            raise MalformedMessage("size")
        return data


class HttpSource:
    """A log on the web. ``url``: its prefix, e.g. ``https://board.example.org``."""

    def __init__(self, url: str, session: aiohttp.ClientSession, *, timeout_s: float = 10.0) -> None:
        self._url = url.rstrip("/") + "/"
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self.name = url
        self.origin = origin_of(url)

    async def read(self, path: str) -> bytes | None:
        try:
            async with self._session.get(
                self._url + path, timeout=self._timeout, allow_redirects=False
            ) as response:
                if response.status == 404:
                    return None
                if response.status >= 500 or response.status == 429:
                    raise Unavailable(f"the board at {self.name} answers {response.status}; try again later")
                if response.status != 200:
                    raise PeerError("status", f"{response.status} for {path}")
                return await _read_bounded(response, most_bytes(path))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(
                f"the board at {self.name} can't be reached ({type(error).__name__}); is it running?"
            ) from None


async def _read_bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_chunked(1 << 16):
        parts.append(part)
        size += len(part)
        if size > most:
            raise MalformedMessage("size")
    return b"".join(parts)
