"""
The bank's daemon: settings and keys in, tasks and listeners up, everything down in order.

    feeder        the outbox to the board, the board's clock back; statements when they are due
    confirmer     the board's log, read back and compared
    clerk         answers to the claims that stand there
    retirer       coin epochs that are over for good
    service host  requests over the mixes
    HTTP          requests directly, into the same batches
"""

import asyncio
import logging
import signal
import ssl
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from bank.board.feed import FeedClient
from bank.board.reading.client import BoardReader
from bank.claims.clerk import Clerk
from bank.claims.reading import look_for
from bank.confirmer import Confirmer
from bank.feeder import Feeder
from bank.formats.entry import make_key_entry
from bank.ledger import Signer
from bank.outbox import BoardClock
from bank.recovery.record import Whose, whose
from bank.retiring import Retirer
from bank.service import Bank
from bank.settings import BankSettings
from bank.statements import Statements
from bank.stores.interface import Store
from bank.stores.opening import check_store, open_store
from bank.web import build_app as build_web_app
from mix.directory import Directory
from mix.directory.newest import followed, newest_directory
from mix.endpoint import GatewayClient
from mixmint.errors import UserError
from mixmint.keys import SEED_BYTES, BoxKey, SigningKey, read_secret
from mixmint.settings import describe, load
from mixmint.web import Listener, operations_app, run, serve
from replyblocks.init import mailbox_owner
from replyblocks.service import ServiceHost

_log = logging.getLogger("bank")


@dataclass(frozen=True)
class Parts:
    """What a bank is made of, read and checked."""

    settings: BankSettings
    directory: Directory
    whose: Whose
    endpoint_key: BoxKey

    @property
    def key(self) -> SigningKey:
        """The bank's signing key, the one in force now."""
        return self.whose.key


def read_parts(config: Path, now_s: float) -> Parts:
    """
    Read settings, directory and keys, and check that they belong together.

    Raises UserError, one line, for whatever is missing or wrong.
    """
    settings = load(config, BankSettings)
    directory = newest_directory(settings.network, kept_path(settings), now_s)
    mine = whose(settings)
    endpoint_key = BoxKey(read_secret(settings.endpoint_key_path, SEED_BYTES))
    service = directory.service(settings.name)
    if service.kind != "bank" or service.identity != mine.founding:
        raise UserError(
            f"the directory lists another key for bank {settings.name}; hand in this bank's descriptor, or "
            "use the folder that belongs to it"
        )
    if directory.service(settings.board).kind != "board":
        raise UserError(f"{settings.board} is no board in the directory; mend the setting `board`")
    return Parts(settings, directory, mine, endpoint_key)


def kept_path(settings: BankSettings) -> Path:
    """Where the directory is kept that this bank believes."""
    return settings.endpoint_key_path.with_name("directory")


def check(config: Path, now_s: float) -> str:
    """What ``--check`` prints; it opens everything but listens nowhere."""
    parts = read_parts(config, now_s)
    _tls(parts.settings)
    check_store(parts.settings, parts.whose.bank)
    gateway = parts.directory.service(parts.settings.name).gateway
    board = parts.directory.service(parts.settings.board)
    return "\n".join(
        (
            describe(parts.settings),
            f"bank id {parts.whose.bank.hex()}, signing key {parts.key.public.hex()}",
            f"board {board.name} at {board.url}, gateway {gateway}",
            "ok",
        )
    )


