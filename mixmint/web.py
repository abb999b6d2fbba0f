"""
What every daemon's HTTP side shares: listeners, the operations port, and a stop that takes at most 5 s.

No access log exists anywhere: who asked for what, and when, is exactly what must not be written down.
"""

import asyncio
import errno
import logging
import resource
import signal
import ssl
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from mixmint.errors import FatalError, UserError

FINISH_WITHIN_S = 2.0
"""
Requests in hand get this long after SIGTERM. aiohttp waits as long again for a handler that it has cancelled,
so with closing databases a stop stays below 5 s.
"""

_MOST_DESCRIPTORS = 1 << 16

IDLE_S = 75.0
"""A connection that brings nothing, or half a request's head, ends after this; aiohttp's own is an hour."""


@dataclass(frozen=True)
class Listener:
    """One listening socket and the application behind it."""

    app: web.Application
    host: str
    port: int
    tls: ssl.SSLContext | None = None
    most_connections: int = 1024
    """At a time. Who comes beyond them is disconnected; never more than half of the process's descriptors."""


def operations_app(registry: CollectorRegistry, health: Callable[[], dict[str, object]]) -> web.Application:
    """``GET /healthz`` and ``GET /metrics``, for the operator's loopback port only."""

    async def healthz(_: web.Request) -> web.Response:
        state = health()
        status = 200 if state.get("status", "ok") == "ok" else 503
        return web.json_response({"status": "ok", **state}, status=status)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", metrics)
    return app


async def serve(listeners: Sequence[Listener], *, name: str) -> None:
    """
    Serve until SIGTERM or SIGINT, then finish the requests in hand and clean up.

    Raises UserError when a port is taken or an address isn't ours.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    most_files = _raise_descriptors()
    runners: list[web.AppRunner] = []
    try:
        for listener in listeners:
            runner = web.AppRunner(
                listener.app,
                access_log=None,
                handle_signals=False,
                shutdown_timeout=FINISH_WITHIN_S,
                keepalive_timeout=IDLE_S,
            )
            runners.append(runner)
            await runner.setup()
            _bound(runner, min(listener.most_connections, most_files // 2))
            await _listen(runner, listener)
        logging.getLogger(name).info("ready")
        await stop.wait()
        logging.getLogger(name).info("stopping")
    finally:
        # All at once: each may use the whole grace for its requests in hand.
        await asyncio.gather(*(runner.cleanup() for runner in runners))


def _raise_descriptors() -> int:
    """How many files and sockets this process may have open, once it is as many as the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, _MOST_DESCRIPTORS) if hard != resource.RLIM_INFINITY else _MOST_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def _bound(runner: web.AppRunner, most: int) -> None:
    """
    Disconnect who comes beyond ``most`` connections.

    Idle ones cost their maker nothing, and a daemon without a free descriptor can't write its own files.
    """
    server = runner.server
    if server is None:
        raise FatalError("a listener without a server")
    take = server.connection_made

    def connection_made(handler: Any, transport: asyncio.Transport) -> None:
        take(handler, transport)
        if len(server.connections) > most:
            transport.abort()

    server.connection_made = connection_made  # type: ignore[method-assign] # aiohttp has no other place for it


async def _listen(runner: web.AppRunner, listener: Listener) -> None:
    site = web.TCPSite(runner, listener.host, listener.port, ssl_context=listener.tls, backlog=1024)
    try:
        await site.start()
    except OSError as error:
        where = f"{listener.host}:{listener.port}"
        if error.errno == errno.EADDRINUSE:
            raise UserError(
                f"port {where} is in use; stop what listens there, or change the setting"
            ) from None
        raise UserError(f"can't listen on {where}: {error.strerror}") from None


def set_up_logging() -> None:
    """Daemons log to standard error, one line an event, for the service manager to keep."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # aiohttp logs every malformed request with its bytes; hostile bytes are counted, not written.
    for noisy in ("aiohttp.access", "aiohttp.server", "aiohttp.web", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a daemon's main coroutine to its end."""
    set_up_logging()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
