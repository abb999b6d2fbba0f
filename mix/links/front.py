"""
A listening socket that strangers can reach.

aiohttp's low-level server, without routes or applications, so that every refusal takes one path: whatever
was wrong, the other side sees status 400 with an empty body (or silence, when it sent no HTTP), and we count
a reason. Bounds, each against somebody who only wants to use us up:

- handshakes, idle connections and slow headers have HANDSHAKE_S and ``idle_s``; slow bodies BODY_S;
- a body must announce its length, and the length is checked before the first byte is read;
- no decompression, small headers, at most ``most_connections`` connections.
"""

import asyncio
import errno
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from mixmint.errors import MalformedMessage, PeerError, UserError

HANDSHAKE_S = 10.0
BODY_S = 20.0
STOP_WITHIN_S = 3.0

_log = logging.getLogger("mix.front")

Refused = Callable[[str], None]
"""Counts one refusal, by its reason."""

Handle = Callable[[web.BaseRequest], Awaitable[web.Response]]


def answer(status: int = 200, body: bytes = b"") -> web.Response:
    """Every answer of a front. The server's name and version are nobody's business."""
    return web.Response(status=status, body=body, headers={"Server": "mixmint"})


def _refusal() -> web.Response:
    response = answer(400)
    # What is left of the body would be read as the next request.
    response.force_close()
    return response


async def read_body(request: web.BaseRequest, is_good_size: Callable[[int], bool]) -> bytes:
    """
    The request's body, its announced length checked first.

    Raises MalformedMessage: ``length`` (none announced, or not a good one), ``slow``, ``truncated``.
    """
    length = request.content_length
    if length is None or not is_good_size(length):
        raise MalformedMessage("length")
    try:
        async with asyncio.timeout(BODY_S):
            body = await request.read()
    except TimeoutError:
        raise MalformedMessage("slow") from None
    except (web.RequestPayloadError, ConnectionError):
        # He went away in the middle: his right, and nothing for the log.
        raise MalformedMessage("truncated") from None
    if len(body) != length:
        raise MalformedMessage("truncated")
    return body


class Front:
    """``handle`` answers a request or raises PeerError; ``refused`` counts refusals by reason."""

    def __init__(
        self, handle: Handle, refused: Refused, *, idle_s: float = 75.0, most_connections: int = 1024
    ) -> None:
        self._handle = handle
        self._refused = refused
        self._web = _Server(self._answer, refused, most_connections, idle_s)
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """
        Listen; without ``tls`` for a port that a proxy with TLS stands before.

        Raises UserError when the port is taken or the address isn't ours.
        """
        loop = asyncio.get_running_loop()
        handshake_s = None if tls is None else HANDSHAKE_S
        try:
            self._server = await loop.create_server(
                self._web, host, port, ssl=tls, backlog=256, ssl_handshake_timeout=handshake_s
            )
        except OSError as error:
            where = f"{host}:{port}"
            if error.errno == errno.EADDRINUSE:
                raise UserError(
                    f"port {where} is in use; stop what listens there, or change the setting"
                ) from None
            raise UserError(f"can't listen on {where}: {error.strerror}") from None

    @property
    def port(self) -> int:
        """The port listened on (0 before `start`): another one than asked for, when 0 was asked for."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server else 0

    async def stop(self) -> None:
        """Take no more connections, finish the requests in hand, close."""
        if self._server is None:
            return
        self._server.close()
        self._web.pre_shutdown()
        await self._web.shutdown(STOP_WITHIN_S)
        self._server = None

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        try:
            if request.method != "POST":
                raise MalformedMessage("method")
            return await self._handle(request)
        except PeerError as error:
            self._refused(error.reason)
            return _refusal()
        except UserError as error:
            # Our own disk, as a rule. The other side may try again when the operator has seen to it.
            _log.error("can't take a request: %s", error)
            self._refused("store")
            return answer(503)


class _Server(web.Server):
    def __init__(self, handler: Any, refused: Refused, most_connections: int, idle_s: float) -> None:
        super().__init__(handler)
        self._refused = refused
        self._most_connections = most_connections
        self._idle_s = idle_s

    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, self._refused, self._idle_s)

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self.connections) > self._most_connections:
            self._refused("connections")
            transport.abort()


class _Protocol(web.RequestHandler):
    """aiohttp's HTTP protocol, with short timeouts, and silent about what was wrong."""

    __slots__ = ("_count_refusal",)

    def __init__(self, server: web.Server, refused: Refused, idle_s: float) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=idle_s,
            access_log=None,  # type: ignore[arg-type] # None means none; aiohttp's annotation forgot it
            max_line_size=256,
            max_field_size=1024,
            max_headers=32,
            lingering_time=0,
            auto_decompress=False,
        )
        self._count_refusal = refused

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Bytes that are no HTTP get status 400, and so does a fault of ours, which is logged."""
        if status == 500:
            _log.error("a request failed", exc_info=exc)
            self._count_refusal("fault")
        else:
            self._count_refusal("http")
        return _refusal()
