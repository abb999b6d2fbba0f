"""Links: real TLS between two nodes on free ports."""

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web

from mix.certificates import make_certificate
from mix.directory import Node
from mix.frame import Frame, FrameId, encode_frame
from mix.links.front import Front
from mix.links.sender import Links, LinkSender
from mix.links.server import FRAME_PATH, LinkServer
from mix.links.tls import link_client_context, link_server_context, pinned_context
from mix.packet.geometry import ADDRESSED_BYTES
from mixmint.errors import UserError
from mixmint.keys import write_new, write_secret
from tests.unit.mix.networks import make_network, until

TICK_S = 0.02


@dataclass
class Sink:
    """A daemon's intake that remembers frames; ``room`` False makes it full."""

    frames: list[Frame] = field(default_factory=list)
    room: bool = True
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def accept(self, frame: Frame) -> bool:
        if self.room:
            self.frames.append(frame)
        await self.gate.wait()
        return self.room


@dataclass
class Box:
    """An outbox with a list of packets per peer; records frames as a daemon's would."""

    waiting: list[bytes] = field(default_factory=list)
    head: Frame | None = None

    async def next_frame(self, peer: str) -> Frame | None:
        if self.head is None and self.waiting:
            self.head = Frame(FrameId(os.urandom(16)), b"".join(self.waiting[:256]))
            del self.waiting[:256]
        return self.head

    async def acknowledged(self, peer: str, frame: Frame) -> None:
        assert frame == self.head
        self.head = None


@dataclass
class Hop:
    """m2's link port, which trusts m1 and nobody else."""

    m1: Node
    m2: Node
    folder: Path
    sink: Sink = field(default_factory=Sink)
    refused: list[str] = field(default_factory=list)

    def sender(self, name: str = "m1") -> LinkSender:
        return LinkSender(self.m2, self.folder / f"{name}.crt", self.folder / f"{name}.key", TICK_S)


@asynccontextmanager
async def running(links: Links) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(loop) for loop in links.loops()]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def frame(count: int = 1) -> Frame:
    return Frame(FrameId(os.urandom(16)), os.urandom(count * ADDRESSED_BYTES))


@asynccontextmanager
async def hop(folder: Path, trusted: Sequence[str] = ("m1",)) -> AsyncIterator[Hop]:
    nodes = {}
    for node in make_network().directory.nodes[:3]:
        made = make_certificate(node.name, time.time())
        write_secret(folder / f"{node.name}.key", made.key_pem)
        write_new(folder / f"{node.name}.crt", made.certificate_pem)
        nodes[node.name] = msgspec.structs.replace(node, certificate=made.certificate_der)
    state = Hop(nodes["m1"], nodes["m2"], folder)
    peers = [nodes[name] for name in trusted]
    server = LinkServer(state.sink, peers, TICK_S, state.refused.append)
    front = Front(server.handle, state.refused.append, idle_s=1.0)
    tls = link_server_context(folder / "m2.crt", folder / "m2.key", peers, state.refused.append)
    await front.start("127.0.0.1", 0, tls)
    state.m2 = msgspec.structs.replace(nodes["m2"], link_port=front.port)
    try:
        yield state
    finally:
        await server.stop()
        await front.stop()


async def test_a_frame_arrives_and_is_acknowledged(tmp_path: Path) -> None:
    """The packets, the id, and a 200."""
    async with hop(tmp_path) as link:
        sender = link.sender()
        sent = frame(17)
        assert await sender.send(sent) == "acknowledged"
        assert link.sink.frames == [sent]
        await sender.close()


async def test_a_peer_has_one_frame_in_hand_at_a_time(tmp_path: Path) -> None:
    """A node that opens many connections gains nothing by it."""
    async with hop(tmp_path) as link:
        link.sink.gate.clear()
        first, second = link.sender(), link.sender()
        sending = asyncio.create_task(first.send(frame()))
        await until(lambda: link.sink.frames)
        assert await second.send(frame()) == "busy"
        link.sink.gate.set()
        assert await sending == "acknowledged"
        assert await second.send(frame()) == "acknowledged"
        assert link.refused == ["second-frame"]
        await first.close()
        await second.close()


