"""A board in this process, on a real port and a real database, and a bank that feeds it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bank.board.board import Board
from bank.board.daemon import BOARD, build_app
from bank.board.feed import FeedClient
from bank.board.log.note import VerifierKey
from bank.board.log.policy import NO_POLICY, Policy
from bank.board.reading.client import BoardReader
from bank.board.settings import BoardSettings
from bank.formats.coin import BankId, CoinId, bank_id, coin_id, sign_certificate
from bank.formats.entry import CertifiedEntry, SpentEntry
from bank.formats.order import SPEND_LABEL
from mix.directory import Authorities
from mixmint.keys import SigningKey

BANK = SigningKey(b"b" * 32)
KEY = SigningKey(b"k" * 32)
AUTHORITIES = tuple(SigningKey(bytes([number]) * 32) for number in (11, 12, 13))
NETWORK = Authorities(tuple(each.public for each in AUTHORITIES), 2)
"""The network's authorities, two of whom change the bank's key."""
ORIGIN = "board.test"
LOG = VerifierKey(ORIGIN, KEY.public)


@dataclass
class Mint:
    """Makes entries that are true: coin ``number`` has a fixed secret."""

    bank: SigningKey = BANK
    id: BankId | None = None
    """The bank's, where ``bank`` isn't its founding key."""

    def key(self, number: int) -> SigningKey:
        return SigningKey(number.to_bytes(32))

    def coin(self, number: int) -> CoinId:
        return coin_id(self.key(number).public)

    def certified(self, number: int, exponent: int = 0, epoch: int = 1) -> bytes:
        coin = self.coin(number)
        bank = self.id or bank_id(self.bank.public)
        signature = sign_certificate(self.bank, bank, exponent, epoch, coin)
        return CertifiedEntry(coin, exponent, epoch, signature).encode()

    def spent(self, number: int, seal: bytes = b"e" * 32) -> bytes:
        key = self.key(number)
        return SpentEntry(key.public, seal, key.sign(SPEND_LABEL, seal)).encode()


@dataclass
class Running:
    """A started board: its parts, and clients that talk to it over HTTP."""

    app: web.Application
    board: Board
    url: str
    session: aiohttp.ClientSession
    feed: FeedClient
    reader: BoardReader
    runner: web.AppRunner

    async def stop(self) -> None:
        """As SIGTERM would."""
        await self.runner.cleanup()

    async def close_round(self) -> None:
        """Close a round now, as the clock would."""
        await self.board.publish_round(0)

    def refused(self, reason: str) -> float:
        """The operator's counter."""
        return (
            self.board.metrics.registry.get_sample_value("mixmint_board_refused_total", {"reason": reason})
            or 0.0
        )


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
def mint() -> Mint:
    return Mint()


@pytest.fixture
async def start_board(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts boards with given settings; by default the clock is so slow that only tests close rounds."""
    runners: list[web.AppRunner] = []
    async with aiohttp.ClientSession() as session:

        async def start(*, policy: Policy = NO_POLICY, **changes: Any) -> Running:
            values: dict[str, Any] = {"port": 1, "operations_port": 1, "round_ms": 3_600_000, **changes}
            settings = BoardSettings(
                origin=ORIGIN,
                database_path=tmp_path / "board.db",
                log_path=tmp_path / "log",
                map_path=tmp_path / "map",
                **values,
            )
            app = build_app(settings, KEY, BANK.public, policy=policy, authorities=NETWORK)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
            runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            return Running(
                app,
                app[BOARD],
                url,
                session,
                FeedClient(url, KEY.public, BANK, session),
                BoardReader.at(url, KEY.public, session, policy=Policy(log=LOG), timeout_s=5),
                runner,
            )

        yield start
        for runner in runners:
            await runner.cleanup()
