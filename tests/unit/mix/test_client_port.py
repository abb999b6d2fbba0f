"""A gateway's client port over real TLS, with GatewayClient on the other side."""

import asyncio
import os
from pathlib import Path

import pytest

from mix import mailbox, messages, submissions
from mix.client_port import GatewayStore, Limits
from mix.frame import FrameId
from mix.packet.geometry import ADDRESSED_BYTES, PACKET_BYTES, Addressed, Token
from mixmint.database import Writer, open_database
from mixmint.errors import Unavailable, UserError
from mixmint.keys import SigningKey
from tests.unit.mix.gateways import QUOTA, RESERVED, SERVICE, running
from tests.unit.mix.networks import until

NOW_S = 1_800_000_000.0


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


async def test_no_token_is_on_disk(tmp_path: Path) -> None:
    """A thief of the database learns no token."""
    token = Token(os.urandom(16))
    async with running(tmp_path) as gateway, gateway.client(SigningKey.generate()) as client:
        await client.register([token])
        await gateway.arrive(token)
    files = await asyncio.to_thread(lambda: [file.read_bytes() for file in tmp_path.iterdir()])
    assert all(token not in data for data in files)
