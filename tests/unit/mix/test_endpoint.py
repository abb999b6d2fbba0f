"""GatewayClient, and gateways that are away, restarted, somebody else, or against their endpoints."""

import asyncio
import gzip
import time
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from mix import messages
from mix.certificates import make_certificate
from mix.endpoint import GatewayClient, explain_refusal
from mix.links.front import Front, answer
from mix.links.tls import client_port_context
from mix.packet.geometry import PACKET_BYTES
from mixmint.errors import Unavailable, UserError
from mixmint.keys import SigningKey
from mixmint.wire import encode
from tests.unit.mix.gateways import running

NOW_S = 1_800_000_000.0


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
    assert explain_refusal("g1", date, NOW_S + 3601.3) == explain_refusal("g1", date, NOW_S + 3600)
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
