"""Three mixes and two gateways as processes: packets and replies go through, also when a mix is killed."""

import asyncio
import os
from collections import Counter
from pathlib import Path

from mix.endpoint import GatewayClient
from mix.packet.build import (
    BlockSecrets,
    ReplyBlock,
    build_forward,
    build_reply_block,
    open_forward,
    open_reply,
    use_reply_block,
)
from mix.packet.command import Command, CommandType
from tests.integration.network.harness import Endpoint, Network, running_network

COUNT = 50


async def fetch_all(client: GatewayClient, endpoint: Endpoint, expected: int) -> Counter[bytes]:
    """
    Everything that arrives at an endpoint until ``expected`` different packets did: by tag, how often.

    A fetch that comes again because its answer was lost has the same numbers, so numbers tell what is new.
    """
    seen: dict[int, bytes] = {}
    async with asyncio.timeout(180):
        while len(set(seen.values())) < expected:
            items = await client.fetch(5.0)
            for item in items:
                assert item.token == endpoint.token
                seen[item.number] = bytes(item.packet)
            await client.fetch(0, [item.number for item in items])
    # What was sent twice by mistake would come right behind.
    for item in await client.fetch(1.0):
        seen[item.number] = bytes(item.packet)
    return Counter(seen.values())


async def exchange(network: Network, disturb: bool = False) -> None:
    """50 forward packets from one endpoint to another, and 50 answers through the reply blocks in them."""
    directory = network.directory()
    alice, bob = Endpoint(directory, "g1"), Endpoint(directory, "g2")
    secrets: dict[bytes, BlockSecrets] = {}
    sent = []
    for number in range(COUNT):
        block, kept = build_reply_block(alice.route(), 2**32 - 1)
        secrets[kept.block_id] = kept
        sent.append(build_forward(bob.route(), number.to_bytes(2, "big") + block))
    async with alice.client() as at_g1, bob.client() as at_g2:
        await at_g1.register([alice.token])
        await at_g2.register([bob.token])
        for start in range(0, COUNT, 10):
            await at_g1.submit(sent[start : start + 10])
            if disturb and start == 20:
                for name in ("m2", "g2", "m1"):
                    network.daemons[name].kill()
                    await network.start(name)
        arrived = await fetch_all(at_g2, bob, COUNT)
        assert set(arrived.values()) == {1}
        messages = sorted(open_forward(bob.unwrap(packet)) for packet in arrived)
        assert [int.from_bytes(one[:2], "big") for one in messages] == list(range(COUNT))
        await at_g2.submit([use_reply_block(ReplyBlock(one[2:]), one[:2]) for one in messages])
        if disturb:
            network.daemons["m3"].kill()
            await network.start("m3")
        answers = await fetch_all(at_g1, alice, COUNT)
        assert set(answers.values()) == {1}
        numbers = []
        for packet in answers:
            unwrapped = alice.unwrap(packet)
            command = Command.decode(unwrapped.command)
            assert command.type is CommandType.REPLY
            numbers.append(int.from_bytes(open_reply(secrets.pop(command.id), unwrapped), "big"))
        assert sorted(numbers) == list(range(COUNT))


async def test_packets_and_replies_arrive_exactly_once(tmp_path: Path) -> None:
    """The main job of the post; and a stop on SIGTERM is quick and clean."""
    async with running_network(tmp_path) as network:
        await exchange(network)
        codes = await asyncio.to_thread(network.stop)
        assert codes == dict.fromkeys(network.daemons, 0)
        for daemon in network.daemons.values():
            assert "Traceback" not in daemon.text_of_log()


async def test_nothing_acknowledged_is_lost_when_nodes_are_killed(tmp_path: Path) -> None:
    """kill -9 of mixes and a gateway in the middle: after a restart all arrives, once."""
    async with running_network(tmp_path) as network:
        await exchange(network, disturb=True)


async def test_a_replay_is_dropped_also_after_a_restart(tmp_path: Path) -> None:
    """The same packet submitted again goes nowhere: the first mix has its tag on disk."""
    async with running_network(tmp_path) as network:
        directory = network.directory()
        bob = Endpoint(directory, "g2")
        packet = build_forward(bob.route(), b"once")
        async with bob.client() as client:
            await client.register([bob.token])
            await client.submit([packet])
            assert set((await fetch_all(client, bob, 1)).values()) == {1}
            network.daemons["m1"].kill()
            await network.start("m1")
            await client.submit([packet])
            m1 = network.daemons["m1"]
            await m1.until_counted('mixmint_packets_dropped_total{reason="replayed"}')
            assert await client.fetch(1.0) == []


async def test_no_log_and_no_database_has_a_token_or_a_message(tmp_path: Path) -> None:
    """What is kept of a packet on its way is what the network itself can see of it."""
    async with running_network(tmp_path) as network:
        bob = Endpoint(network.directory(), "g2")
        text = os.urandom(24)
        async with bob.client() as client:
            await client.register([bob.token])
            await client.submit([build_forward(bob.route(), text)])
            assert await fetch_all(client, bob, 1)
        await asyncio.to_thread(network.stop)
        files = await asyncio.to_thread(lambda: [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()])
        for secret in (text, text.hex().encode(), bob.token, bob.token.hex().encode(), bob.owner.seed):
            assert not any(secret in data for data in files)
