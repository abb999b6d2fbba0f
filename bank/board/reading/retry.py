"""A source of a log's files that is asked again: one lost connection is no reason to give up."""

import asyncio

from bank.board.log.source import TileSource
from mixmint.errors import Unavailable

_ATTEMPTS = 3
_FIRST_PAUSE_S = 0.1


class Patient:
    """Reads from ``source``, and asks up to three times before it says that it is unavailable."""

    def __init__(self, source: TileSource) -> None:
        self._source = source
        self.name = source.name

    async def read(self, path: str) -> bytes | None:
        pause_s = _FIRST_PAUSE_S
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._source.read(path)
            except Unavailable:
                await asyncio.sleep(pause_s)
                pause_s *= 2
        return await self._source.read(path)
