"""A gateway's client port over real TLS: GatewayClient on one side, then hostile bytes."""

import asyncio
import gzip
import os
import sqlite3
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from mix import mailbox, messages, submissions
from mix.certificates import make_certificate
from mix.client_port import ClientPort, GatewayStore, Limits
from mix.directory import Node
from mix.endpoint import GatewayClient, explain_refusal
from mix.frame import FrameId
from mix.links import front as front_module
from mix.links.front import Front, answer
from mix.links.tls import client_port_context, pinned_context
from mix.mailbox import Quota
from mix.packet.geometry import ADDRESSED_BYTES, PACKET_BYTES, Addressed, Token
from mixmint.database import Writer, open_database
from mixmint.errors import Unavailable, UserError
from mixmint.keys import SigningKey, write_new, write_secret
from mixmint.wire import encode
from tests.unit.mix.networks import make_network, until

NOW_S = 1_800_000_000.0
RESERVED = b"a service's tok"[:16].ljust(16, b"n")
SERVICE = SigningKey(bytes([5]) * 32)
QUOTA = Quota(tokens_per_owner=3, packets_per_owner=16, owners=2)


@dataclass
class Gateway:
    """A client port, its store, its clock, and what it counted."""

    node: Node
    store: GatewayStore
    first_key: bytes
    refused: list[str] = field(default_factory=list)
    ahead_s: float = 0.0

    def client(self, owner: SigningKey, patience_s: float = 0.0) -> GatewayClient:
        return GatewayClient(self.node, owner, patience_s=patience_s)

    def packet(self) -> Addressed:
        return Addressed(self.first_key + os.urandom(PACKET_BYTES))

    async def arrive(self, *tokens: bytes) -> mailbox.Delivery:
        """A frame with one packet for each token, from delivery to recorded tags."""
        frame = FrameId(os.urandom(16))
        delivery = await self.store.deliver(frame, [(token, os.urandom(PACKET_BYTES)) for token in tokens])
        self.store.recorded(frame, delivery)
        return delivery


@asynccontextmanager
async def running(folder: Path, waiting_per_owner: int = 300) -> AsyncIterator[Gateway]:
    network = make_network()
    certificate = make_certificate("g1", time.time())
    write_secret(folder / "link.key", certificate.key_pem)
    write_new(folder / "link.crt", certificate.certificate_pem)
    writer = Writer(open_database(folder / "gateway.db", mailbox.SCHEMA))
    store = GatewayStore(writer, Limits(QUOTA, 1000, waiting_per_owner), 0)
    node = msgspec.structs.replace(
        network.directory.node("g1"), certificate=certificate.certificate_der, client_port=1
    )
    made = Gateway(node, store, bytes(network.directory.node("m1").sphinx_keys[0].key_id))

    def clock() -> float:

        return time.time() + made.ahead_s

    port = ClientPort(
        node,
        store,
        lambda _: {made.first_key: "m1"},
        {RESERVED: SERVICE.public},
        made.refused.append,
        lambda _: None,
        clock,
    )
    front = Front(port.handle, made.refused.append, idle_s=1.0, most_connections=8)
    tls = client_port_context(folder / "link.crt", folder / "link.key", made.refused.append)
    await front.start("127.0.0.1", 0, tls)
    made.node = msgspec.structs.replace(node, client_port=front.port)
    try:
        yield made
    finally:
        store.stop_waiting()
        await front.stop()
        await writer.close()


async def test_a_services_token_can_be_registered_by_its_owner_only(tmp_path: Path) -> None:
    """It stands in the directory for all to read; whoever came first would swallow the service's packets."""
    async with running(tmp_path) as gateway:
        async with gateway.client(SigningKey.generate()) as stranger:
            with pytest.raises(UserError, match="refuses"):
                await stranger.register([Token(os.urandom(16)), Token(RESERVED)])
        assert gateway.refused == ["reserved"]
        async with gateway.client(SERVICE) as service:
            await service.register([Token(RESERVED)])
            assert (await gateway.arrive(Token(RESERVED))).kept == 1
            (item,) = await service.fetch(0)
            assert item.token == RESERVED


