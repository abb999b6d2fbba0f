"""What a mix holds: from intake to link, with the real pool file."""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from mix.cover import CoverSource
from mix.frame import FrameId
from mix.intake import Fresh
from mix.metrics import NodeMetrics
from mix.packet.geometry import ADDRESSED_BYTES, PACKET_BYTES
from mix.poolfile import PoolFile, Slot
from mix.relay import COVER_BACKLOG, Mix, NextHops
from mix.strategies import TimedPool
from mixmint.errors import UserError
from tests.unit.mix.networks import NOW_S, make_network

NETWORK = make_network()


@dataclass
class Daemon:
    """m3, whose next hops are both gateways; its pool keeps nothing back unless told."""

    path: Path
    minimum: int = 0
    capacity: int = 2048

    def start(self, successors: Collection[str] = ("g1", "g2")) -> None:
        directory = NETWORK.directory
        self.metrics = NodeMetrics()
        self.hops = NextHops().learn([directory.node(name) for name in successors], NOW_S)
        self.file = PoolFile(self.path, lambda _: True)
        pool: TimedPool[Slot] = TimedPool(Random(1), minimum=self.minimum, fraction=1.0)
        self.mix = Mix(self.file, pool, self.hops, self.capacity, self.metrics, lambda: None)

    def packets(self, *peers: str) -> bytes:
        key_of = {peer: key_id for key_id, peer in self.hops.items()}
        return b"".join(key_of[peer] + os.urandom(PACKET_BYTES) for peer in peers)

    async def take(self, *peers: str) -> bytes:
        packets = self.packets(*peers)
        fresh = Fresh(FrameId(os.urandom(16)), packets, [0] * len(peers))
        await self.mix.keep([fresh])
        self.mix.recorded([fresh])
        return packets

    def dropped(self, reason: str) -> float:
        return (
            self.metrics.registry.get_sample_value("mixmint_packets_dropped_total", {"reason": reason}) or 0.0
        )


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "pool.db")
    made.start()
    yield made
    made.file.close()


async def test_packets_leave_at_ticks_grouped_by_next_hop(daemon: Daemon) -> None:
    """Nothing before the tick; after it each packet in a frame to its own peer."""
    packets = await daemon.take("g1", "g2", "g1")
    assert await daemon.mix.next_frame("g1") is None
    daemon.mix.release()
    one, two = await daemon.mix.next_frame("g1"), await daemon.mix.next_frame("g2")
    assert one is not None
    assert two is not None
    assert (one.count, two.count) == (2, 1)
    assert two.packets == packets[ADDRESSED_BYTES : 2 * ADDRESSED_BYTES]


async def test_a_frame_is_the_same_until_it_is_acknowledged(daemon: Daemon) -> None:
    """What comes meanwhile goes into the next one."""
    await daemon.take("g1")
    daemon.mix.release()
    first = await daemon.mix.next_frame("g1")
    await daemon.take("g1", "g1")
    daemon.mix.release()
    assert await daemon.mix.next_frame("g1") == first
    assert first is not None
    await daemon.mix.acknowledged("g1", first)
    second = await daemon.mix.next_frame("g1")
    assert second is not None
    assert second.count == 2
    assert second.id != first.id


async def test_a_restart_loses_nothing_and_sends_the_same_frame(daemon: Daemon) -> None:
    """Pooled, released and framed packets are all there; only the released wait in the pool again."""
    daemon.minimum = 1
    await daemon.take("g1")
    daemon.mix.release()
    framed = await daemon.mix.next_frame("g1")
    await daemon.take("g1", "g1", "g2")
    daemon.mix.release()
    daemon.file.close()
    daemon.start()
    assert len(daemon.file) == 4
    assert await daemon.mix.next_frame("g1") == framed
    daemon.mix.release()
    assert daemon.mix.health()["pool_packets"] == 1


async def test_a_packet_for_somebody_else_is_dropped(daemon: Daemon) -> None:
    """A packet can't leave its cascade: its next key is a gateway's, or nobody's."""
    m1 = NETWORK.directory.node("m1").sphinx_keys[0].key_id
    fresh = Fresh(FrameId(bytes(16)), m1 + bytes(PACKET_BYTES) + daemon.packets("g2"), [0, 0])
    await daemon.mix.keep([fresh])
    daemon.mix.recorded([fresh])
    assert daemon.dropped("next-hop") == 1
    assert len(daemon.file) == 1


async def test_room_counts_pool_and_links(daemon: Daemon) -> None:
    """A link that is stuck fills the mix too; then frames get 503."""
    for number in range(7):
        await daemon.take(*["g1" if number % 2 else "g2"] * 256)
        daemon.mix.release()
    assert daemon.mix.has_room(256)
    assert not daemon.mix.has_room(257)


async def test_a_peer_away_for_too_long_does_not_stop_the_others(daemon: Daemon) -> None:
    """What waits for one link over half of all room is dropped, oldest first, and counted."""
    for _ in range(5):
        await daemon.take(*["g1"] * 256)
        daemon.mix.release()
    assert daemon.dropped("backlog") == 256
    assert daemon.mix.has_room(1024)


