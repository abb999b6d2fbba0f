"""
The mix daemon: frames in, the pool, frames out at ticks.

What it holds is in the pool file, so a process that is killed, restarted or upgraded loses nothing; a stop
never empties the pool early, since that would show who was in it.

Source: DESIGN section 5; docs/spec/mixing.md.
"""

import logging
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random, SystemRandom

from aiohttp import web

from mix.background import Background
from mix.cover import CoverSource
from mix.directory import Directory, Node, load_network
from mix.frame import FRAME_ID_BYTES, MOST_PACKETS, Frame, FrameId
from mix.intake import Fresh, Intake, select
from mix.keys import days_left, filter_path, load_keys, our_node
from mix.links.front import Front
from mix.links.sender import Links, LinkSender
from mix.links.server import LinkServer
from mix.links.tls import link_server_context
from mix.memory import keep_freed_memory
from mix.metrics import NodeMetrics
from mix.packet.batch import Expected
from mix.packet.command import CommandType
from mix.packet.geometry import ADDRESSED_BYTES, KEY_ID_BYTES
from mix.poolfile import PoolFile, Slot
from mix.replay import ReplayFilter, check_filter
from mix.settings import MixSettings
from mix.strategies import Strategy, make
from mix.ticker import Ticker
from mix.worker import Workers
from mixmint.errors import UserError
from mixmint.settings import describe, load
from mixmint.web import Listener, operations_app, serve
from mixmint.web import run as run_daemon

COVER_BACKLOG = 1024
"""A link with more packets waiting gets no cover: it wouldn't leave, only take up room."""

_log = logging.getLogger("mix")