async def test_packets_come_until_they_are_acknowledged(tmp_path: Path) -> None:
    """Registered, delivered, fetched twice, acknowledged, gone; each with the token it was sent to."""
    owner, tokens = SigningKey.generate(), [Token(os.urandom(16)) for _ in range(2)]
    async with running(tmp_path) as gateway, gateway.client(owner) as client:
        await client.register(tokens)
        assert (await gateway.arrive(tokens[1], tokens[0])).kept == 2
        items = await client.fetch(0)
        assert [item.token for item in items] == [tokens[1], tokens[0]]
        assert await client.fetch(0) == items
        assert await client.fetch(0, [items[0].number]) == items[1:]
        assert await client.fetch(0, [items[1].number]) == []


async def test_a_long_poll_ends_when_something_arrives(tmp_path: Path) -> None:
    """The endpoint hears at once, without asking again."""
    owner, token = SigningKey.generate(), Token(os.urandom(16))
    async with running(tmp_path) as gateway, gateway.client(owner) as client:
        await client.register([token])
        waiting = asyncio.create_task(client.fetch(30))
        await until(lambda: gateway.store.polls)
        await gateway.arrive(token)
        assert len(await asyncio.wait_for(waiting, 5)) == 1


async def test_packets_of_a_frame_not_recorded_stay_hidden(tmp_path: Path) -> None:
    """They might come again after a crash: nobody gets them before their replay tags are on disk."""
    owner, token = SigningKey.generate(), Token(os.urandom(16))
    async with running(tmp_path) as gateway, gateway.client(owner) as client:
        await client.register([token])
        frame = FrameId(os.urandom(16))
        packet = (bytes(token), os.urandom(PACKET_BYTES))
        await gateway.store.deliver(frame, [packet])
        assert await client.fetch(0) == []
        delivery = await gateway.store.deliver(frame, [packet])
        gateway.store.recorded(frame, delivery)
        assert len(await client.fetch(0)) == 1


async def test_unknown_and_empty_look_alike(tmp_path: Path) -> None:
    """Neither a fetch nor a registration tells whether a mailbox lives."""
    owner, other, token = SigningKey.generate(), SigningKey.generate(), Token(os.urandom(16))
    async with running(tmp_path) as gateway:
        async with gateway.client(owner) as client:
            await client.register([token])
            assert await client.fetch(0) == []
        async with gateway.client(other) as stranger:
            assert await stranger.fetch(0) == []
            await stranger.register([token])
            await gateway.arrive(token)
            assert await stranger.fetch(0) == []
        async with gateway.client(owner) as client:
            assert len(await client.fetch(0)) == 1


