"""A witness in this process, on a real port and a real database."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from bank.board.log.note import KeyKind, VerifierKey
from bank.board.witness.daemon import build_app
from bank.board.witness.settings import WitnessSettings
from bank.board.witness.store import create_store
from mixmint.keys import SigningKey
from tests.ports import free_port
from tests.unit.bank.board.witness.histories import LOG, NOW_S


@dataclass
class Running:
    """A witness that runs, and how to reach it."""

    url: str
    operations: str
    key: VerifierKey
    session: aiohttp.ClientSession

    async def post(self, body: bytes, path: str = "/add-checkpoint") -> tuple[int, str, str]:
        """Status, media type, body."""
        async with self.session.post(self.url + path, data=body) as response:
            return response.status, response.headers.get("Content-Type", ""), await response.text()

    async def metric(self, line: str) -> float:
        """One line of the metrics, by its name and labels."""
        async with self.session.get(self.operations + "/metrics") as response:
            found = [each for each in (await response.text()).splitlines() if each.startswith(line + " ")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    async def health(self) -> tuple[int, str]:
        async with self.session.get(self.operations + "/healthz") as response:
            return response.status, (await response.json())["status"]


def _make_store(folder: Path, key: SigningKey) -> None:
    if not (folder / "witness.db").exists():
        folder.mkdir(parents=True, exist_ok=True)
        create_store(folder / "witness.db", key.public)


@asynccontextmanager
async def running_witness(
    folder: Path,
    session: aiohttp.ClientSession,
    *,
    seed: bytes = b"w" * 32,
    name: str = "witness.example.org/w1",
    now_s: Callable[[], float] = lambda: NOW_S,
    **changes: object,
) -> AsyncIterator[Running]:
    """Start a witness over ``folder``, which is made if it isn't there; stop it at the end."""
    key = SigningKey(seed)
    _make_store(folder, key)
    settings = WitnessSettings(
        name=name,
        operations_port=1,
        database_path=folder / "witness.db",
        **{"logs": (LOG.text(),), "port": free_port(), **changes},  # type: ignore[arg-type] # as the test wants
    )
    runner = web.AppRunner(build_app(settings, key, now_s=now_s), access_log=None, shutdown_timeout=2)
    try:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Running(
            f"http://127.0.0.1:{settings.port}{settings.prefix}",
            f"http://127.0.0.1:{runner.addresses[0][1]}",
            VerifierKey(name, key.public, KeyKind.WITNESS),
            session,
        )
    finally:
        await runner.cleanup()
