"""The authority daemon: its turns, its port, and the newest directory put where local processes read it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge

from mix.background import Background
from mix.directory.authority.files import Files
from mix.directory.authority.peers import HttpPeer
from mix.directory.authority.port import AuthorityPort
from mix.directory.authority.settings import AuthoritySettings
from mix.directory.authority.turns import Authority
from mix.directory.network import load_authorities, load_network_file
from mixmint.errors import UserError
from mixmint.files import write_whole
from mixmint.keys import SEED_BYTES, SigningKey, read_secret
from mixmint.settings import describe, load
from mixmint.web import Listener, operations_app, serve
from mixmint.web import run as run_daemon

_log = logging.getLogger("mix.directory")


class AuthorityDaemon:
    """Wires the parts together; `run` is its operations app's cleanup context. Raises UserError."""

    def __init__(self, settings: AuthoritySettings) -> None:
        self._settings = settings
        self._directory_path = load_network_file(settings.network).directory
        authorities = load_authorities(settings.network)
        key = SigningKey(read_secret(settings.key_path, SEED_BYTES))
        self._files = Files(settings.state_folder, authorities)
        parameters, cascades = settings.parameters(), settings.cascades
        self.authority = Authority(key, authorities, self._files, parameters, cascades, [], time.time)
        self.registry = CollectorRegistry()
        self._woken = asyncio.Event()
        self.port = AuthorityPort(self.authority, self.registry, self._woken.set)
        self._background = Background()
        self._sequence = self._gauge("sequence", "Number of the newest directory; -1 for none")
        self._forks = self._gauge("forks", "Directories seen that contradict ours")
        self._unheard = self._gauge("unheard", "Other authorities that didn't answer last")

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"mixmint_directory_{name}", what, registry=self.registry)

    def health(self) -> dict[str, object]:
        """For /healthz."""
        authority, newest = self.authority, self._files.newest
        state: dict[str, object] = {
            "network": authority.network,
            "sequence": authority.sequence - 1,
            "admitted": sorted(self._files.admitted()),
            "unheard": sorted(authority.unheard),
            "forks": authority.forks,
            "why_not": authority.why_not,
        }
        if newest is not None:
            days = (newest.directory.valid_until_s - time.time()) / 86_400
            state["directory_days_left"] = round(days, 1)
        return {"status": "failed", **state} if self._background.failed else state

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """Take turns while the app runs."""
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
            )
            self.authority.peers = [HttpPeer(url, session) for url in self._settings.peers]
            await stack.enter_async_context(self._background)
            self._background.start(self._turns())
            yield

    async def _turns(self) -> None:
        """One turn a slot; another when something new was heard in it."""
        slot_s = self.authority.slot_s()
        while True:
            slot = int(time.time() / slot_s)
            try:
                await self.authority.turn(slot)
                self._put_newest()
            except UserError as error:
                _log.error("%s; is the disk full?", error)
            self._measure()
            self._woken.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout((slot + 1) * slot_s - time.time()):
                    await self._woken.wait()
                    # Several often come together.
                    await asyncio.sleep(slot_s / 8)

    def _put_newest(self) -> None:
        newest, path = self._files.newest, self._directory_path
        if newest is not None and (not path.exists() or path.read_bytes() != newest.signed):
            write_whole(path, newest.signed)

    def _measure(self) -> None:
        self._sequence.set(self.authority.sequence - 1)
        self._forks.set(self.authority.forks)
        self._unheard.set(len(self.authority.unheard))


def check(config: Path) -> str:
    """Read and check everything that `run` needs; returns what would run. Raises UserError."""
    settings = load(config, AuthoritySettings)

    async def admitted() -> list[str]:
        return sorted(AuthorityDaemon(settings).authority.files.admitted())

    names = ", ".join(asyncio.run(admitted())) or "nobody yet"
    return f"{describe(settings)}\nan authority of network {settings.name}; admitted: {names}"


def run(config: Path) -> None:
    """Run an authority until SIGTERM."""
    settings = load(config, AuthoritySettings)

    async def serve_all() -> None:
        daemon = AuthorityDaemon(settings)
        operations = operations_app(daemon.registry, daemon.health)
        operations.cleanup_ctx.append(daemon.run)
        listeners = [
            Listener(daemon.port.app(), settings.host, settings.port),
            Listener(operations, settings.operations_host, settings.operations_port),
        ]
        await serve(listeners, name="directory")

    run_daemon(serve_all)
