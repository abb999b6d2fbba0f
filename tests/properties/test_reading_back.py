"""Bank and board, whatever is lost or dies in between: every group is shown once, in order, and confirmed."""

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from bank.formats.entry import CertifiedEntry
from mixmint.errors import Unavailable
from tests.unit.bank.paper import PaperBoard, Side

EVENTS = (
    *("publish", "publish some", "publish nothing", "feed", "feed", "close", "close", "read"),
    *(
        "answer lost",
        "bank dies",
        "board down",
        "board recovered",
        "board recovered",
        "board loses what waits",
    ),
)


class World:
    """One board, and a bank that comes back."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bank.db"
        self.board = PaperBoard()
        self.side = Side(self.path, self.board, statement_rounds=3)
        self.made = 0

    async def publish(self, count: int) -> None:
        names = range(self.made + 1, self.made + 1 + count)
        self.made += count
        await self.side.publish(*names)

    async def happen(self, event: str) -> None:
        board = self.board
        if event == "publish":
            await self.publish(1)
        elif event == "publish some":
            await self.publish(3)
        elif event == "publish nothing":
            await self.side.publish(0)
        elif event == "feed":
            await self.side.steps(2)
        elif event in {"answer lost", "board down"}:
            board.loses_answer, board.is_down = event == "answer lost", event == "board down"
            with suppress(Unavailable):
                await self.side.feeder.step()
            board.loses_answer = board.is_down = False
        elif event == "close":
            board.close()
        elif event == "read":
            await self.side.read()
        elif event == "bank dies":
            await self.side.store.close()
            self.side = Side(self.path, board, statement_rounds=3)
        elif event == "board recovered":
            board.recover(board.closed)
        else:
            board.lose()

    async def settle(self) -> None:
        """Everything works again, for long enough."""
        for _ in range(8):
            await self.side.read()
            await self.side.steps(2)
            self.board.close()
        await self.side.read()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(EVENTS), min_size=12, max_size=40))
def test_every_group_is_shown_once_and_in_order_and_confirmed(events: list[str]) -> None:
    """Answers lost, either side killed, the board made again from its log or without what it hadn't shown."""

    async def run(folder: Path) -> None:
        world = World(folder)
        for event in events:
            await world.happen(event)
        await world.settle()
        shown = [
            int.from_bytes(entry.coin)
            for round_ in world.board.shown
            for entry in round_.entries
            if isinstance(entry, CertifiedEntry)
        ]
        assert shown == list(range(1, world.made + 1))
        assert world.side.confirmer.complaint is None
        confirmed = await world.side.number("SELECT confirmed_group FROM state")
        assert confirmed == await world.side.number("SELECT next_group FROM state")
        assert await world.side.number("SELECT count(*) FROM outbox") == 0
        await world.side.store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))
