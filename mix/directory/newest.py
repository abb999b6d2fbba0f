"""
The newest directory for everything that isn't a node: commands, which look once in a while, and services,
which follow.

Both keep what they believed beside their keys, so that neither goes back. A command looks only when its copy
has grown old, for a short time, and goes on without: being offline is no reason not to look at one's coins.

Source: docs/spec/directory.md, section 6.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from mix.directory.document import Directory
from mix.directory.fetching import HttpSource
from mix.directory.following import (
    LONGEST_PERIOD_S,
    PERIODS_PER_EPOCH,
    SHORTEST_PERIOD_S,
    fetch_first,
    known_directories,
    open_following,
)
from mix.directory.network import load_network_file
from mixmint.errors import UserError

LOOK_S = 3.0
_log = logging.getLogger("mix.directory")


def newest_directory(network: Path, kept: Path, now_s: float) -> Directory:
    """
    The newest believed directory: of the network file, of the copy at ``kept``, or of a source, which is
    asked when the copy is older than a hundredth of an epoch.

    Raises UserError, one line, when there is none.
    """
    if load_network_file(network).sources and _is_old(network, kept, now_s):
        try:
            kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # In a thread of its own: commands may be in the middle of a loop, and this one is short.
            with ThreadPoolExecutor(1) as pool:
                pool.submit(lambda: asyncio.run(_look(network, kept, now_s))).result()
            if kept.exists():
                os.utime(kept)
        except (UserError, OSError) as error:
            _log.warning("no look for a newer directory: %s", error)
    return known_directories(network, kept, now_s)[-1].directory


def directory_of(network: Path, now_s: float) -> Directory:
    """
    The same for who has no place of his own to keep it in: sources are asked each time. Raises UserError.
    """
    with TemporaryDirectory() as folder:
        return newest_directory(network, Path(folder) / "directory", now_s)


@asynccontextmanager
async def followed(network: Path, kept: Path, use: Callable[[Directory], None]) -> AsyncIterator[None]:
    """
    Follow while a service runs; ``use`` is called with each newer directory. Raises UserError at the start.
    """
    async with _session() as session:
        following = open_following(network, kept, time.time, lambda url: HttpSource(url, session))
        following.subscribe(use)
        use(following.directory)
        task = asyncio.create_task(following.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _is_old(network: Path, kept: Path, now_s: float) -> bool:
    try:
        looked_s = kept.stat().st_mtime
        epoch_s = known_directories(network, kept, now_s)[-1].directory.epoch_s
    except (OSError, UserError):
        return True
    period_s = min(max(epoch_s / PERIODS_PER_EPOCH, SHORTEST_PERIOD_S), LONGEST_PERIOD_S)
    # A copy from the future is one that a wrong clock touched.
    return not 0 <= time.time() - looked_s < period_s


async def _look(network: Path, kept: Path, now_s: float) -> None:
    """Look once at all sources, for LOOK_S. Raises UserError when what came can't be written."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_S), _session() as session:
            await _ask(network, kept, now_s, session)


async def _ask(network: Path, kept: Path, now_s: float, session: aiohttp.ClientSession) -> None:
    try:
        following = open_following(network, kept, lambda: now_s, lambda url: HttpSource(url, session))
    except UserError:
        sources = [HttpSource(url, session) for url in load_network_file(network).sources]
        await fetch_first(network, kept, sources, now_s)
    else:
        await following.look()


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