async def test_a_full_peer_is_busy(tmp_path: Path) -> None:
    """503, and nothing was taken."""
    async with hop(tmp_path) as link:
        link.sink.room = False
        sender = link.sender()
        assert await sender.send(frame()) == "busy"
        assert link.sink.frames == []
        await sender.close()


async def test_empty_frames_are_acknowledged_without_the_daemon(tmp_path: Path) -> None:
    """Nothing to lose, nothing to record; from outside they look like others."""
    async with hop(tmp_path) as link:
        sender = link.sender()
        assert await sender.send(frame(0)) == "acknowledged"
        assert link.sink.frames == []
        await sender.close()


async def test_acknowledgements_come_at_a_fixed_time(tmp_path: Path) -> None:
    """How long unwrapping took would tell how many packets were real."""
    async with hop(tmp_path) as link:
        sender = link.sender()
        await sender.send(frame(0))
        started = time.monotonic()
        await sender.send(frame(0))
        assert time.monotonic() - started >= TICK_S / 4
        await sender.close()


async def test_strangers_do_not_get_through_the_handshake(tmp_path: Path) -> None:
    """Another node of the network, which isn't our predecessor; and somebody without a certificate."""
    async with hop(tmp_path) as link:
        sender = link.sender("m3")
        assert await sender.send(frame()) == "unreachable"
        await sender.close()
        await until(lambda: link.refused == ["handshake"])
        connector = aiohttp.TCPConnector(ssl=pinned_context(link.m2))
        async with aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises(aiohttp.ClientError):
                await session.post(f"https://127.0.0.1:{link.m2.link_port}{FRAME_PATH}", data=b"")
        await until(lambda: link.refused == ["handshake"] * 2)
        assert link.sink.frames == []


async def test_an_impostor_gets_no_frame(tmp_path: Path) -> None:
    """The sending side trusts the one certificate that the directory has for its peer."""
    async with hop(tmp_path) as link:
        node = msgspec.structs.replace(
            link.m2, certificate=make_certificate("m2", time.time()).certificate_der
        )
        sender = LinkSender(node, tmp_path / "m1.crt", tmp_path / "m1.key", TICK_S)
        assert await sender.send(frame()) == "unreachable"
        assert link.sink.frames == []
        await sender.close()


async def test_a_peer_can_not_send_our_frames_elsewhere(tmp_path: Path) -> None:
    """A redirect is a refusal: a node posts to the addresses of its directory and to nothing else."""
    reached = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.read(100))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with hop(tmp_path) as link, await asyncio.start_server(elsewhere, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]

        async def redirect(_: object) -> web.Response:
            return web.Response(status=307, headers={"Location": f"http://127.0.0.1:{port}/"})

        front = Front(redirect, link.refused.append)
        tls = link_server_context(tmp_path / "m2.crt", tmp_path / "m2.key", [link.m1], link.refused.append)
        await front.start("127.0.0.1", 0, tls)
        link.m2 = msgspec.structs.replace(link.m2, link_port=front.port)
        sender = link.sender()
        assert await sender.send(frame()) == "refused"
        assert reached == []
        await sender.close()
        await front.stop()


async def test_the_announced_next_certificate_is_good_too(tmp_path: Path) -> None:
    """So a node can change its certificate while old and new directories are about."""
    async with hop(tmp_path) as link:
        node = msgspec.structs.replace(
            link.m2,
            certificate=make_certificate("m2", time.time()).certificate_der,
            next_certificate=link.m2.certificate,
        )
        sender = LinkSender(node, tmp_path / "m1.crt", tmp_path / "m1.key", TICK_S)
        assert await sender.send(frame()) == "acknowledged"
        await sender.close()


async def test_a_certificate_and_key_that_differ_are_named(tmp_path: Path) -> None:
    """One line for the operator, not a traceback."""
    async with hop(tmp_path) as link:
        with pytest.raises(UserError, match="don't make a pair"):
            LinkSender(link.m2, tmp_path / "m1.crt", tmp_path / "m3.key", TICK_S)
        (tmp_path / "m1.key").chmod(0o644)
        with pytest.raises(UserError, match="chmod 600"):
            link.sender()


