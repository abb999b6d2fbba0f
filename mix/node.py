"""
The mix daemon: frames in, the pool, frames out at ticks.

Source: DESIGN section 5; docs/spec/mixing.md.
"""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random, SystemRandom

from aiohttp import web

from mix.background import Background
from mix.cover import CoverSource
from mix.epochs.keyring import Keyring
from mix.generations import Generation
from mix.intake import Intake
from mix.links.port import LinkPort
from mix.links.sender import Links, LinkSender
from mix.links.server import LinkServer
from mix.membership import Membership, check_node, open_keyring
from mix.memory import keep_freed_memory
from mix.metrics import NodeMetrics
from mix.packet.batch import Expected
from mix.packet.command import CommandType
from mix.poolfile import PoolFile, Slot
from mix.relay import Mix, NextHops
from mix.replay import ReplayFilter
from mix.settings import MixSettings
from mix.strategies import Strategy, make
from mix.ticker import Ticker
from mix.worker import Workers
from mixmint.settings import describe, load
from mixmint.web import Listener, operations_app, serve
from mixmint.web import run as run_daemon


class MixDaemon:
    """Wires a mix's parts together; `run` is its app's cleanup context."""

    def __init__(self, settings: MixSettings) -> None:
        self.settings = settings
        self.metrics = NodeMetrics()
        self._membership: Membership | None = None
        self._background: Background | None = None
        self._mix: Mix | None = None
        self._hops = NextHops()
        self._lag_s = 0.0

    def health(self) -> dict[str, object]:
        """For /healthz."""
        if self._membership is None:
            return {"status": "starting", "name": self.settings.name}
        state = {"tick_lag_s": round(self._lag_s, 4), **self._membership.health()}
        if self._membership.failed or (self._background is not None and self._background.failed):
            state["status"] = "failed"
        return state if self._mix is None else {**state, **self._mix.health()}

    async def run(self, keyring: Keyring, _: web.Application) -> AsyncIterator[None]:
        """Start what outlives a generation, then the first one; stop in the reverse order."""
        replay = keyring.replay
        async with AsyncExitStack() as stack:
            stack.callback(replay.close)
            file = PoolFile(self.settings.pool_path, replay.knows_frame)
            stack.callback(file.close)
            port = LinkPort(self.settings, self.metrics.refused("link"))
            # Stopped when the last generation is, too: a start that fails halfway has no other.
            stack.push_async_callback(port.stop)
            membership = Membership(self.settings, "mix", keyring, partial(self._parts, replay, file, port))
            self._membership = await stack.enter_async_context(membership)
            stack.push_async_callback(port.stop)
            yield

    @asynccontextmanager
    async def _parts(
        self, replay: ReplayFilter, file: PoolFile, port: LinkPort, generation: Generation
    ) -> AsyncIterator[None]:
        """The parts of a generation, started in the order of their needs."""
        settings, directory, name, metrics = (
            self.settings,
            generation.directory,
            self.settings.name,
            self.metrics,
        )
        tick_s = directory.tick_ms / 1000
        before, after = (
            [directory.node(each) for each in find(name)]
            for find in (directory.predecessors, directory.successors)
        )
        async with AsyncExitStack() as stack:
            rng: Random = SystemRandom()
            pool: Strategy[Slot] = make(directory.mixing, directory.tick_ms, rng)
            ticker = Ticker(tick_s)
            hops = self._hops.learn(after, time.time())
            mix = Mix(file, pool, hops, settings.capacity_packets, metrics, ticker.poke)
            stack.callback(mix.forget_unrecorded)
            expected = Expected(CommandType.RELAY, directory.mixing.most_delay_ms)
            workers = Workers(generation.keys.secrets, expected, settings.workers)
            await stack.enter_async_context(workers)
            intake = Intake(generation.keys, workers, replay, mix, metrics)
            await stack.enter_async_context(intake)
            pair = settings.certificate_path, settings.key_path
            senders = [LinkSender(peer, *pair, tick_s) for peer in after]
            links = await stack.enter_async_context(Links(senders, mix, tick_s, metrics.count_sent))
            self._background = await stack.enter_async_context(Background())
            for loop in (intake.run(), *links.loops()):
                self._background.start(loop)
            cover = CoverSource(directory, name, rng)
            self._background.start(self._tick(ticker, mix, links, cover))
            server = LinkServer(intake, before, tick_s, metrics.refused("link"))
            await port.use(server, before, tick_s)
            stack.push_async_callback(port.pause)
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


def build_app(settings: MixSettings) -> web.Application:
    """
    The operations app; its cleanup context is the daemon.

    Raises UserError for keys or a replay filter that are missing, or a directory that doesn't fit and is the
    only one there will be.
    """
    daemon = MixDaemon(settings)
    app = operations_app(daemon.metrics.registry, daemon.health)
    # Before there is a loop: a large log takes its time to read, and until then a SIGTERM ends the process.
    app.cleanup_ctx.append(partial(daemon.run, open_keyring(settings, "mix", time.time())))
    return app


def check_mix(config: Path, now_s: float) -> str:
    """Read and check everything that `run` needs; returns what would run. Raises UserError."""
    settings = load(config, MixSettings)
    return f"{describe(settings)}\n{check_node(settings, 'mix', now_s)}"


def run(config: Path) -> None:
    """Run a mix until SIGTERM."""
    settings = load(config, MixSettings)
    keep_freed_memory()
    listener = Listener(build_app(settings), settings.operations_host, settings.operations_port)
    run_daemon(lambda: serve([listener], name="mix"))