class Mix:
    """What a mix holds, and where it goes next: its intake's `Keeper` and its links' `Outbox`."""

    def __init__(
        self,
        file: PoolFile,
        pool: Strategy[Slot],
        next_hops: Mapping[bytes, str],
        capacity: int,
        metrics: NodeMetrics,
        arrived: Callable[[], None],
    ) -> None:
        self._file = file
        self._pool = pool
        self._next_hops = next_hops
        self._capacity = capacity
        self._metrics = metrics
        self._arrived = arrived
        self._pending: dict[FrameId, tuple[list[Slot], Sequence[int]]] = {}
        peers = set(next_hops.values())
        if strays := file.drop_strays(next_hops):
            _log.warning("%d packets dropped: the directory no longer has where they were to go", strays)
            metrics.dropped.labels("next-hop").inc(strays)
        # Released by the pool, waiting for their link. Still "held" in the file: a restart pools them again.
        self._released: dict[str, deque[Slot]] = {peer: deque() for peer in peers}
        self._unacknowledged = {peer: file.outgoing(peer) for peer in peers}
        pool.add(file.held())

    def has_room(self, packets: int) -> bool:
        return len(self._file) + packets <= self._capacity

    async def keep(self, frames: Sequence[Fresh]) -> None:
        for fresh in frames:
            if fresh.frame in self._pending:
                # It came before, and its tags could not be recorded: these are the same packets.
                self._file.discard(self._pending[fresh.frame][0])
                del self._pending[fresh.frame]
            packets, delays_ms = self._onward(fresh)
            self._pending[fresh.frame] = self._file.put(fresh.frame, packets), delays_ms

    def _onward(self, fresh: Fresh) -> tuple[bytes, Sequence[int]]:
        """Those whose next key is one of our successors': a packet can't leave its cascade."""
        packets = fresh.packets
        starts = range(0, len(packets), ADDRESSED_BYTES)
        known = [packets[at : at + KEY_ID_BYTES] in self._next_hops for at in starts]
        if all(known):
            return packets, fresh.delays_ms
        self._metrics.dropped.labels("next-hop").inc(known.count(False))
        places = [place for place, good in enumerate(known) if good]
        return select(packets, places), [fresh.delays_ms[place] for place in places]

    def recorded(self, frames: Sequence[Fresh]) -> None:
        for fresh in frames:
            slots, delays_ms = self._pending.pop(fresh.frame)
            self._pool.add(slots, delays_ms)
            self._metrics.packets.labels("pooled").inc(len(slots))
        self._arrived()

    def add_cover(self, packets: Sequence[bytes]) -> None:
        """Put cover packets into the pool, where nothing tells them from others."""
        wanted = [one for one in packets if len(self._released[self._peer(one)]) < COVER_BACKLOG]
        if wanted and self.has_room(len(wanted)):
            try:
                slots = self._file.put(FrameId(os.urandom(FRAME_ID_BYTES)), b"".join(wanted))
            except UserError as error:
                _log.error("no cover: %s", error)
                return
            self._pool.add(slots)
            self._metrics.packets.labels("cover").inc(len(wanted))

    def _peer(self, packet: bytes) -> str:
        return self._next_hops[packet[:KEY_ID_BYTES]]

    def release(self) -> None:
        """A tick: the pool lets some packets go, each to its link."""
        leaving = self._pool.tick()
        if len(self._released) == 1:
            # The first and second of a cascade have one successor: no need to look each packet up.
            (only,) = self._released.values()
            only.extend(leaving)
        else:
            for slot in leaving:
                self._released[self._next_hops[self._file.hop(slot)]].append(slot)
        for peer, waiting in self._released.items():
            # A peer away for so long must not stop the others: what is over half of all room is dropped.
            while len(waiting) > self._capacity // 2:
                if not self._drop_first(waiting):
                    break
                _log.error("%s has been away for too long; packets for it are dropped", peer)
        self.measure()

    def _drop_first(self, waiting: deque[Slot]) -> bool:
        slots = list(islice(waiting, MOST_PACKETS))
        try:
            self._file.discard(slots)
        except UserError as error:
            _log.error("packets can't be dropped now: %s", error)
            return False
        for _ in slots:
            waiting.popleft()
        self._metrics.dropped.labels("backlog").inc(len(slots))
        return True

    async def next_frame(self, peer: str) -> Frame | None:
        frame = self._unacknowledged[peer]
        waiting = self._released[peer]
        if frame is None and waiting:
            slots = list(islice(waiting, MOST_PACKETS))
            # Without room for a frame's record they go on waiting.
            frame = self._file.send(peer, FrameId(os.urandom(FRAME_ID_BYTES)), slots)
            self._unacknowledged[peer] = frame
            for _ in slots:
                waiting.popleft()
        return frame

    async def acknowledged(self, peer: str, frame: Frame) -> None:
        self._file.acknowledged(peer, frame.id)
        self._unacknowledged[peer] = None
        self._metrics.packets.labels("forwarded").inc(frame.count)

    def measure(self) -> None:
        """Set the gauges."""
        self._metrics.held.labels("pool").set(len(self._pool))
        self._metrics.held.labels("links").set(len(self._file) - len(self._pool))

    def health(self) -> dict[str, object]:
        return {"pool_packets": len(self._pool), "held_packets": len(self._file)}


