"""
The gateway daemon: packets from endpoints to first mixes, packets from last mixes into mailboxes.

Two sockets that others reach: the link port (mutual TLS, last mixes only) and the client port (endpoints).

Source: DESIGN section 5; docs/spec/gateway.md.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from aiohttp import web

from mix import mailbox, submissions
from mix.background import Background
from mix.client_port import DAY_S, GatewayStore, Limits
from mix.client_side import ClientSide
from mix.epochs.keyring import Keyring
from mix.frame import FrameId
from mix.generations import Generation
from mix.intake import Fresh, Intake
from mix.links.port import LinkPort
from mix.links.sender import Links, LinkSender
from mix.links.server import LinkServer
from mix.mailbox import Delivery, Quota
from mix.membership import Membership, check_node, open_keyring
from mix.memory import keep_freed_memory
from mix.metrics import NodeMetrics
from mix.packet.batch import MAILBOX
from mix.packet.geometry import ADDRESSED_BYTES, TOKEN_BYTES
from mix.relay import NextHops
from mix.replay import ReplayFilter
from mix.settings import GatewaySettings
from mix.ticker import Ticker
from mix.worker import Workers
from mixmint.database import Writer, open_database
from mixmint.errors import UserError
from mixmint.settings import describe, load
from mixmint.web import Listener, operations_app, serve
from mixmint.web import run as run_daemon

EXPIRE_EVERY_S = 3600

_log = logging.getLogger("mix.gateway")


class Mailboxes:
    """An intake's `Keeper`: fresh packets into mailboxes."""

    def __init__(self, store: GatewayStore, discard_token: bytes, metrics: NodeMetrics) -> None:
        self._store = store
        self._discard_token = discard_token
        self._metrics = metrics
        self._pending: dict[FrameId, Delivery] = {}

    def has_room(self, packets: int) -> bool:
        """Always: a mailbox that is full turns packets away by itself, and must not stop a cascade."""
        return True

    async def keep(self, frames: Sequence[Fresh]) -> None:
        """Raises UserError when the disk is full."""
        deliveries = await asyncio.gather(*(self._deliver(fresh) for fresh in frames))
        for fresh, delivery in zip(frames, deliveries, strict=True):
            self._pending[fresh.frame] = delivery

    async def _deliver(self, fresh: Fresh) -> Delivery:
        packets = []
        for at in range(0, len(fresh.packets), ADDRESSED_BYTES):
            token = fresh.packets[at : at + TOKEN_BYTES]
            # Cover of the mixes ends here; its frame is recorded like any other.
            if token != self._discard_token:
                packets.append((token, fresh.packets[at + TOKEN_BYTES : at + ADDRESSED_BYTES]))
        self._metrics.packets.labels("cover").inc(len(fresh.packets) // ADDRESSED_BYTES - len(packets))
        if not packets:
            return Delivery(set())
        return await self._store.deliver(fresh.frame, packets)

    def recorded(self, frames: Sequence[Fresh]) -> None:
        for fresh in frames:
            delivery = self._pending.pop(fresh.frame)
            self._store.recorded(fresh.frame, delivery)
            self._metrics.packets.labels("delivered").inc(delivery.kept)
            for reason, count in (("unknown-token", delivery.unknown), ("mailbox-full", delivery.full)):
                self._metrics.dropped.labels(reason).inc(count)


class GatewayDaemon:
    """Wires a gateway's parts together; `run` is its app's cleanup context."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.metrics = NodeMetrics()
        self._membership: Membership | None = None
        self._background: Background | None = None
        self._store: GatewayStore | None = None
        self._clients: ClientSide | None = None
        self._hops = NextHops()
        self._ticker = Ticker(0)
        self._lag_s = 0.0

    def health(self) -> dict[str, object]:
        """For /healthz."""
        if self._membership is None or self._store is None:
            return {"status": "starting", "name": self.settings.name}
        state = {"tick_lag_s": round(self._lag_s, 4), **self._membership.health()}
        if self._membership.failed or (self._background is not None and self._background.failed):
            state["status"] = "failed"
        return {**state, "waiting_packets": self._store.waiting, "waiting_fetches": self._store.polls}

    async def run(self, keyring: Keyring, _: web.Application) -> AsyncIterator[None]:
        """Start what outlives a generation, then the first one; stop in the reverse order."""
        replay = keyring.replay
        async with AsyncExitStack() as stack:
            stack.callback(replay.close)
            writer = Writer(open_database(database_path(self.settings), mailbox.SCHEMA))
            stack.push_async_callback(writer.close)
            await self._settle(writer, replay)
            store = self._store = await self._open_store(writer)
            port = LinkPort(self.settings, self.metrics.refused("link"))
            clients = ClientSide(self.settings, store, self.metrics, self._submitted)
            self._clients = clients
            parts = partial(self._parts, replay, writer, port)
            # Stopped when the last generation is, too: a start that fails halfway has no other.
            stack.push_async_callback(self._stop_ports, port, clients)
            membership = Membership(self.settings, "gateway", keyring, parts)
            self._membership = await stack.enter_async_context(membership)
            stack.push_async_callback(self._stop_ports, port, clients)
            yield

    @asynccontextmanager
    async def _parts(
        self, replay: ReplayFilter, writer: Writer, port: LinkPort, generation: Generation
    ) -> AsyncIterator[None]:
        """The parts of a generation, started in the order of their needs."""
        store, clients = self._store, self._clients
        if store is None or clients is None:
            raise RuntimeError("opened by `run` only")
        settings, directory, node, metrics = (
            self.settings,
            generation.directory,
            generation.node,
            self.metrics,
        )
        tick_s = directory.tick_ms / 1000
        before, after = (
            [directory.node(name) for name in find(node.name)]
            for find in (directory.predecessors, directory.successors)
        )
        async with AsyncExitStack() as stack:
            await self._settle(writer, replay)
            await store.drop_for_others(set(self._hops.learn(after, time.time()).values()))
            workers = Workers(generation.keys.secrets, MAILBOX, settings.workers)
            await stack.enter_async_context(workers)
            keeper = Mailboxes(store, node.discard_token, metrics)
            intake = Intake(generation.keys, workers, replay, keeper, metrics)
            await stack.enter_async_context(intake)
            pair = settings.certificate_path, settings.key_path
            senders = [LinkSender(peer, *pair, tick_s) for peer in after]
            links = await stack.enter_async_context(Links(senders, store, tick_s, metrics.count_sent))
            self._background = await stack.enter_async_context(Background())
            self._ticker = Ticker(tick_s)
            for loop in (intake.run(), *links.loops()):
                self._background.start(loop)
            self._background.start(self._tick(self._ticker, links, store))
            server = LinkServer(intake, before, tick_s, metrics.refused("link"))
            await port.use(server, before, tick_s)
            stack.push_async_callback(port.pause)
            await clients.follow(directory, node)
            self._ticker.poke()
            yield

    def _submitted(self, count: int) -> None:
        self.metrics.packets.labels("submitted").inc(count)
        self._ticker.poke()

    async def _settle(self, writer: Writer, replay: ReplayFilter) -> None:
        taken_back = await writer.run(
            lambda db: mailbox.settle(db, lambda one: replay.knows_frame(FrameId(one)))
        )
        if taken_back:
            _log.info("%d packets of unfinished frames taken back; their mixes send them again", taken_back)

    async def _open_store(self, writer: Writer) -> GatewayStore:
        settings = self.settings
        quota = Quota(settings.tokens_per_owner, settings.mailbox_packets, settings.owners)
        limits = Limits(quota, settings.waiting_packets, settings.waiting_per_owner)
        return GatewayStore(writer, limits, await writer.run(submissions.count_waiting))

    async def _stop_ports(self, port: LinkPort, clients: ClientSide) -> None:
        await asyncio.gather(port.stop(), clients.stop())

    async def _tick(self, ticker: Ticker, links: Links, store: GatewayStore) -> None:
        expire_at = 0.0
        while True:
            self._lag_s = await ticker.wait()
            links.tick()
            self.metrics.tick_lag.set(self._lag_s)
            self.metrics.held.labels("waiting").set(store.waiting)
            now_s = time.time()
            if now_s >= expire_at:
                expire_at = now_s + EXPIRE_EVERY_S
                await self._expire(store, int(now_s) // DAY_S)

    async def _expire(self, store: GatewayStore, day: int) -> None:
        try:
            expired = await store.expire(day, self.settings.idle_days)
        except UserError as error:
            _log.error("can't forget idle mailboxes: %s", error)
            return
        if expired:
            _log.info("%d mailboxes idle for %d days expired", expired, self.settings.idle_days)


def database_path(settings: GatewaySettings) -> Path:
    """
    Where mailboxes are kept.

    Raises UserError if the database is missing: a new, empty one would hide that mailboxes were lost.
    """
    path = settings.state_folder / "gateway.db"
    if not path.exists():
        raise UserError(f"database {path} is missing; is state_folder right? The init command makes it")
    return path


def build_app(settings: GatewaySettings) -> web.Application:
    """
    The operations app; its cleanup context is the daemon.

    Raises UserError for keys or a replay filter that are missing, or a directory that doesn't fit and is the
    only one there will be.
    """
    daemon = GatewayDaemon(settings)
    app = operations_app(daemon.metrics.registry, daemon.health)
    # Before there is a loop: a large log takes its time to read, and until then a SIGTERM ends the process.
    app.cleanup_ctx.append(partial(daemon.run, open_keyring(settings, "gateway", time.time())))
    return app


def check_gateway(config: Path, now_s: float) -> str:
    """Read and check everything that `run` needs; returns what would run. Raises UserError."""
    settings = load(config, GatewaySettings)
    database_path(settings)
    return f"{describe(settings)}\n{check_node(settings, 'gateway', now_s)}"


def run(config: Path) -> None:
    """Run a gateway until SIGTERM."""
    settings = load(config, GatewaySettings)
    keep_freed_memory()
    listener = Listener(build_app(settings), settings.operations_host, settings.operations_port)
    run_daemon(lambda: serve([listener], name="gateway"))
