"""Where files come from: a folder and a web server that may be hostile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from bank.board.log.source import MOST_BUNDLE_BYTES, FolderSource, HttpSource, TileSource
from mixmint.errors import MalformedMessage, PeerError, Unavailable
from tests.unit.bank.board.log.logs import published

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[HttpSource]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a server with one handler for everything, and a source that reads from it."""
    runners: list[web.ServerRunner] = []
    async with aiohttp.ClientSession() as session:

        async def start(handler: Handler) -> HttpSource:
            runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
            runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return HttpSource(f"http://127.0.0.1:{runner.addresses[0][1]}/log/", session, timeout_s=1)

        yield start
        for runner in runners:
            await runner.cleanup()


async def test_a_folder_and_a_web_server_of_it_are_alike(tmp_path: Path, serve: Serve) -> None:
    """The same bytes by the same paths; None for what isn't there."""
    folder, _ = published(tmp_path, 300)

    async def files(request: web.Request) -> web.StreamResponse:
        path = tmp_path / request.path.removeprefix("/log/")
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    over_http = await serve(files)
    sources: list[TileSource] = [FolderSource(tmp_path), over_http]
    for path in ("checkpoint", "tile/0/000", "tile/0/001.p/44", "tile/entries/000", "tile/0/002"):
        for source in sources:
            assert await source.read(path) == folder.read(path)
    assert over_http.origin.startswith("127.0.0.1:")
    assert over_http.origin.endswith("/log")


async def test_compressed_answers_are_read(serve: Serve) -> None:
    """Bundles may be served gzipped."""

    async def zipped(request: web.Request) -> web.StreamResponse:
        answer = web.Response(body=b"\0\1a" * 256)
        answer.enable_compression(web.ContentCoding.gzip)
        return answer

    assert await (await serve(zipped)).read("tile/entries/000") == b"\0\1a" * 256


@pytest.mark.parametrize("path", ["checkpoint", "tile/0/000", "tile/entries/000"])
async def test_an_endless_answer_is_cut(serve: Serve, path: str) -> None:
    """Nobody makes a reader hold more than a file of this kind can have, compressed or not."""
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        answer = web.StreamResponse()
        answer.enable_compression(web.ContentCoding.gzip)
        await answer.prepare(request)
        while sent < 4 * MOST_BUNDLE_BYTES:
            await answer.write(bytes(1 << 20))
            sent += 1 << 20
        return answer

    with pytest.raises((MalformedMessage, Unavailable)):
        await (await serve(endless)).read(path)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, Unavailable),
        (503, Unavailable),
        (429, Unavailable),
        (302, PeerError),
        (403, PeerError),
        (204, PeerError),
    ],
)
async def test_what_other_answers_mean(serve: Serve, status: int, error: type[Exception]) -> None:
    """Later, or never; a redirection leads nowhere."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": "/log/checkpoint"})

    with pytest.raises(error):
        await (await serve(answer)).read("tile/0/000")


async def test_a_server_that_is_away_or_silent(serve: Serve) -> None:
    """Unavailable, in bounded time."""
    asked = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.sleep(60)
        return web.Response()

    with pytest.raises(Unavailable, match="can't be reached"):
        await (await serve(silent)).read("checkpoint")
    assert asked.is_set()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(Unavailable, match="can't be reached"):
            await HttpSource("http://127.0.0.1:9", session).read("checkpoint")


async def test_a_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """From a folder too: it may be somebody else's."""
    (tmp_path / "tile/0").mkdir(parents=True)
    (tmp_path / "tile/0/000").write_bytes(bytes(8193))
    with pytest.raises(MalformedMessage):
        await FolderSource(tmp_path).read("tile/0/000")
    (tmp_path / "tile/0/001").mkdir()
    with pytest.raises(Unavailable):
        await FolderSource(tmp_path).read("tile/0/001")