class BankDaemon:
    """One running bank on an open store: its web application, its health, and why it stopped."""

    def __init__(self, parts: Parts, store: Store, registry: CollectorRegistry | None = None) -> None:
        self._parts = parts
        self.registry = registry or CollectorRegistry()
        settings = parts.settings
        self._signer = Signer(parts.key, settings.terms, parts.whose.bank, parts.whose.answers_until)
        self._clock = BoardClock(settings.terms, settings.board_silence_s)
        self._store = store
        self._bank = Bank(
            self._signer, self._store, self._clock, verifiers=settings.threads, registry=self.registry
        )
        self._confirmer: Confirmer | None = None
        self._feeder: Feeder | None = None
        self.failure: BaseException | None = None

    def build_app(self) -> web.Application:
        """The HTTP side; starting it starts the tasks, cleaning it up ends them and closes the books."""
        app = build_web_app(self._bank, self._signer, self._clock)
        app.cleanup_ctx.append(self._running)
        return app

    def health(self) -> dict[str, object]:
        """For /healthz."""
        if self._feeder is not None and self._feeder.trouble:
            return {"status": self._feeder.trouble, "newest_closed": self._clock.closed}
        if not self._clock.is_right:
            return {"status": "no board", "newest_closed": self._clock.closed}
        if self._confirmer is not None and self._confirmer.complaint is not None:
            # It goes on serving all the same; a human must look.
            return {
                "status": "board differs",
                "difference": self._confirmer.complaint,
                "newest_closed": self._clock.closed,
            }
        return {"newest_closed": self._clock.closed}

    async def _running(self, _: web.Application) -> AsyncIterator[None]:
        parts, settings = self._parts, self._parts.settings
        board = parts.directory.service(settings.board)
        gateway = parts.directory.gateway(parts.directory.service(settings.name).gateway)
        owner = mailbox_owner(parts.endpoint_key)
        try:
            async with aiohttp.ClientSession() as session, GatewayClient(gateway, owner) as link:
                confirmer = self._confirmer = Confirmer(
                    self._store,
                    BoardReader.at(board.url, board.identity, session),
                    settings.database_path.with_name("evidence"),
                    pause_s=settings.confirm_pause_ms / 1000,
                    look=look_for(self._signer, parts.whose.earlier),
                    registry=self.registry,
                )
                clerk = Clerk(
                    self._store,
                    self._signer,
                    self._clock,
                    pause_s=settings.confirm_pause_ms / 1000,
                    registry=self.registry,
                )
                feeder = self._feeder = Feeder(
                    self._store,
                    FeedClient(board.url, board.identity, parts.key, session),
                    make_key_entry(parts.key, self._signer.bank).encode(),
                    self._clock,
                    pause_s=settings.feed_pause_ms / 1000,
                    statements=Statements(self._signer, settings.statement_rounds),
                    signer=self._signer,
                    confirmer=confirmer,
                    registry=self.registry,
                )
                host = ServiceHost(
                    parts.directory,
                    settings.name,
                    link,
                    parts.endpoint_key,
                    self._bank,
                    registry=self.registry,
                )
                retirer = Retirer(self._store, settings.terms, self._clock, registry=self.registry)
                works = (
                    feeder.run(),
                    confirmer.run(),
                    clerk.run(),
                    self._bank.failed(),
                    host.run(),
                    retirer.run(),
                )
                async with followed(settings.network, kept_path(settings), host.follow):
                    tasks = [self._start(work) for work in works]
                    yield
                # The feeder outlives the requests in hand, so what they made is fed if the board is quick.
                for task in reversed(tasks):
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await self._bank.close()
            await self._store.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """A task of ours never ends by itself: its error is the daemon's, which stops in order."""
        if not task.cancelled() and self.failure is None:
            self.failure = task.exception()
            signal.raise_signal(signal.SIGTERM)


def run_bank(config: Path) -> None:
    """Run until SIGTERM. Raises UserError before it starts, FatalError when the books are in doubt."""
    parts = read_parts(config, time.time())
    settings, tls = parts.settings, _tls(parts.settings)
    # Opened before anything listens, so that a damaged or foreign store is one line and exit code 1.
    check_store(settings, parts.whose.bank)

    async def main() -> None:
        daemon = BankDaemon(parts, await open_store(settings, parts.whose.bank))
        listeners = [
            Listener(daemon.build_app(), settings.host, settings.port, tls),
            Listener(
                operations_app(daemon.registry, daemon.health),
                settings.operations_host,
                settings.operations_port,
            ),
        ]
        await serve(listeners, name="bank")
        if daemon.failure is not None:
            raise daemon.failure

    run(main)


def _tls(settings: BankSettings) -> ssl.SSLContext | None:
    certificate, key = settings.certificate_path, settings.certificate_key_path
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UserError("HTTPS needs both certificate_path and certificate_key_path")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise UserError(f"can't use certificate {certificate} with key {key}: {error}") from None
    return context