async def test_cover_is_left_out_where_it_could_not_leave(daemon: Daemon) -> None:
    """It would only take up room."""
    for _ in range(5):
        await daemon.take(*["g1"] * (COVER_BACKLOG // 4))
    daemon.mix.release()
    before = len(daemon.file)
    daemon.mix.add_cover([daemon.packets("g1"), daemon.packets("g2")])
    assert len(daemon.file) == before + 1


async def test_cover_ends_at_discard_endpoints_of_all_gateways() -> None:
    """From each mix of the cascade; a gateway is chosen anew for each packet."""
    directory = NETWORK.directory
    for name, after in (("m1", "m2"), ("m2", "m3")):
        source = CoverSource(directory, name, Random(1))
        packets = await source.packets(NOW_S)
        assert len(packets) == directory.cover.packets
        firsts = {node.name for one in packets if (node := directory.node_of(one[:16]))}
        assert firsts == {after}
    source = CoverSource(directory, "m3", Random(1))
    nodes = [directory.node_of(one[:16]) for _ in range(5) for one in await source.packets(NOW_S)]
    assert {node.name for node in nodes if node} == {"g1", "g2"}


async def test_no_cover_when_keys_have_run_out() -> None:
    """An old directory stops cover, not the mix."""
    source = CoverSource(NETWORK.directory, "m1", Random(1))
    assert await source.packets(NOW_S + 10**8) == []
    with pytest.raises(UserError):
        NETWORK.directory.node("m1").key_at(NOW_S + 10**8)


async def test_what_a_new_directory_leads_nowhere_is_dropped_at_the_start(daemon: Daemon) -> None:
    """
    A gateway left, or has new keys: what is in the pool or on its way for it must not stop the mix for ever.
    """
    daemon.minimum = 0
    await daemon.take("g1")
    daemon.mix.release()
    assert await daemon.mix.next_frame("g1") is not None
    await daemon.take("g1", "g2", "g1")
    daemon.file.close()
    daemon.start({"g2"})
    daemon.mix.release()
    left = await daemon.mix.next_frame("g2")
    assert left is not None
    assert left.count == 1
    assert len(daemon.file) == 1
    assert daemon.dropped("next-hop") == 3


async def test_a_frame_that_could_not_be_recorded_is_replaced_when_it_comes_again(daemon: Daemon) -> None:
    """Its packets are in the pool file once, whatever failed before; a restart finds them once."""
    packets = daemon.packets("g1", "g1")
    fresh = Fresh(FrameId(os.urandom(16)), packets, [0, 0])
    for _ in range(3):
        await daemon.mix.keep([fresh])
    daemon.mix.recorded([fresh])
    assert len(daemon.file) == 2
    daemon.file.close()
    daemon.start()
    daemon.mix.release()
    frame = await daemon.mix.next_frame("g1")
    assert frame is not None
    assert frame.count == 2


async def test_a_full_storage_holds_packets_up_and_loses_none(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Frames wait, cover stays away, and what was to be dropped stays, until there is room."""

    def full(*_: object) -> None:
        raise UserError("the pool file can't be written: full; make room")

    packets = await daemon.take("g1", "g1", "g1")
    daemon.mix.release()
    with monkeypatch.context() as patched:
        for name in ("put", "send", "discard"):
            patched.setattr(daemon.file, name, full)
        with pytest.raises(UserError):
            await daemon.mix.next_frame("g1")
        daemon.mix.add_cover([daemon.packets("g1")])
        daemon.mix._capacity = 2
        daemon.mix.release()
        daemon.mix._capacity = 2048
    assert "no cover" in caplog.text
    assert "can't be dropped now" in caplog.text
    frame = await daemon.mix.next_frame("g1")
    assert frame is not None
    starts = range(0, 3 * ADDRESSED_BYTES, ADDRESSED_BYTES)
    left, came = ({each[at : at + ADDRESSED_BYTES] for at in starts} for each in (frame.packets, packets))
    assert left == came


async def test_what_was_not_recorded_goes_when_the_intake_has_stopped(daemon: Daemon) -> None:
    """Its sender has it still; left in the pool, it would leave now and come again."""
    await daemon.take("g1")
    daemon.mix.release()
    kept = await daemon.mix.next_frame("g1")
    fresh = Fresh(FrameId(os.urandom(16)), daemon.packets("g1", "g2"), [0, 0])
    await daemon.mix.keep([fresh])
    daemon.mix.forget_unrecorded()
    assert len(daemon.file) == 1
    assert daemon.file.outgoing("g1") == kept
    assert daemon.file.held() == []


def test_a_node_that_is_left_out_for_a_while_loses_nothing() -> None:
    """Its keys stay known until they are accepted no more; a new directory's are added."""
    hops, directory = NextHops(), NETWORK.directory
    both = hops.learn([directory.node("g1"), directory.node("g2")], NOW_S)
    assert hops.learn([directory.node("g2")], NOW_S) == both
    ends_s = max(key.accepted_until_s for key in directory.node("g1").sphinx_keys)
    assert set(hops.learn([directory.node("g2")], ends_s - 1).values()) == {"g1", "g2"}
    assert hops.learn([], ends_s) == {}
