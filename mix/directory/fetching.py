"""
Fetching directories over HTTP: the newest, or one by its number, from whoever serves them.

Nothing that comes is believed for where it comes from. The Date header, of several sources, shows a clock
that is wrong.

Source: docs/spec/directory.md, section 6.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Protocol

import aiohttp

from mix.directory.verify import MOST_BYTES
from mixmint.errors import Unavailable

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """Hostile bytes; ``ahead_s``: how far our clock is ahead of this source's, None where it didn't say."""

    signed: bytes = field(repr=False)
    ahead_s: float | None = None


class Source(Protocol):
    """Where directories come from."""

    @property
    def name(self) -> str:
        """For the log."""

    async def fetch(self, sequence: int | None = None) -> Fetched | None:
        """
        The newest directory, or the one of a number; None when it hasn't got it. Raises Unavailable.
        """


class HttpSource:
    """``GET URL/directory`` and ``GET URL/directory/N``."""

    def __init__(
        self, url: str, session: aiohttp.ClientSession, now_s: Callable[[], float] = time.time
    ) -> None:
        self._url = url.rstrip("/")
        self._session = session
        self._now_s = now_s

    @property
    def name(self) -> str:
        return self._url

    async def fetch(self, sequence: int | None = None) -> Fetched | None:
        """See `Source`."""
        url = f"{self._url}/directory" + ("" if sequence is None else f"/{sequence}")
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with self._session.get(url, timeout=timeout, allow_redirects=False) as response:
                if response.status == 404:
                    return None
                if response.status != 200:
                    raise Unavailable(f"{self._url} answers {response.status}")
                signed = await _read_bounded(response.content)
                return Fetched(signed, _ahead_s(response.headers.get("Date", ""), self._now_s()))
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise Unavailable(f"{self._url} can't be reached") from None


async def _read_bounded(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > MOST_BYTES:
            raise Unavailable("a directory of more than 1 MiB")
    return bytes(body)


def _ahead_s(date: str, now_s: float) -> float | None:
    try:
        return now_s - parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
