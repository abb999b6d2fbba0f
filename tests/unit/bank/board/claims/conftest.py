"""A running board, and customers who submit to it."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from bank.board.claims.desk import Desk
from bank.board.claims.doors import CLAIMS_PATH
from bank.board.daemon import DESK
from bank.board.feed import Batch
from bank.board.receipts import EntryReceipt
from bank.formats.entry import AccountEntry
from tests.unit.bank.board.claims.claimants import BOARD, key
from tests.unit.bank.board.conftest import Running, Start


@dataclass
class Reply:
    """What the board answered over HTTP."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    def receipt(self, entry: bytes) -> EntryReceipt:
        """For this entry, signed by the board."""
        receipt = EntryReceipt.decode(self.body)
        assert receipt.holds(BOARD.public, entry)
        return receipt


@dataclass
class Site:
    """A board with its desk."""

    running: Running
    desk: Desk
    fed: int = 1

    async def post(self, data: bytes) -> Reply:
        async with self.running.session.post(self.running.url + CLAIMS_PATH, data=data) as response:
            return Reply(response.status, await response.read(), response.headers)

    async def get(self, path: str) -> str:
        """A page, or an answer for programs."""
        async with self.running.session.get(self.running.url + path) as response:
            return (await response.read()).decode()

    async def feed(self, *entries: bytes) -> None:
        """The bank publishes entries, each for itself; a round closes."""
        taken = await self.running.feed.feed(Batch(self.fed, [[entry] for entry in entries]))
        self.fed = taken.next_group
        await self.running.close_round()

    async def open_account(self, number: int) -> None:
        await self.feed(AccountEntry(key(number).public).encode())

    async def leaves(self) -> list[bytes]:
        """Everything that is published."""
        return [placed.entry for placed in await self.running.board.store.entries(0, 1000)]

    def count(self, kind: str, result: str) -> float:
        """The operator's counter."""
        found = self.running.board.metrics.registry.get_sample_value(
            "mixmint_board_submissions_total", {"kind": kind, "result": result}
        )
        return found or 0.0


@pytest.fixture
async def site(start_board: Start) -> Site:
    running = await start_board()
    return Site(running, running.app[DESK])


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(site: Site, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The desk's clock, stopped."""
    stopped = Clock()
    monkeypatch.setattr(site.desk, "_clock", stopped)
    for kind, bucket in site.desk._buckets.items():
        site.desk._buckets[kind] = type(bucket)(stopped.now_s)
    return stopped
