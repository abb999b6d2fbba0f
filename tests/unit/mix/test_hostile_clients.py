"""Hostile bytes at a gateway's client port, and a full disk behind it."""

import asyncio
import sqlite3
import ssl
from pathlib import Path

import pytest

from mix import submissions
from mix.links import front as front_module
from mix.links.tls import pinned_context
from mixmint.errors import Unavailable
from mixmint.keys import SigningKey
from tests.unit.mix.gateways import running
from tests.unit.mix.networks import until

HOSTILE = {
    "no-http": b"\x16\x03garbage\r\n\r\n",
    "get": b"GET /v1/fetch HTTP/1.1\r\nHost: g\r\n\r\n",
    "no-length": b"POST /v1/fetch HTTP/1.1\r\nHost: g\r\n\r\n",
    "chunked": b"POST /v1/fetch HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "too-long": b"POST /v1/fetch HTTP/1.1\r\nHost: g\r\nContent-Length: 99999999\r\n\r\n",
    "no-such-path": b"POST /v2 HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\n\r\nx",
    "no-message": b"POST /v1/fetch HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\n\r\nhello",
    "long-header": b"POST /v1/fetch HTTP/1.1\r\nX: " + b"a" * 4000 + b"\r\n\r\n",
    "two-lengths": b"POST /v1/fetch HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_bytes_get_one_empty_answer(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is wrong: 400, no body, hung up, a counter up, nothing in the log, and life goes on."""
    async with running(tmp_path) as gateway:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", gateway.node.client_port, ssl=pinned_context(gateway.node)
        )
        writer.write(HOSTILE[name])
        answered = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        head, _, body = answered.partition(b"\r\n\r\n")
        assert head.split(b" ", 2)[1] == b"400"
        assert body == b""
        assert b"aiohttp" not in head
        assert b"Python" not in head
        assert len(gateway.refused) == 1
        assert not caplog.records
        async with gateway.client(SigningKey.generate()) as client:
            assert await client.fetch(0) == []


@pytest.mark.parametrize("sent", [b"", b"POST /v1/fetch HTT"])
async def test_who_says_nothing_is_hung_up_on(sent: bytes, tmp_path: Path) -> None:
    """An idle connection, and one whose headers never end, are closed after ``idle_s``."""
    async with running(tmp_path) as gateway:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", gateway.node.client_port, ssl=pinned_context(gateway.node)
        )
        writer.write(sent)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_slow_body_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends a byte now and then gets the same empty refusal."""
    monkeypatch.setattr(front_module, "BODY_S", 0.2)
    async with running(tmp_path) as gateway:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", gateway.node.client_port, ssl=pinned_context(gateway.node)
        )
        writer.write(b"POST /v1/fetch HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\n\r\nslow")
        answered = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        assert answered.split(b" ", 2)[1] == b"400"
        assert gateway.refused == ["slow"]


async def test_a_full_disk_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client may try again; the operator gets one line; nothing was accepted."""

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with running(tmp_path) as gateway, gateway.client(SigningKey.generate()) as client:
        with monkeypatch.context() as patched:
            patched.setattr(submissions, "take", full)
            with pytest.raises(Unavailable, match="busy"):
                await client.submit([gateway.packet()])
        assert "disk full" in caplog.text
        assert gateway.store.waiting == 0
        await client.submit([gateway.packet()])


async def test_who_speaks_no_tls_is_counted(tmp_path: Path) -> None:
    """A handshake that fails is invisible to HTTP, so the TLS layer counts it."""
    async with running(tmp_path) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.node.client_port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await asyncio.wait_for(reader.read(), 5)
        writer.close()
        assert gateway.refused == ["handshake"]


async def test_connections_are_bounded(tmp_path: Path) -> None:
    """Who opens more than there is room for is hung up on; the process keeps its descriptors."""
    async with running(tmp_path) as gateway:
        opened = []
        for _ in range(9):
            try:
                opened.append(
                    await asyncio.open_connection(
                        "127.0.0.1", gateway.node.client_port, ssl=pinned_context(gateway.node)
                    )
                )
            except (ConnectionError, ssl.SSLError):
                break
        await until(lambda: "connections" in gateway.refused)
        for _, writer in opened:
            writer.close()
