"""
One mix under load: TLS in and out, its durable filter, its pool.

The real daemon runs pinned to one core, its unwrapping process too. A generator and a sink on the other core
play the gateways before it and the mix after it, with packets made beforehand. What counts is the time from
the first frame sent until the sink has every packet but those that a pool keeps, after a warm-up.
"""

import asyncio
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figure import Figure, two_scalar_multiplications_us
from mix.directory import Directory, load_network
from mix.frame import Frame, FrameId
from mix.keys import filter_path
from mix.links.front import Front
from mix.links.sender import LinkSender
from mix.links.server import LinkServer
from mix.links.tls import link_server_context
from mix.packet.build import Hop, build_cover
from mix.packet.geometry import KeyId, Tag, Token
from mix.replay import ReplayFilter
from mixmint.demo.network import HOST, free_ports, run_command
from mixmint.demo.processes import is_healthy

HOP_CORE, OTHER_CORE = 0, 1
GATEWAYS = ("g1", "g2", "g3", "g4")
PACKETS = 30_000
TICK_MS = 20
POOL_MINIMUM = 8
OLD_TAGS = 4_000_000
FILL_AT_ONCE = 50_000
RUNS = 3


@dataclass(frozen=True)
class Lane:
    """A network of which only the first mix runs."""

    folder: Path
    directory: Directory
    operations_port: int


def measure() -> list[Figure]:
    """hop_ratio for frames of 64 and 208, and with four million tags on file."""
    try:
        small, large = _ratio(64), _ratio(208)
        with_4m = _ratio(64, old_tags=OLD_TAGS, runs=1)
    finally:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    method = (
        f"packets/s through one mix daemon on one core (TLS 1.3 in and out, filter with fsync, "
        f"timed pool of tick {TICK_MS} ms without cover), {PACKETS} packets, over 1 / two scalar "
        "multiplications measured before and after"
    )

    def figure(name: str, found: tuple[float, float], text: str, goal: float | None) -> Figure:
        ratio, rate = found
        return Figure(name, ratio, "ratio", f"{text}: {method}; {rate:.0f} packets/s", goal)

    return [
        figure("hop_ratio", small, f"frames of 64, median of {RUNS} runs", 0.55),
        figure("hop_ratio_208", large, f"frames of 208, median of {RUNS} runs", 0.55),
        figure("hop_ratio_4m", with_4m, f"frames of 64, {OLD_TAGS:,} tags on file, one run", None),
    ]


def _ratio(frame_packets: int, old_tags: int = 0, runs: int = RUNS) -> tuple[float, float]:
    """(ratio, packets/s): the run whose ratio is the median."""
    found = []
    for _ in range(runs):
        os.sched_setaffinity(0, {HOP_CORE})
        before = two_scalar_multiplications_us()
        os.sched_setaffinity(0, {OTHER_CORE})
        rate = _rate(frame_packets, old_tags)
        os.sched_setaffinity(0, {HOP_CORE})
        after = two_scalar_multiplications_us()
        found.append((rate * (before + after) / 2e6, rate))
    return statistics.median_low(found)


def _rate(frame_packets: int, old_tags: int) -> float:
    with tempfile.TemporaryDirectory() as folder, _lane(Path(folder)) as lane:
        frames = _frames(lane.directory, frame_packets)
        if old_tags:
            _fill(lane, old_tags)
        with _running(lane):
            return asyncio.run(_drive(lane, frames))


@contextmanager
def _lane(folder: Path) -> Iterator[Lane]:
    names = ("m1", "m2", "m3", *GATEWAYS)
    with free_ports(3 * len(names)) as found:
        ports = iter(found)
        operations = {}
        for name in names:
            link, client, operations[name] = next(ports), next(ports), next(ports)
            role = "mix" if name.startswith("m") else "gateway"
            run_command(
                *(role, "init", folder / name, "--name", name, "--host", HOST, "--listen-host", HOST),
                *("--link-port", link, "--operations-port", operations[name]),
                *(("--client-port", client) if role == "gateway" else ()),
            )
    run_command("directory", "authority", folder / "authority.key")
    run_command(
        *("directory", "build", "--out", folder / "directory", "--network-file", folder / "network.toml"),
        *("--authority-key", folder / "authority.key", "--cascade", "m1,m2,m3", "--cover-packets", 0),
        *("--pool-minimum", POOL_MINIMUM, "--tick-ms", TICK_MS),
        *(folder / name / "descriptor" for name in names),
    )
    yield Lane(folder, load_network(folder / "network.toml", time.time()), operations["m1"])