async def test_quotas_hold(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Tokens per owner, owners, packets per mailbox; the owner of a full mailbox hears of it."""
    owner, token = SigningKey.generate(), Token(os.urandom(16))
    async with running(tmp_path) as gateway:
        async with gateway.client(owner) as client:
            await client.register([token])
            with pytest.raises(UserError, match="no room for more tokens"):
                await client.register([Token(os.urandom(16)) for _ in range(3)])
            delivery = await gateway.arrive(*[token] * 18)
            assert (delivery.kept, delivery.full) == (16, 2)
            assert len(await client.fetch(0)) == 16
            assert "2 packets were turned away" in caplog.text
        async with gateway.client(SigningKey.generate()) as client:
            await client.register([Token(os.urandom(16))])
        async with gateway.client(SigningKey.generate()) as client:
            with pytest.raises(UserError, match="no room"):
                await client.register([Token(os.urandom(16))])
        assert gateway.refused == ["tokens", "owners"]


async def test_a_flood_stays_its_owners(tmp_path: Path) -> None:
    """Beyond his share he hears "busy"; others' packets go out in the next frame all the same."""
    async with running(tmp_path) as gateway:
        async with gateway.client(SigningKey.generate()) as flooder:
            await flooder.submit([gateway.packet() for _ in range(300)])
            with pytest.raises(Unavailable, match="busy"):
                await flooder.submit([gateway.packet()])
        async with gateway.client(SigningKey.generate()) as other:
            mine = gateway.packet()
            await other.submit([mine])
        frame = await gateway.store.next_frame("m1")
        assert frame is not None
        assert frame.count == 256
        assert mine in frame.packets
        assert await gateway.store.next_frame("m1") == frame
        await gateway.store.acknowledged("m1", frame)
        rest = await gateway.store.next_frame("m1")
        assert rest is not None
        assert rest.count == 45
        assert rest.id != frame.id


async def test_submissions_survive_and_keep_their_frame_id(tmp_path: Path) -> None:
    """After a crash the same packets go out under the same id, so the first mix can tell."""
    async with running(tmp_path) as gateway, gateway.client(SigningKey.generate()) as client:
        await client.submit([gateway.packet() for _ in range(3)])
        frame = await gateway.store.next_frame("m1")
    connection = open_database(tmp_path / "gateway.db", mailbox.SCHEMA)
    assert submissions.count_waiting(connection) == 3
    writer = Writer(connection)
    store = GatewayStore(writer, Limits(QUOTA, 1000, 300), 3)
    assert await store.next_frame("m1") == frame
    await writer.close()


async def test_only_first_mixes_are_passed_on_to(tmp_path: Path) -> None:
    """A gateway is nobody's shortcut into the middle of a cascade."""
    async with running(tmp_path) as gateway, gateway.client(SigningKey.generate()) as client:
        with pytest.raises(UserError, match="refuses"):
            await client.submit([gateway.packet(), Addressed(os.urandom(ADDRESSED_BYTES))])
        assert gateway.refused == ["first-hop"]
        assert gateway.store.waiting == 0


async def test_a_wrong_clock_is_named(tmp_path: Path) -> None:
    """The refusal says nothing, but the Date header lets the client tell its user."""
    async with running(tmp_path) as gateway, gateway.client(SigningKey.generate()) as client:
        gateway.ahead_s = -messages.SKEW_S - 60
        with pytest.raises(UserError, match="refuses the request"):
            await client.fetch(0)
        assert gateway.refused == ["skew"]


def test_the_date_of_a_refusal_shows_a_wrong_clock() -> None:
    """Ahead, behind, right, and a gateway that sends no date."""
    date = "Fri, 15 Jan 2027 08:00:00 GMT"
    assert "1000 s ahead of gateway g1's" in explain_refusal("g1", date, NOW_S + 1000)
    assert "400 s behind gateway g1's" in explain_refusal("g1", date, NOW_S - 400)
    huge = "Fri, 15 Jan 99999999999999999999 08:00:00 GMT"
    for shown, now_s in ((date, NOW_S + 10), ("", NOW_S), ("nonsense", NOW_S), (huge, NOW_S)):
        assert "is the directory file the newest?" in explain_refusal("g1", shown, now_s)


async def test_a_gateway_that_comes_back_in_time_is_not_missed(tmp_path: Path) -> None:
    """A restart of a gateway is no error to its endpoints: requests are tried again, for patience_s."""
    owner = SigningKey.generate()
    async with running(tmp_path) as gateway:
        node = gateway.node
    certificate = tmp_path / "link.crt", tmp_path / "link.key"
    async with GatewayClient(node, owner, patience_s=20) as client:
        fetching = asyncio.create_task(client.fetch(0))
        await asyncio.sleep(0.3)
        assert not fetching.done()

        async def handle(_: object) -> web.Response:
            return answer(body=encode(messages.FetchAnswer((), 0)))

        front = Front(handle, lambda _: None)
        await front.start("127.0.0.1", node.client_port, client_port_context(*certificate, lambda _: None))
        assert await asyncio.wait_for(fetching, 20) == []
        await front.stop()


async def test_a_hostile_gateway_leads_its_endpoints_nowhere(tmp_path: Path) -> None:
    """No redirect is followed, no cookie comes back (it would link connections), nothing is unpacked."""
    owner, asked = SigningKey.generate(), []
    async with running(tmp_path) as gateway:
        node = gateway.node
    certificate = tmp_path / "link.crt", tmp_path / "link.key"

    async def handle(request: web.BaseRequest) -> web.Response:
        asked.append((request.path, "Cookie" in request.headers))
        if request.path != "/v1/fetch":
            return web.Response(body=encode(messages.FetchAnswer((), 0)))
        if len(asked) > 1:
            packed = gzip.compress(encode(messages.FetchAnswer((), 0)))
            return web.Response(body=packed, headers={"Content-Encoding": "gzip"})
        # The node is named, not numbered: aiohttp's own jar would keep cookies of names only.
        return web.Response(status=307, headers={"Location": "/elsewhere", "Set-Cookie": "who=me"})

    front = Front(handle, lambda _: None)
    await front.start("127.0.0.1", 0, client_port_context(*certificate, lambda _: None))
    node = msgspec.structs.replace(node, client_port=front.port, host="localhost")
    async with GatewayClient(node, owner, patience_s=0) as client:
        with pytest.raises(UserError, match="refuses"):
            await client.fetch(0)
        with pytest.raises(UserError, match="no sense"):
            await client.fetch(0)
    assert asked == [("/v1/fetch", False), ("/v1/fetch", False)]
    await front.stop()


async def test_a_token_that_the_gateway_made_up_is_its_fault(tmp_path: Path) -> None:
    """Hash and reminder that don't agree: an error of the gateway's, never one of whoever was asked."""
    async with running(tmp_path) as gateway:
        node = gateway.node
    item = messages.Item(1, bytes(32), bytes(16), bytes(PACKET_BYTES))

    async def handle(_: object) -> web.Response:
        return answer(body=encode(messages.FetchAnswer((item,), 0)))

    front = Front(handle, lambda _: None)
    certificate = tmp_path / "link.crt", tmp_path / "link.key"
    await front.start("127.0.0.1", 0, client_port_context(*certificate, lambda _: None))
    node = msgspec.structs.replace(node, client_port=front.port)
    async with GatewayClient(node, SigningKey.generate(), patience_s=0) as client:
        with pytest.raises(UserError, match="no sense"):
            await client.fetch(0)
    await front.stop()


async def test_a_request_for_one_gateway_is_no_good_at_another(tmp_path: Path) -> None:
    """The signature covers the gateway's identity, the action and the time."""
    owner = SigningKey.generate()
    data = messages.sign_request(messages.FETCH, owner, b"a" * 32, NOW_S, b"")
    assert messages.read_request(messages.FETCH, data, b"a" * 32, NOW_S).owner == owner.public
    for label, gateway in ((messages.FETCH, b"b" * 32), (messages.REGISTER, b"a" * 32)):
        with pytest.raises(messages.MalformedMessage, match="signature"):
            messages.read_request(label, data, gateway, NOW_S)
    with pytest.raises(messages.MalformedMessage, match="skew"):
        messages.read_request(messages.FETCH, data, b"a" * 32, NOW_S + messages.SKEW_S + 1)


async def test_an_impostor_is_named(tmp_path: Path) -> None:
    """Another certificate at the right address: refused before a byte of ours is sent."""
    async with running(tmp_path) as gateway:
        der = make_certificate("g1", time.time()).certificate_der
        node = msgspec.structs.replace(gateway.node, certificate=der)
        async with GatewayClient(node, SigningKey.generate(), patience_s=0) as client:
            with pytest.raises(UserError, match="certificate"):
                await client.fetch(0)


async def test_a_gateway_that_is_down_is_named(tmp_path: Path) -> None:
    """One line, with the address and the next step."""
    async with running(tmp_path) as gateway:
        node = gateway.node
    async with GatewayClient(node, SigningKey.generate(), patience_s=0) as client:
        with pytest.raises(Unavailable, match=r"gateway g1 at 127\.0\.0\.1:\d+ can't be reached: .*running"):
            await client.fetch(0)


async def test_no_token_is_on_disk(tmp_path: Path) -> None:
    """A thief of the database learns no token."""
    token = Token(os.urandom(16))
    async with running(tmp_path) as gateway, gateway.client(SigningKey.generate()) as client:
        await client.register([token])
        await gateway.arrive(token)
    files = await asyncio.to_thread(lambda: [file.read_bytes() for file in tmp_path.iterdir()])
    assert all(token not in data for data in files)


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
