"""
What others ask of an authority over HTTP.

    GET  /directory         the newest signed directory; 404 before the first
    GET  /directory/N       the one of number N
    POST /v1/descriptor     a descriptor that is newer: 204, or 200 if it wasn't; 403 when it isn't admitted
    POST /v1/agreement      an authority's message: its answer
    POST /v1/directory      a signed directory: 204

What is wrong with a request shows in our counters only: the answer is status 400 and empty.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from mix.directory.agreement.messages import MOST_ENVELOPE_BYTES
from mix.directory.authority.turns import Authority
from mix.directory.belief import News
from mix.directory.descriptor import MOST_BYTES as MOST_DESCRIPTOR_BYTES
from mix.directory.verify import MOST_BYTES
from mixmint.errors import MalformedMessage, UserError

MOST_AT_A_TIME = 8
"""Bodies read at a time: what strangers can make us hold in memory is bounded."""
READ_S = 10.0
_BINARY = "application/octet-stream"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AuthorityPort:
    """The HTTP side; ``heard`` is called when a directory or a descriptor came that was new."""

    def __init__(self, authority: Authority, registry: CollectorRegistry, heard: Callable[[], None]) -> None:
        self._authority = authority
        self._heard = heard
        self._reading = asyncio.Semaphore(MOST_AT_A_TIME)
        self._requests = Counter(
            "mixmint_directory_requests", "Requests, by what became of them", ["outcome"], registry=registry
        )

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MOST_ENVELOPE_BYTES)
        app.router.add_get("/directory", self._newest)
        app.router.add_get(r"/directory/{sequence:[0-9]{1,10}}", self._numbered)
        app.router.add_post("/v1/descriptor", self._guarded(self._descriptor))
        app.router.add_post("/v1/agreement", self._guarded(self._agreement))
        app.router.add_post("/v1/directory", self._guarded(self._directory))
        return app

    async def _newest(self, _: web.Request) -> web.Response:
        newest = self._authority.files.newest
        return self._file(None if newest is None else newest.signed, "no-cache")

    async def _numbered(self, request: web.Request) -> web.Response:
        signed = self._authority.files.directory(int(request.match_info["sequence"]))
        return self._file(signed, "public, max-age=31536000, immutable")

    def _file(self, signed: bytes | None, caching: str) -> web.Response:
        self._requests.labels("unknown" if signed is None else "read").inc()
        if signed is None:
            return web.Response(status=404)
        return web.Response(body=signed, content_type=_BINARY, headers={"Cache-Control": caching})

    async def _descriptor(self, request: web.Request) -> web.Response:
        signed = await _body(request, MOST_DESCRIPTOR_BYTES)
        try:
            is_new = self._authority.files.hand_in(signed)
        except MalformedMessage as error:
            if error.reason != "not-admitted":
                raise
            # Whoever holds the identity may know; he sees in the directory whether he is in it.
            self._requests.labels("not-admitted").inc()
            return web.Response(status=403)
        self._requests.labels("descriptor").inc()
        if is_new:
            self._heard()
        return web.Response(status=204 if is_new else 200)

    async def _agreement(self, request: web.Request) -> web.Response:
        answer = self._authority.answer(await _body(request, MOST_ENVELOPE_BYTES))
        self._requests.labels("agreement").inc()
        return web.Response(body=answer, content_type=_BINARY)

    async def _directory(self, request: web.Request) -> web.Response:
        news = self._authority.offer(await _body(request, MOST_BYTES))
        self._requests.labels(f"directory-{news.value}").inc()
        if news is News.NEXT or news is News.LATER:
            self._heard()
        return web.Response(status=204)

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if self._reading.locked():
                self._requests.labels("busy").inc()
                return web.Response(status=503)
            async with self._reading:
                try:
                    return await handler(request)
                except (MalformedMessage, TimeoutError) as error:
                    reason = error.reason if isinstance(error, MalformedMessage) else "slow"
                    self._requests.labels(f"refused-{reason}").inc()
                    return web.Response(status=400)
                except UserError:
                    # The disk is full, or read-only: nothing was said.
                    self._requests.labels("unavailable").inc()
                    return web.Response(status=503)

        return guarded


async def _body(request: web.Request, most: int) -> bytes:
    async with asyncio.timeout(READ_S):
        body = bytearray()
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > most:
                raise MalformedMessage("size")
    return bytes(body)
