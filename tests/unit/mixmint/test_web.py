"""The web kit: operations port, clear errors, a stop within 5 s."""

import asyncio
import contextlib
import os
import signal
import socket
import time

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from mixmint.errors import UserError
from mixmint.web import Listener, operations_app, serve
from tests.ports import free_port


async def until_listening(port: int) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return


async def test_operations_port_tells_health_and_metrics() -> None:
    """Health is 200 only while the daemon says ok."""
    registry = CollectorRegistry()
    Counter("mixmint_test", "a counter", registry=registry).inc()
    state: dict[str, object] = {"pool": 3}
    port = free_port()
    task = asyncio.create_task(
        serve([Listener(operations_app(registry, lambda: state), "127.0.0.1", port)], name="test")
    )
    await until_listening(port)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        async with session.get("/healthz") as reply:
            assert (reply.status, await reply.json()) == (200, {"status": "ok", "pool": 3})
        state["status"] = "behind"
        async with session.get("/healthz") as reply:
            assert reply.status == 503
        async with session.get("/metrics") as reply:
            assert "mixmint_test_total 1.0" in await reply.text()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, 5)


async def test_a_used_port_is_said_in_one_line() -> None:
    """And what was started before it is stopped again."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        app = operations_app(CollectorRegistry(), dict)
        with pytest.raises(UserError, match=f"port 127.0.0.1:{port} is in use"):
            await serve([Listener(app, "127.0.0.1", port)], name="test")


async def test_connections_that_only_sit_there_are_bounded() -> None:
    """Each costs a descriptor, and files need some: a board without any publishes nothing."""
    port = free_port()
    listener = Listener(operations_app(CollectorRegistry(), dict), "127.0.0.1", port, most_connections=3)
    task = asyncio.create_task(serve([listener], name="test"))
    await until_listening(port)
    await asyncio.sleep(0.05)
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(1), 5) == b""
    writer.close()
    held.pop()[1].close()
    async with asyncio.timeout(5), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get("/healthz") as reply:
                    assert reply.status == 200
                    break
            await asyncio.sleep(0.01)
    for _, one in held:
        one.close()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, 5)


async def test_a_stop_waits_for_requests_in_hand_but_not_for_ever() -> None:
    """A request that is being answered is finished; one that never ends is cut off within 5 s."""
    entered = asyncio.Event()
    finish = asyncio.Event()

    async def short(_: web.Request) -> web.Response:
        entered.set()
        await finish.wait()
        return web.Response(text="done")

    async def endless(_: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response()

    app = web.Application()
    app.router.add_get("/short", short)
    app.router.add_get("/endless", endless)
    port = free_port()
    task = asyncio.create_task(serve([Listener(app, "127.0.0.1", port)], name="test"))
    await until_listening(port)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

        async def get(path: str) -> str:
            async with session.get(path) as reply:
                return await reply.text()

        hanging = asyncio.create_task(get("/endless"))
        answered = asyncio.create_task(get("/short"))
        await entered.wait()
        begin = time.monotonic()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.1)
        finish.set()
        assert await answered == "done"
        await asyncio.wait_for(task, 6)
        assert time.monotonic() - begin < 5
        with pytest.raises(aiohttp.ClientError):
            await hanging
