"""The way of a frame into a node: the order of its steps, groups, replays, and crashes between steps."""

import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mix.frame import Frame, FrameId
from mix.intake import Fresh, Intake
from mix.keys import NodeKeys
from mix.metrics import NodeMetrics
from mix.packet.batch import Expected
from mix.packet.build import build_forward
from mix.packet.command import CommandType
from mix.packet.geometry import ADDRESSED_BYTES, Addressed, KeyId
from mix.replay import ReplayFilter, create_filter
from mix.worker import Workers
from mixmint.errors import FatalError, UserError
from mixmint.keys import BoxKey
from tests.unit.mix.networks import NOW_S, Network, make_network

ENDPOINT = BoxKey(bytes([7]) * 32)


@dataclass
class Keeper:
    """Remembers what it was asked to keep; can have no room, or a full disk."""

    kept: list[Fresh] = field(default_factory=list)
    recorded_frames: list[FrameId] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    room: bool = True
    disk_full: bool = False
    on_keep: Callable[[], object] = lambda: None

    def has_room(self, packets: int) -> bool:
        return self.room

    async def keep(self, frames: Sequence[Fresh]) -> None:
        self.groups.append(len(frames))
        self.on_keep()
        await asyncio.sleep(0)
        if self.disk_full:
            raise UserError("the store can't write")
        self.kept.extend(frames)

    def recorded(self, frames: Sequence[Fresh]) -> None:
        self.recorded_frames.extend(one.frame for one in frames)


@dataclass
class Node:
    """m1's intake, wired as in the daemon, unwrapping in this process."""

    network: Network
    intake: Intake
    replay: ReplayFilter
    keeper: Keeper
    metrics: NodeMetrics
    loop: asyncio.Task[None]

    def packet(self) -> Addressed:
        route = self.network.directory.route("g1", b"t" * 16, ENDPOINT.public, NOW_S)
        return build_forward(route, b"hello")

    def dropped(self, reason: str) -> float:
        return (
            self.metrics.registry.get_sample_value("mixmint_packets_dropped_total", {"reason": reason}) or 0.0
        )


@asynccontextmanager
async def node(
    folder: Path, network: Network | None = None, now_s: float = NOW_S, replay_packets: int = 0
) -> AsyncIterator[Node]:
    first = network is None
    network = network or make_network()
    listed = network.directory.node("m1").sphinx_keys
    keys = NodeKeys(listed, {KeyId(key.key_id): network.boxes[key.key_id].secret for key in listed})
    path = folder / "replay"
    if first:
        create_filter(path, keys.secrets)
    replay, keeper, metrics = ReplayFilter(path, keys.secrets, replay_packets), Keeper(), NodeMetrics()
    async with (
        Workers(keys.secrets, Expected(CommandType.RELAY), 0) as workers,
        Intake(keys, workers, replay, keeper, metrics, lambda: now_s) as intake,
    ):
        loop = asyncio.create_task(intake.run())
        yield Node(network, intake, replay, keeper, metrics, loop)
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
    replay.close()


def frame(name: bytes, *packets: bytes) -> Frame:
    return Frame(FrameId(name * 16), b"".join(packets))


async def test_a_start_forgets_the_ids_of_frames_of_epochs_long_past(tmp_path: Path) -> None:
    """Otherwise the file grows for ever; ids of the epochs that keys are accepted for stay."""
    network = make_network()
    keys = [key.key_id for key in network.directory.node("m1").sphinx_keys]
    create_filter(tmp_path / "replay", [KeyId(key) for key in keys])
    newest = max(key.epoch for key in network.directory.node("m1").sphinx_keys)
    replay = ReplayFilter(tmp_path / "replay", [KeyId(key) for key in keys])
    for back in range(5):
        replay.fresh([], FrameId(bytes([back]) * 16), newest - back)
    replay.commit()
    replay.close()
    async with node(tmp_path, network) as one:
        known = [one.replay.knows_frame(FrameId(bytes([back]) * 16)) for back in range(5)]
    assert known == [True, True, True, False, False]


