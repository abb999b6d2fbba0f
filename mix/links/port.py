"""
A node's link port: one socket for as long as the node runs, whichever peers it has.

A `LinkServer` knows the peers of one directory; the port gives each request to the one of now. In between,
when none is there, requests wait.
"""

import asyncio
import ssl
from contextlib import suppress

from aiohttp import web

from mix.directory import Node
from mix.links.front import Front, Refused, answer
from mix.links.server import LinkServer
from mix.links.tls import add_trust, link_server_context
from mix.settings import NodeSettings

SHORTEST_IDLE_S = 75.0
FINISH_S = 1.0
"""Frames in hand get this long before their server goes; what isn't taken then is sent again."""
LONGEST_WAIT_S = 4.0
"""A request that waits for the next server longer than this is answered: come again."""


class LinkPort:
    """Made once; `use` and `pause` in turns; `stop` at the end."""

    def __init__(self, settings: NodeSettings, refused: Refused) -> None:
        self._settings = settings
        self._refused = refused
        self._front: Front | None = None
        self._context: ssl.SSLContext | None = None
        self._server: LinkServer | None = None
        self._ready = asyncio.Event()
        self._in_hand = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False

    async def use(self, server: LinkServer, peers: list[Node], tick_s: float) -> None:
        """
        Give requests to this server from now on. Listens when it is called first.

        Peers of before still get through the handshake; the server refuses them, by their certificate.

        Raises UserError when the port is taken, or a certificate can't be read.
        """
        settings = self._settings
        pair = settings.certificate_path, settings.key_path
        if self._context is None or self._front is None:
            self._context = link_server_context(*pair, peers, self._refused)
            idle_s = max(SHORTEST_IDLE_S, 4 * tick_s)
            front = Front(self._handle, self._refused, idle_s=idle_s)
            await front.start(settings.link_host, settings.link_port, self._context)
            self._front = front
        else:
            add_trust(self._context, peers, pair)
        self._server = server
        self._ready.set()

    async def pause(self) -> None:
        """Let requests wait; returns when those in hand are answered, or take too long."""
        self._ready.clear()
        server, self._server = self._server, None
        if server is not None:
            await server.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_S):
                await self._idle.wait()

    async def stop(self) -> None:
        """Answer what is in hand, and listen no more."""
        self._stopping = True
        self._ready.set()
        if self._server is not None:
            await self._server.stop()
        if self._front is not None:
            await self._front.stop()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_WAIT_S):
                await self._ready.wait()
        server = self._server
        if server is None or self._stopping:
            return answer(503)
        self._in_hand += 1
        self._idle.clear()
        try:
            return await server.handle(request)
        finally:
            self._in_hand -= 1
            if self._in_hand == 0:
                self._idle.set()