class MixDaemon:
    """Wires a mix's parts together; `run` is its app's cleanup context."""

    def __init__(self, settings: MixSettings, now_s: float) -> None:
        self.settings = settings
        self.directory = load_network(settings.network, now_s)
        self.node = our_node(settings, self.directory, "mix")
        self.keys = load_keys(settings.keys_folder, self.node, now_s)
        self.metrics = NodeMetrics()
        self._background = Background()
        self._mix: Mix | None = None
        self._lag_s = 0.0

    def peers(self, names: Sequence[str]) -> list[Node]:
        return [self.directory.node(name) for name in names]

    def health(self) -> dict[str, object]:
        """For /healthz."""
        state: dict[str, object] = {
            "name": self.node.name,
            "tick_lag_s": round(self._lag_s, 4),
            "directory_days_left": days_left(self.directory, self.node, time.time()),
        }
        if self._mix is None or self._background.failed:
            return {"status": "starting" if self._mix is None else "failed", **state}
        return {**state, **self._mix.health()}

    async def run(self, replay: ReplayFilter, _: web.Application) -> AsyncIterator[None]:
        """Start all parts in the order of their needs; stop them in the reverse one."""
        settings, directory, metrics = self.settings, self.directory, self.metrics
        tick_s = directory.tick_ms / 1000
        before, after = (
            self.peers(find(self.node.name)) for find in (directory.predecessors, directory.successors)
        )
        tls = link_server_context(
            settings.certificate_path, settings.key_path, before, metrics.refused("link")
        )
        async with AsyncExitStack() as stack:
            stack.callback(replay.close)
            file = PoolFile(settings.pool_path, replay.knows_frame)
            stack.callback(file.close)
            rng: Random = SystemRandom()
            pool: Strategy[Slot] = make(directory.mixing, directory.tick_ms, rng)
            ticker = Ticker(tick_s)
            mix = Mix(file, pool, next_hops(after), settings.capacity_packets, metrics, ticker.poke)
            expected = Expected(CommandType.RELAY, directory.mixing.most_delay_ms)
            workers = await stack.enter_async_context(Workers(self.keys.secrets, expected, settings.workers))
            intake = await stack.enter_async_context(Intake(self.keys, workers, replay, mix, metrics))
            senders = [
                LinkSender(peer, settings.certificate_path, settings.key_path, tick_s) for peer in after
            ]
            links = await stack.enter_async_context(Links(senders, mix, tick_s, metrics.count_sent))
            await stack.enter_async_context(self._background)
            for loop in (intake.run(), *links.loops()):
                self._background.start(loop)
            cover = CoverSource(directory, self.node.name, rng)
            self._background.start(self._tick(ticker, mix, links, cover))
            server = LinkServer(intake, before, tick_s, metrics.refused("link"))
            front = Front(server.handle, metrics.refused("link"), idle_s=max(75.0, 4 * tick_s))
            await front.start(settings.link_host, settings.link_port, tls)
            stack.push_async_callback(front.stop)
            stack.push_async_callback(server.stop)
            self._mix = mix
            ticker.poke()
            yield

    async def _tick(self, ticker: Ticker, mix: Mix, links: Links, cover: CoverSource) -> None:
        waiting = await cover.packets(time.time())
        while True:
            self._lag_s = await ticker.wait()
            self.metrics.tick_lag.set(self._lag_s)
            mix.add_cover(waiting)
            mix.release()
            links.tick()
            # Made now for the next tick, so that making it delays no tick.
            waiting = await cover.packets(time.time())


def next_hops(peers: Sequence[Node]) -> dict[bytes, str]:
    """The key ids of these nodes, each to the node's name."""
    return {key.key_id: peer.name for peer in peers for key in peer.sphinx_keys}


def build_app(settings: MixSettings) -> web.Application:
    """
    The operations app; its cleanup context is the daemon.

    Raises UserError for a directory that doesn't fit, or keys or a replay filter that are missing.
    """
    daemon = MixDaemon(settings, time.time())
    app = operations_app(daemon.metrics.registry, daemon.health)
    # Before there is a loop: a large log takes its time to read, and until then a SIGTERM ends the process.
    path = filter_path(settings.state_folder)
    replay = ReplayFilter(path, daemon.keys.secrets, settings.replay_packets)
    app.cleanup_ctx.append(partial(daemon.run, replay))
    return app


def check_mix(config: Path, now_s: float) -> str:
    """Read and check everything that `run` needs; returns what would run. Raises UserError."""
    settings = load(config, MixSettings)
    daemon = MixDaemon(settings, now_s)
    check_filter(filter_path(settings.state_folder), daemon.keys.secrets)
    link_server_context(settings.certificate_path, settings.key_path, [], lambda _: None)
    return f"{describe(settings)}\n{_summary(daemon.directory, daemon.node)}"


def _summary(directory: Directory, node: Node) -> str:
    before, after = directory.predecessors(node.name), directory.successors(node.name)
    return (
        f"{node.role} {node.name} of network {directory.network}, tick {directory.tick_ms} ms\n"
        f"frames from {', '.join(before)}; frames to {', '.join(after)}"
    )


def run(config: Path) -> None:
    """Run a mix until SIGTERM."""
    settings = load(config, MixSettings)
    keep_freed_memory()
    listener = Listener(build_app(settings), settings.operations_host, settings.operations_port)
    run_daemon(lambda: serve([listener], name="mix"))