def _frames(directory: Directory, frame_packets: int) -> list[Frame]:
    now_s = time.time()
    hops = []
    for name in ("m1", "m2", "m3", "g1"):
        key = directory.node(name).key_at(now_s)
        hops.append(Hop(KeyId(key.key_id), key.public))
    gateway = directory.node("g1")
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    with multiprocessing.get_context("spawn").Pool() as pool:
        share = 500
        jobs = [(hops, gateway.discard_token, gateway.discard_public, share)] * (PACKETS // share)
        packets = [packet for part in pool.starmap(_make_packets, jobs) for packet in part]
    os.sched_setaffinity(0, {OTHER_CORE})
    return [
        Frame(FrameId(os.urandom(16)), b"".join(packets[at : at + frame_packets]))
        for at in range(0, len(packets), frame_packets)
    ]


def _make_packets(hops: Sequence[Hop], token: bytes, public: bytes, count: int) -> list[bytes]:
    return [build_cover(hops, Token(token), public) for _ in range(count)]


def _fill(lane: Lane, count: int) -> None:
    """Put random tags into the filter of the first mix, under the key in use."""
    key_id = KeyId(lane.directory.node("m1").key_at(time.time()).key_id)
    replay = ReplayFilter(filter_path(lane.folder / "m1" / "state"), [key_id])
    for _ in range(0, count, FILL_AT_ONCE):
        names = [(key_id, Tag(os.urandom(16))) for _ in range(FILL_AT_ONCE)]
        replay.fresh(names, FrameId(os.urandom(16)), 0)
        replay.commit()
    replay.close()


@contextmanager
def _running(lane: Lane) -> Iterator[None]:
    shared = Path("/dev/shm")  # noqa: S108 - memory-backed storage is what a pool file belongs on
    with (
        tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as pool,
        (lane.folder / "m1.log").open("wb") as log,
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "mixmint", "mix", "run", "--config", lane.folder / "m1" / "mix.toml"],
            env={**os.environ, "MIXMINT_POOL_PATH": f"{pool}/pool.db"},
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, {HOP_CORE}),
        )
        try:
            while not is_healthy(lane.operations_port):
                if process.poll() is not None:
                    raise SystemExit((lane.folder / "m1.log").read_text())
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait()


class _Sink:
    """Takes every frame at once and counts; a pool keeps back its minimum."""

    def __init__(self) -> None:
        self._missing = -POOL_MINIMUM
        self._done = asyncio.Event()

    async def accept(self, frame: Frame) -> bool:
        self._missing -= frame.count
        if self._missing <= 0:
            self._done.set()
        return True

    def expect(self, frames: Sequence[Frame]) -> None:
        """So many more are on their way."""
        self._missing += sum(frame.count for frame in frames)
        self._done.clear()

    async def wait(self) -> None:
        """Until all that were expected are here."""
        async with asyncio.timeout(60):
            await self._done.wait()


async def _drive(lane: Lane, frames: list[Frame]) -> float:
    sink = _Sink()
    m1, m2 = lane.directory.node("m1"), lane.directory.node("m2")
    server = LinkServer(sink, [m1], 0.0, lambda _: None)
    front = Front(server.handle, lambda _: None)
    own = lane.folder / "m2"
    context = link_server_context(own / "link.crt", own / "link.key", [m1], lambda _: None)
    await front.start(m2.host, m2.link_port, context)
    senders = [
        LinkSender(m1, lane.folder / name / "link.crt", lane.folder / name / "link.key", TICK_MS / 1000)
        for name in GATEWAYS
    ]
    first = len(frames) // 15
    try:
        # Connections, the unwrapping process and caches are made by the first packets, which don't count.
        await _pass(frames[:first], senders, sink)
        begin = time.perf_counter()
        await _pass(frames[first:], senders, sink)
        return sum(frame.count for frame in frames[first:]) / (time.perf_counter() - begin)
    finally:
        for sender in senders:
            await sender.close()
        await front.stop()


async def _pass(frames: Sequence[Frame], senders: Sequence[LinkSender], sink: _Sink) -> None:
    """Send frames over all links, and wait until they came out."""
    waiting = iter(frames)

    async def send_all(sender: LinkSender) -> None:
        for frame in waiting:
            while await sender.send(frame) != "acknowledged":  # noqa: ASYNC110 - a peer tells no sooner
                await asyncio.sleep(TICK_MS / 1000)

    sink.expect(frames)
    await asyncio.gather(*(send_all(sender) for sender in senders))
    await sink.wait()
