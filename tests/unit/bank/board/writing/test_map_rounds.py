"""bank/board/writing/map_rounds.py: when the map's root becomes an entry, and which one proofs are for."""

import asyncio
import contextlib

import pytest

from bank.board.feed import Batch
from bank.board.map.file import MapRoot
from bank.board.writing.map_rounds import MapRounds
from bank.formats.entry import AccountEntry, MapEntry, decode_entry
from mixmint.errors import FatalError, Unavailable, UserError


class Keeper:
    """Tells what it was asked; makes a root out of the size. ``hold``: it takes its time."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.told: list[int] = []
        self.trouble = False
        self.hold = asyncio.Event()
        self.hold.set()

    def published(self, size: int) -> None:
        self.told.append(size)

    async def advance(self, size: int) -> MapRoot:
        self.asked.append(size)
        await self.hold.wait()
        if self.trouble:
            raise Unavailable("the disk is full")
        return MapRoot(size, 7, size.to_bytes(32))


@contextlib.asynccontextmanager
async def mapping(board, keeper: Keeper, every: int):
    """MapRounds over a board whose own map is out of the way."""
    maps = MapRounds(board.board, keeper, every)
    await maps.start()
    task = asyncio.create_task(maps.run())
    # Its first look at the newest round comes before any other.
    await asyncio.sleep(0)
    yield maps
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def close(board) -> None:
    """A round, and time for everyone to see it."""
    await board.close_round()
    for _ in range(20):
        await asyncio.sleep(0.001)


@pytest.fixture
async def board(start_board):
    return await start_board(map_rounds=1_000_000)


async def maps_shown(board) -> list[tuple[int, int, int]]:
    """Of each MAP entry: the round that shows it, the round it is of, its size."""
    placed = await board.board.store.entries(0, 10_000)
    found = [(one.round, decode_entry(one.entry)) for one in placed]
    return [(round_, entry.round, entry.size) for round_, entry in found if isinstance(entry, MapEntry)]


async def test_a_root_is_logged_every_so_many_rounds_if_a_coin_changed(board, mint) -> None:
    """Rounds without coins, and accounts, change nothing that the map says."""
    keeper = Keeper()
    async with mapping(board, keeper, 3) as maps:
        await board.feed.feed(Batch(1, [[mint.certified(1)]]))
        for _ in range(5):
            await close(board)
        assert await maps_shown(board) == [(4, 3, 4)]
        assert (keeper.asked, keeper.told) == ([4], [4])
        assert decode_entry(maps.newest.entry) == MapEntry(3, 4, 7, (4).to_bytes(32))
        await board.feed.feed(Batch(2, [[AccountEntry(b"a" * 32).encode()]]))
        for _ in range(5):
            await close(board)
        assert len(await maps_shown(board)) == 1
        await board.feed.feed(Batch(3, [[mint.spent(1)]]))
        await close(board)
        await close(board)
        assert [shown[:2] for shown in await maps_shown(board)] == [(4, 3), (12, 11)]


async def test_rounds_do_not_wait_for_the_map(board, mint) -> None:
    """However long it takes: the entry then is of an older round, and no second one is made meanwhile."""
    keeper = Keeper()
    keeper.hold.clear()
    async with mapping(board, keeper, 1) as maps:
        await board.feed.feed(Batch(1, [[mint.certified(1)]]))
        for _ in range(4):
            await close(board)
        assert (keeper.asked, maps.newest) == ([2], None)
        keeper.hold.set()
        for _ in range(2):
            await close(board)
        assert [shown[1:] for shown in await maps_shown(board)] == [(1, 2)]


async def test_a_map_that_fails_is_asked_for_again(board, mint, caplog: pytest.LogCaptureFixture) -> None:
    """The log goes on without it; the operator is told once."""
    keeper = Keeper()
    keeper.trouble = True
    async with mapping(board, keeper, 1):
        await board.feed.feed(Batch(1, [[mint.certified(1)]]))
        for _ in range(3):
            await close(board)
        assert (len(keeper.asked), caplog.text.count("no root of the map")) == (3, 1)
        keeper.trouble = False
        for _ in range(2):
            await close(board)
        assert len(await maps_shown(board)) == 1


async def test_a_log_that_cannot_be_read_for_a_moment_does_not_stop_the_board(
    board, mint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody holds all descriptors. The published map is found in a later round."""
    keeper = Keeper()
    read, failures = board.board.store.entries, [UserError("too many open files"), FatalError("damaged")]

    async def entries(cursor: int, limit: int):
        if failures:
            raise failures.pop()
        return await read(cursor, limit)

    async with mapping(board, keeper, 1) as maps:
        await board.feed.feed(Batch(1, [[mint.certified(1)]]))
        await close(board)
        monkeypatch.setattr(board.board.store, "entries", entries)
        for _ in range(3):
            await close(board)
        assert not failures
        assert decode_entry(maps.newest.entry).round == 1


async def test_after_a_restart_proofs_are_for_the_newest_published_map(board, mint) -> None:
    """And the next is due as if nothing had been."""
    async with mapping(board, Keeper(), 2):
        await board.feed.feed(Batch(1, [[mint.certified(1)]]))
        for _ in range(3):
            await close(board)
    keeper = Keeper()
    async with mapping(board, keeper, 2) as maps:
        assert (keeper.told, decode_entry(maps.newest.entry).round) == ([3], 2)
        for _ in range(3):
            await close(board)
        assert keeper.asked == []


async def test_the_boards_own_map_is_made_and_proved(start_board, mint) -> None:
    """With the real process: a coin's proof comes over HTTP once a map is published."""
    board = await start_board(map_rounds=1)
    await board.feed.feed(Batch(1, [[mint.certified(1)]]))
    url = f"{board.url}/api/v1/coins/{mint.coin(1).hex()}/proof"
    async with asyncio.timeout(20):
        while True:
            await board.close_round()
            async with board.session.get(url) as response:
                if response.status == 200:
                    assert (await response.json())["state"] == "certified"
                    return
                assert response.status == 503
            await asyncio.sleep(0.02)
