"""A plain web server over a log's folder: it knows nothing of logs, and answers what tests want it to."""

import asyncio
from pathlib import Path

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer


class WebServer:
    """``bends``: what to answer for a path instead of its file: bytes, a status, or None for 404."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bends: dict[str, bytes | int | None] = {}
        self.asked: list[str] = []
        self.answered = asyncio.Event()
        app = web.Application()
        app.router.add_get("/log/{path:.*}", self._answer)
        self._server = TestServer(app)

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        self.asked.append(path)
        self.answered.set()
        file = self.folder / path
        answer = self.bends[path] if path in self.bends else file.read_bytes() if file.is_file() else None
        if isinstance(answer, int):
            return web.Response(status=answer, headers={"Location": "/log/checkpoint"})
        return web.Response(body=answer) if answer is not None else web.Response(status=404)

    @property
    def url(self) -> str:
        return str(self._server.make_url("/log"))

    async def __aenter__(self) -> "WebServer":
        await self._server.start_server()
        self.session = aiohttp.ClientSession()
        return self

    async def stop(self) -> None:
        """From now on nobody is there."""
        await self._server.close()

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()
        await self.stop()