async def test_a_frame_is_kept_then_recorded_then_acknowledged(tmp_path: Path) -> None:
    """And its packets have been unwrapped: one hop further."""
    async with node(tmp_path) as one:
        packet = one.packet()
        assert await one.intake.accept(frame(b"a", packet))
        (fresh,) = one.keeper.kept
        assert fresh.frame == b"a" * 16
        assert len(fresh.packets) == ADDRESSED_BYTES
        assert fresh.packets != packet
        assert one.keeper.recorded_frames == [b"a" * 16]
        assert one.replay.knows_frame(FrameId(b"a" * 16))


async def test_a_known_frame_is_acknowledged_and_no_more(tmp_path: Path) -> None:
    """From memory while we run, from the filter after a restart."""
    async with node(tmp_path) as one:
        packet = one.packet()
        assert await one.intake.accept(frame(b"a", packet))
        assert await one.intake.accept(frame(b"a", packet))
        assert len(one.keeper.kept) == 1
        network = one.network
    async with node(tmp_path, network) as again:
        assert await again.intake.accept(frame(b"a", packet))
        assert again.keeper.kept == []


async def test_a_replayed_packet_is_dropped_and_its_frame_is_not(tmp_path: Path) -> None:
    """The attacker learns nothing, and can't stop the packets beside it."""
    async with node(tmp_path) as one:
        packet, other = one.packet(), one.packet()
        await one.intake.accept(frame(b"a", packet))
        assert await one.intake.accept(frame(b"b", packet, other, other))
        assert [len(fresh.packets) // ADDRESSED_BYTES for fresh in one.keeper.kept] == [1, 1]
        assert one.dropped("replayed") == 2
        network = one.network
    async with node(tmp_path, network) as again:
        assert await again.intake.accept(frame(b"c", packet))
        assert again.keeper.kept[0].packets == b""


async def test_malformed_packets_are_counted_by_reason(tmp_path: Path) -> None:
    """An unknown key, a changed header; the good one goes through."""
    async with node(tmp_path) as one:
        good = one.packet()
        changed = bytearray(one.packet())
        changed[100] ^= 1
        unknown = b"?" * 16 + bytes(good[16:])
        assert await one.intake.accept(frame(b"a", good, bytes(changed), unknown))
        assert (one.dropped("mac"), one.dropped("key")) == (1, 1)
        assert len(one.keeper.kept[0].packets) == ADDRESSED_BYTES


async def test_a_key_out_of_its_time_accepts_nothing(tmp_path: Path) -> None:
    """A key listed for later, or for an epoch long gone, unwraps but isn't accepted."""
    network = make_network()
    last = network.directory.node("m1").sphinx_keys[0].accepted_until_s
    async with node(tmp_path) as one:
        packet, network = one.packet(), one.network
    async with node(tmp_path, network, now_s=last + 1) as late:
        assert await late.intake.accept(frame(b"a", packet))
        assert late.dropped("epoch") == 1
        assert late.keeper.kept[0].packets == b""


async def test_a_node_whose_keys_have_all_run_out_drops_packets_and_goes_on(tmp_path: Path) -> None:
    """Each packet is of a past epoch; the intake itself doesn't fail over it."""
    async with node(tmp_path) as one:
        packet, network = one.packet(), one.network
    last = max(key.accepted_until_s for key in network.directory.node("m1").sphinx_keys)
    async with node(tmp_path, network, now_s=last + 1) as late:
        assert await asyncio.wait_for(late.intake.accept(frame(b"b", packet)), 5)
        assert late.dropped("epoch") == 1
        assert not late.loop.done()


async def test_no_room_takes_nothing(tmp_path: Path) -> None:
    """The sender keeps the frame and slows down; no tag is recorded, so it is good later."""
    async with node(tmp_path) as one:
        packet = one.packet()
        one.keeper.room = False
        assert not await one.intake.accept(frame(b"a", packet))
        one.keeper.room = True
        assert await one.intake.accept(frame(b"a", packet))
        assert len(one.keeper.kept[0].packets) == ADDRESSED_BYTES


async def test_a_full_disk_records_no_tag(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What couldn't be kept isn't acknowledged, and is fresh when it comes again."""
    async with node(tmp_path) as one:
        packet = one.packet()
        one.keeper.disk_full = True
        assert not await one.intake.accept(frame(b"a", packet))
        assert "can't be kept" in caplog.text
        one.keeper.disk_full = False
        assert await one.intake.accept(frame(b"a", packet))
        assert len(one.keeper.kept[0].packets) == ADDRESSED_BYTES


async def test_without_room_for_tags_nothing_is_acknowledged_and_later_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk: the daemon answers "no room", goes on, and takes the frame when there is room again."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with node(tmp_path) as one:
        packets = [one.packet() for _ in range(3)]
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
            async with asyncio.timeout(60):
                for _ in range(2):
                    assert not await one.intake.accept(frame(b"a", *packets))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert "can't be recorded" in caplog.text
        assert one.keeper.recorded_frames == []
        assert not one.replay.knows_frame(FrameId(b"a" * 16))
        assert await one.intake.accept(frame(b"a", *packets))
        assert one.keeper.recorded_frames == [b"a" * 16]
        assert len(one.keeper.kept[-1].packets) == 3 * ADDRESSED_BYTES
        assert not one.loop.done()


async def test_packets_that_a_full_filter_can_not_remember_are_dropped_and_counted(tmp_path: Path) -> None:
    """Their frame is acknowledged: held up, it would hold up the packets of other keys behind it."""
    async with node(tmp_path, replay_packets=2) as one:
        known = one.packet()
        assert await one.intake.accept(frame(b"a", known, one.packet()))
        assert await one.intake.accept(frame(b"b", known, one.packet()))
        assert (one.dropped("filter-full"), one.dropped("replayed")) == (2, 0)
        assert [len(fresh.packets) // ADDRESSED_BYTES for fresh in one.keeper.kept] == [2, 0]
        assert one.metrics.registry.get_sample_value("mixmint_replay_filter_fill") == 1


async def test_frames_that_wait_are_written_together(tmp_path: Path) -> None:
    """One sync of the disk for all of them."""
    async with node(tmp_path) as one:
        frames = [frame(name, one.packet()) for name in (b"a", b"b", b"c", b"d")]
        assert all(await asyncio.gather(*(one.intake.accept(each) for each in frames)))
        assert sum(one.keeper.groups) == 4
        assert len(one.keeper.groups) < 4


async def test_a_stop_finishes_the_write_that_has_begun(tmp_path: Path) -> None:
    """Its thread can't be called back; so it is waited for, and its frame acknowledged."""
    async with node(tmp_path) as one:
        one.keeper.on_keep = one.loop.cancel
        assert await one.intake.accept(frame(b"a", one.packet()))
        assert one.replay.knows_frame(FrameId(b"a" * 16))
        assert one.keeper.recorded_frames == [b"a" * 16]
        await asyncio.gather(one.loop, return_exceptions=True)
        assert one.loop.cancelled()


async def test_a_filter_that_can_not_be_written_stops_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a replay might be accepted: nothing is acknowledged, and the loop ends in FatalError."""

    def fail() -> None:
        raise FatalError("the replay filter can't be written")

    async with node(tmp_path) as one:
        monkeypatch.setattr(one.replay, "commit", fail)
        assert not await one.intake.accept(frame(b"a", one.packet()))
        assert one.keeper.recorded_frames == []
        with pytest.raises(FatalError):
            await one.loop


async def test_a_frame_that_comes_as_the_intake_stops_is_not_taken(tmp_path: Path) -> None:
    """Nobody would write it; its sender keeps it, and isn't kept waiting for ever."""
    async with node(tmp_path) as one:
        packet, intake = one.packet(), one.intake
    assert not await asyncio.wait_for(intake.accept(frame(b"a", packet)), 10)
