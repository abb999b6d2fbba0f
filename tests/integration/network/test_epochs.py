"""Real nodes turn their keys under load: nothing is lost, nothing comes twice, old keys are gone."""

import asyncio
import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mix.endpoint import GatewayClient
from mix.frame import Frame, FrameId
from mix.links.sender import LinkSender
from mix.packet.build import build_forward, open_forward
from mix.packet.geometry import Addressed
from tests.integration.network.harness import Endpoint, mixmint
from tests.integration.network.living import MIXES, Living, make_living

TURNS = 3
NODES = (*MIXES, "g1")


async def until(condition: Callable[[], object], within_s: float) -> None:
    """Wait for something that shows on disk only."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - other processes have no event for a test
            await asyncio.sleep(0.02)


@dataclass
class Traffic:
    """Numbered packets from an endpoint to itself, through all turns."""

    network: Living
    endpoint: Endpoint
    client: GatewayClient
    sent: list[Addressed] = field(default_factory=list)
    seen: dict[int, bytes] = field(default_factory=dict)
    is_over: bool = False

    async def send(self) -> None:
        while not self.is_over:
            # As a member would: with the newest directory there is.
            self.endpoint.directory = self.network.directory()
            packet = build_forward(self.endpoint.route(), len(self.sent).to_bytes(4))
            await self.client.submit([packet])
            self.sent.append(packet)
            await asyncio.sleep(0.05)

    async def receive(self) -> None:
        while not self.is_over or len(set(self.seen.values())) < len(self.sent):
            items = await self.client.fetch(1.0)
            self.seen.update({item.number: bytes(item.packet) for item in items})
            await self.client.fetch(0, [item.number for item in items])

    def numbers(self) -> Counter[int]:
        packets = (self.endpoint.unwrap(packet) for packet in self.seen.values())  # type: ignore[arg-type] # NewType
        return Counter(int.from_bytes(open_forward(packet)) for packet in packets)


async def resend(network: Living, packet: Addressed, frame_id: bytes) -> None:
    """A frame with this packet on the link from g1 to m1, as whoever has g1's key could send it."""
    folder, directory = network.folder / "g1", network.directory()
    sender = LinkSender(directory.node("m1"), folder / "link.crt", folder / "link.key", 0.05)
    try:
        async with asyncio.timeout(30):
            # m1 reads one frame of a peer at a time, and g1 sends, too.
            while await sender.send(Frame(FrameId(frame_id), packet)) != "acknowledged":  # noqa: ASYNC110 - m1's word
                await asyncio.sleep(0.02)
    finally:
        await sender.close()


async def kill_in_a_turn(network: Living, name: str) -> None:
    """kill -9 as soon as a node has made the next key, wherever it is then; and start it again."""
    newest = max(network.keys(name))
    await until(lambda: max(network.keys(name)) > newest, 4 * network.epoch_s)
    network.daemons[name].kill()
    network.daemons[name].start()


async def upgrade(network: Living) -> None:
    """Every node stopped and started, one after the other, as its operator would; the last ones first."""
    # In the order of the path a packet could wait for each of them, and outlive its keys on a slow machine.
    for name in reversed(NODES):
        assert await asyncio.to_thread(network.daemons[name].stop) == 0
        await network.start(name)


async def test_packets_go_through_turns_of_all_keys_and_a_kill(tmp_path: Path) -> None:
    """
    Three rotations under load, one with a kill -9 in the middle, and an upgrade of every node; and what was
    taken once is never taken again, neither in the same epoch nor in the next.
    """
    network = await asyncio.to_thread(make_living, tmp_path)
    long_s = 6 * network.epoch_s
    try:
        await network.start()
        endpoint = Endpoint(network.directory(), "g1")
        async with endpoint.client(long_s) as client:
            await client.register([endpoint.token])
            traffic = Traffic(network, endpoint, client)
            sending = asyncio.create_task(traffic.send())
            receiving = asyncio.create_task(traffic.receive())
            first = network.directory().epoch
            await until(lambda: traffic.seen, long_s)
            secrets = {path: path.read_bytes() for name in NODES for path in network.key_files(name)}
            await until(lambda: network.directory().epoch > first, long_s)
            recorded, frame_id = traffic.sent[-1], b"a recorded frame"
            await until(lambda: len(traffic.seen) > len(traffic.sent) - 5, long_s)
            await resend(network, recorded, frame_id)
            await kill_in_a_turn(network, "m2")
            # Its keys are the previous ones now, and still accepted.
            await resend(network, recorded, frame_id)
            await resend(network, recorded, frame_id[::-1])
            metrics = await asyncio.to_thread(network.daemons["m1"].metrics)
            assert metrics['mixmint_packets_dropped_total{reason="replayed"}'] >= 2
            await upgrade(network)
            await until(lambda: network.directory().epoch >= first + TURNS, long_s)
            await until(lambda: all(min(network.keys(name)) > first for name in NODES), long_s)
            traffic.is_over = True
            await asyncio.wait_for(asyncio.gather(sending, receiving), long_s)
        assert traffic.numbers() == dict.fromkeys(range(len(traffic.sent)), 1)
        on_disk = {path for path in secrets if path.exists()}
        assert not any(path.stem == f"sphinx-{first}" for path in on_disk)
        network.stop()
        gone = [secret for path, secret in secrets.items() if path not in on_disk]
        files = await asyncio.to_thread(lambda: [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()])
        assert gone
        assert not any(secret in data for secret in gone for data in files)
        for daemon in network.daemons.values():
            assert "Traceback" not in daemon.text_of_log()
    finally:
        network.kill()


def health(network: Living, name: str) -> dict[str, object]:
    """What a daemon says of itself; empty while it doesn't answer."""
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{network.daemons[name].operations_port}/healthz", timeout=5
        ) as reply:
            return dict(json.load(reply))
    except urllib.error.HTTPError as error:
        return dict(json.load(error))
    except OSError:
        return {}


async def test_a_node_waits_to_be_listed_gets_new_keys_and_leaves(tmp_path: Path) -> None:
    """
    It runs before there is a directory; after ``rekey`` it waits until its new keys are listed; and when it
    is removed it goes on with what it has, and says so.
    """
    network = await asyncio.to_thread(partial(make_living, tmp_path, ("g1", "g2"), epoch_s=100))
    gateway, authority = network.daemons["g2"], network.daemons["a1"]
    config = ("--config", authority.config)
    try:
        gateway.start()
        await until(lambda: health(network, "g2").get("status") == "waiting", 30)
        await network.start("a1")
        await gateway.ready()
        before = network.directory().gateway("g2").sphinx_keys
        refused = await asyncio.to_thread(
            mixmint, "gateway", "rekey", "--config", gateway.config, check=False
        )
        assert refused.returncode == 1
        assert "stop it first" in refused.stderr
        assert await asyncio.to_thread(gateway.stop) == 0
        await asyncio.to_thread(mixmint, "gateway", "rekey", "--config", gateway.config)
        await network.start("g2")
        after = network.directory().gateway("g2").sphinx_keys
        assert not {key.public for key in before} & {key.public for key in after}
        await asyncio.to_thread(mixmint, "directory", "remove", "g2", *config)
        await until(lambda: health(network, "g2").get("why_not_newer"), 60)
        assert health(network, "g2")["status"] == "ok"
        assert "has no place for us" in gateway.text_of_log()
        assert "Traceback" not in gateway.text_of_log()
    finally:
        network.kill()
