"""
The gateway daemon: packets from endpoints to first mixes, packets from last mixes into mailboxes.

Two sockets that others reach: the link port (mutual TLS, last mixes only) and the client port (endpoints).

Source: DESIGN section 5; docs/spec/gateway.md.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from aiohttp import web

from mix import mailbox, submissions
from mix.background import Background
from mix.client_port import DAY_S, ClientPort, GatewayStore, Limits
from mix.directory import load_network
from mix.frame import FrameId
from mix.intake import Fresh, Intake
from mix.keys import days_left, filter_path, load_keys, our_node
from mix.links.front import Front
from mix.links.sender import Links, LinkSender
from mix.links.server import LinkServer
from mix.links.tls import client_port_context, link_server_context
from mix.mailbox import Delivery, Quota
from mix.memory import keep_freed_memory
from mix.metrics import NodeMetrics
from mix.packet.batch import MAILBOX
from mix.packet.geometry import ADDRESSED_BYTES, TOKEN_BYTES
from mix.replay import ReplayFilter, check_filter
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

    def __init__(self, settings: GatewaySettings, now_s: float) -> None:
        self.settings = settings
        self.directory = load_network(settings.network, now_s)
        self.node = our_node(settings, self.directory, "gateway")
        self.keys = load_keys(settings.keys_folder, self.node, now_s)
        self.metrics = NodeMetrics()
        self._background = Background()
        self._store: GatewayStore | None = None
        self._lag_s = 0.0

    def first_mixes(self, now_s: float) -> dict[bytes, str]:
        """The keys, accepted now, of the mixes that we send to."""
        return {
            key.key_id: name
            for name in self.directory.successors(self.node.name)
            for key in self.directory.node(name).sphinx_keys
            if key.is_accepted(now_s)
        }

    def health(self) -> dict[str, object]:
        """For /healthz."""
        state: dict[str, object] = {
            "name": self.node.name,
            "tick_lag_s": round(self._lag_s, 4),
            "directory_days_left": days_left(self.directory, self.node, time.time()),
        }
        if self._store is None or self._background.failed:
            return {"status": "starting" if self._store is None else "failed", **state}
        return {**state, "waiting_packets": self._store.waiting, "waiting_fetches": self._store.polls}

    async def run(self, replay: ReplayFilter, _: web.Application) -> AsyncIterator[None]:
        """Start all parts in the order of their needs; stop them in the reverse one."""
        settings, directory, metrics = self.settings, self.directory, self.metrics
        tick_s = directory.tick_ms / 1000
        before = [directory.node(name) for name in directory.predecessors(self.node.name)]
        after = [directory.node(name) for name in directory.successors(self.node.name)]
        pair = settings.certificate_path, settings.key_path
        async with AsyncExitStack() as stack:
            stack.callback(replay.close)
            writer = Writer(open_database(database_path(settings), mailbox.SCHEMA))
            stack.push_async_callback(writer.close)
            store = await self._open_store(writer, replay)
            workers = await stack.enter_async_context(Workers(self.keys.secrets, MAILBOX, settings.workers))
            keeper = Mailboxes(store, self.node.discard_token, metrics)
            intake = await stack.enter_async_context(Intake(self.keys, workers, replay, keeper, metrics))
            senders = [LinkSender(peer, *pair, tick_s) for peer in after]
            links = await stack.enter_async_context(Links(senders, store, tick_s, metrics.count_sent))
            await stack.enter_async_context(self._background)
            ticker = Ticker(tick_s)
            for loop in (intake.run(), *links.loops()):
                self._background.start(loop)
            self._background.start(self._tick(ticker, links, store))

            def submitted(count: int) -> None:
                metrics.packets.labels("submitted").inc(count)
                ticker.poke()

            server = LinkServer(intake, before, tick_s, metrics.refused("link"))
            refused = metrics.refused("client")
            reserved = {one.token: one.owner for one in self.directory.services}
            port = ClientPort(self.node, store, self.first_mixes, reserved, refused, submitted)
            link_front = Front(server.handle, metrics.refused("link"), idle_s=max(75.0, 4 * tick_s))
            client_front = Front(port.handle, refused, most_connections=settings.most_connections)
            await link_front.start(
                settings.link_host,
                settings.link_port,
                link_server_context(*pair, before, metrics.refused("link")),
            )
            stack.push_async_callback(link_front.stop)
            await client_front.start(
                settings.client_host, settings.client_port, client_port_context(*pair, refused)
            )
            stack.push_async_callback(self._stop_fronts, link_front, client_front, server, store)
            self._store = store
            ticker.poke()
            yield

    async def _open_store(self, writer: Writer, replay: ReplayFilter) -> GatewayStore:
        settings = self.settings
        taken_back = await writer.run(
            lambda db: mailbox.settle(db, lambda one: replay.knows_frame(FrameId(one)))
        )
        if taken_back:
            _log.info("%d packets of unfinished frames taken back; their mixes send them again", taken_back)
        quota = Quota(settings.tokens_per_owner, settings.mailbox_packets, settings.owners)
        limits = Limits(quota, settings.waiting_packets, settings.waiting_per_owner)
        return GatewayStore(writer, limits, await writer.run(submissions.count_waiting))

    async def _stop_fronts(
        self, link_front: Front, client_front: Front, server: LinkServer, store: GatewayStore
    ) -> None:
        store.stop_waiting()
        await server.stop()
        await asyncio.gather(link_front.stop(), client_front.stop())

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

    Raises UserError for a directory that doesn't fit, or keys or a replay filter that are missing.
    """
    daemon = GatewayDaemon(settings, time.time())
    app = operations_app(daemon.metrics.registry, daemon.health)
    # Before there is a loop: a large log takes its time to read, and until then a SIGTERM ends the process.
    path = filter_path(settings.state_folder)
    replay = ReplayFilter(path, daemon.keys.secrets, settings.replay_packets)
    app.cleanup_ctx.append(partial(daemon.run, replay))
    return app


def check_gateway(config: Path, now_s: float) -> str:
    """Read and check everything that `run` needs; returns what would run. Raises UserError."""
    settings = load(config, GatewaySettings)
    daemon = GatewayDaemon(settings, now_s)
    check_filter(filter_path(settings.state_folder), daemon.keys.secrets)
    link_server_context(settings.certificate_path, settings.key_path, [], lambda _: None)
    database_path(settings)
    name, directory = daemon.node.name, daemon.directory
    return (
        f"{describe(settings)}\n"
        f"gateway {name} of network {directory.network}, tick {directory.tick_ms} ms\n"
        f"frames from {', '.join(directory.predecessors(name))}; "
        f"frames to {', '.join(directory.successors(name))}"
    )


def run(config: Path) -> None:
    """Run a gateway until SIGTERM."""
    settings = load(config, GatewaySettings)
    keep_freed_memory()
    listener = Listener(build_app(settings), settings.operations_host, settings.operations_port)
    run_daemon(lambda: serve([listener], name="gateway"))