async def test_each_tick_carries_one_frame_empty_or_not(tmp_path: Path) -> None:
    """Idle or busy, an observer counts the same frames."""
    async with hop(tmp_path) as link:
        sent: list[str] = []
        box = Box([os.urandom(ADDRESSED_BYTES) for _ in range(300)])
        links = Links([link.sender()], box, TICK_S, lambda peer, outcome: sent.append(outcome))
        async with links, running(links):
            for number in range(1, 5):
                links.tick()
                await until(lambda number=number: len(sent) == number)
        assert sent == ["acknowledged"] * 4
        assert [one.count for one in link.sink.frames] == [256, 44]


async def test_a_frame_is_resent_under_its_id_until_acknowledged(tmp_path: Path) -> None:
    """And the sender slows down: after the k-th 503 it skips 2^k - 1 ticks."""
    async with hop(tmp_path) as link:
        sent: list[str] = []
        box = Box([os.urandom(ADDRESSED_BYTES)])
        links = Links([link.sender()], box, TICK_S, lambda peer, outcome: sent.append(outcome))
        link.sink.room = False
        async with links, running(links):
            ticks = 0
            while len(sent) < 3:
                links.tick()
                ticks += 1
                await asyncio.sleep(TICK_S)
            assert ticks >= 1 + 1 + 1 + 3 + 1
            recorded = box.head
            link.sink.room = True
            while box.head is not None:
                links.tick()
                await asyncio.sleep(TICK_S)
        assert link.sink.frames == [recorded]
        assert sent[:3] == ["busy"] * 3


HOSTILE = {
    "get": b"GET /v1/frame HTTP/1.1\r\nHost: m\r\n\r\n",
    "no-length": b"POST /v1/frame HTTP/1.1\r\nHost: m\r\n\r\n",
    "odd-length": b"POST /v1/frame HTTP/1.1\r\nHost: m\r\nContent-Length: 1000\r\n\r\n" + bytes(1000),
    "huge": b"POST /v1/frame HTTP/1.1\r\nHost: m\r\nContent-Length: 10000000000\r\n\r\n",
    "other-path": b"POST /v1/submit HTTP/1.1\r\nHost: m\r\nContent-Length: 0\r\n\r\n",
    "wrong-count": b"POST /v1/frame HTTP/1.1\r\nHost: m\r\nContent-Length: 36594\r\n\r\n" + b"\xff" * 36594,
    "garbage": os.urandom(300) + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_peer_that_sends_nonsense_gets_one_empty_answer(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Even a node of the directory: 400, no body, hung up, a counter up, and the next frame is taken."""
    async with hop(tmp_path) as link:
        tls = link_client_context(tmp_path / "m1.crt", tmp_path / "m1.key", link.m2)
        reader, writer = await asyncio.open_connection("127.0.0.1", link.m2.link_port, ssl=tls)
        writer.write(HOSTILE[name])
        head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
        writer.close()
        assert head.split(b" ", 2)[1] == b"400"
        assert body == b""
        assert len(link.refused) == 1
        assert not caplog.records
        sender = link.sender()
        assert await sender.send(frame()) == "acknowledged"
        await sender.close()


async def test_a_truncated_frame_is_nothing(tmp_path: Path) -> None:
    """A connection that breaks in the middle of a frame leaves no trace but a counter."""
    async with hop(tmp_path) as link:
        tls = link_client_context(tmp_path / "m1.crt", tmp_path / "m1.key", link.m2)
        _, writer = await asyncio.open_connection("127.0.0.1", link.m2.link_port, ssl=tls)
        data = encode_frame(frame(16), os.urandom)
        head = f"POST {FRAME_PATH} HTTP/1.1\r\nHost: m\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        writer.write(head + data[:-1])
        await writer.drain()
        writer.close()
        sender = link.sender()
        async with asyncio.timeout(5):
            # The link is busy until the server has seen the connection break.
            while await sender.send(frame()) != "acknowledged":  # noqa: ASYNC110 - each try is the wait
                await asyncio.sleep(TICK_S)
        await sender.close()
        assert len(link.sink.frames) == 1


async def test_old_tls_is_refused(tmp_path: Path) -> None:
    """TLS 1.3 only: older ones show certificates in the clear."""
    async with hop(tmp_path) as link:
        tls = link_client_context(tmp_path / "m1.crt", tmp_path / "m1.key", link.m2)
        tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", link.m2.link_port, ssl=tls)
        assert link.refused == ["handshake"]
