"""The keeper and its process: roots and proofs over a real socket, through kills, floods and the end."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bank.board.map import keeper as keeping
from bank.board.map.file import files_in
from bank.board.map.keeper import MapKeeper
from bank.board.map.states import State
from bank.formats.coin import coin_id
from mixmint.errors import Unavailable
from tests.unit.bank.board.map.test_file import damage
from tests.unit.bank.board.map.test_follower import World, secret

COIN = coin_id(secret(0))


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.close(made=range(300))
    world.close(made=range(300, 400), used=range(100))
    return world


@pytest.fixture
async def keeper(world: World) -> AsyncIterator[MapKeeper]:
    async with MapKeeper(world.maps, world.maker.folder.path) as keeper:
        yield keeper


async def test_a_board_s_day(world: World, keeper: MapKeeper) -> None:
    """Root, entry, proofs; the next root, while proofs are still for the first; then they change."""
    first, last = world.expected
    with pytest.raises(Unavailable, match="no map yet"):
        await keeper.prove(COIN)
    assert await keeper.advance(first) == world.expected[first]
    keeper.published(first)
    assert await keeper.advance(last) == world.expected[last]
    for published, state in ((first, State.CERTIFIED), (last, State.SPENT)):
        keeper.published(published)
        size, proof = await keeper.prove(COIN)
        assert size == published
        assert proof.verify(COIN, world.expected[size][2]) is state
        assert proof.verify(COIN, world.expected[size][2]) is state
    await keeper.advance(last)
    assert files_in(world.maps) == [last]


async def test_the_published_map_is_made_again_when_it_is_asked_for(world: World, keeper: MapKeeper) -> None:
    """After a restart on an empty folder, the first proof costs a reading of the log."""
    first, _ = world.expected
    keeper.published(first)
    size, proof = await keeper.prove(COIN)
    assert proof.verify(COIN, world.expected[size][2]) is State.CERTIFIED


async def test_a_process_that_dies_is_replaced(world: World, keeper: MapKeeper) -> None:
    """Between questions, and in the middle of one: whoever waits gets his answer."""
    first, last = world.expected
    await keeper.advance(first)
    pid = keeper.pid
    os.kill(pid, signal.SIGKILL)
    assert await keeper.advance(last) == world.expected[last]
    assert keeper.pid not in {0, pid}
    assert keeper.restarts == 1
    os.kill(keeper.pid, signal.SIGSTOP)
    asking = asyncio.create_task(keeper.advance(last))
    await asyncio.sleep(0)
    os.kill(keeper.pid, signal.SIGKILL)
    assert await asking == world.expected[last]


async def test_a_process_that_always_dies_is_said(
    world: World, keeper: MapKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After two of them the caller hears it, and the next question tries again."""

    async def dies(_: bytes) -> bytes:
        raise EOFError

    with monkeypatch.context() as patched:
        patched.setattr(keeper._child, "ask", dies)
        with pytest.raises(Unavailable, match="ends unexpectedly"):
            await keeper.advance(world.size)
    assert keeper.restarts == 2
    assert await keeper.advance(world.size) == world.expected[world.size]


async def test_a_process_that_hangs_is_replaced(
    world: World, keeper: MapKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process answers nothing; it is killed, and another does the work."""
    await keeper.advance(world.size)
    stuck = keeper.pid
    os.kill(stuck, signal.SIGSTOP)
    stop = keeper._child.stop

    def stop_and_be_patient() -> None:
        stop()
        monkeypatch.undo()

    monkeypatch.setattr(keeping, "STEP_TIMEOUT_S", 0.1)
    monkeypatch.setattr(keeper._child, "stop", stop_and_be_patient)
    assert await keeper.advance(world.size) == world.expected[world.size]
    assert keeper.pid != stuck
    assert keeper.restarts == 1


async def test_who_stops_waiting_stops_no_work(
    world: World, keeper: MapKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that goes away must not cost the next one a new process, nor his turn."""
    asked: list[bytes] = []
    ask = keeper._child.ask

    async def counted(request: bytes) -> bytes:
        asked.append(request)
        return await ask(request)

    monkeypatch.setattr(keeper._child, "ask", counted)
    await keeper.advance(world.size)
    keeper.published(world.size)
    pid = keeper.pid
    os.kill(pid, signal.SIGSTOP)
    gone = [asyncio.create_task(keeper.prove(COIN)) for _ in range(5)]
    for _ in range(5):
        await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    os.kill(pid, signal.SIGCONT)
    await keeper.prove(COIN)
    assert keeper.pid == pid
    assert len(asked) == 3, "the map, the one in hand when all went away, and the last"


async def test_a_flood_of_questions_is_bounded(world: World, keeper: MapKeeper) -> None:
    """Above the bound it is "not now" at once; those who wait are served, and so is the board's own work."""
    await keeper.advance(world.size)
    keeper.published(world.size)
    os.kill(keeper.pid, signal.SIGSTOP)
    asked = [asyncio.create_task(keeper.prove(COIN)) for _ in range(keeping.MOST_WAITING + 50)]
    own = asyncio.create_task(keeper.advance(world.size))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    os.kill(keeper.pid, signal.SIGCONT)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert 40 <= len(refused) <= 50
    assert sum(isinstance(answer, tuple) for answer in answers) + len(refused) == len(answers)
    assert await own == world.expected[world.size]


async def test_a_proof_that_takes_too_long_is_not_now(
    world: World, keeper: MapKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page doesn't hang on a long step."""
    await keeper.advance(world.size)
    keeper.published(world.size)
    os.kill(keeper.pid, signal.SIGSTOP)
    monkeypatch.setattr(keeping, "PROOF_TIMEOUT_S", 0.05)
    with pytest.raises(Unavailable, match="busy"):
        await keeper.prove(COIN)
    os.kill(keeper.pid, signal.SIGCONT)


async def test_a_damaged_log_is_said_by_its_file(world: World, keeper: MapKeeper) -> None:
    """The operator's line names what to repair; then it goes on by itself."""
    rotten = world.maker.folder.path / "tile/entries/000"
    damage(rotten, 100)
    with pytest.raises(Unavailable, match="tile/entries/000"):
        await keeper.advance(world.size)
    damage(rotten, 100)
    assert await keeper.advance(world.size) == world.expected[world.size]
    assert keeper.restarts == 0


async def test_closing_ends_the_process_and_everyone_s_waiting(world: World) -> None:
    """At the board's end nobody hangs: neither who is served nor who waits."""
    async with MapKeeper(world.maps, world.maker.folder.path) as keeper:
        await keeper.advance(world.size)
        keeper.published(world.size)
        pid = keeper.pid
        os.kill(pid, signal.SIGSTOP)
        waiting = [asyncio.create_task(keeper.prove(COIN)) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    async with asyncio.timeout(2):
        for answer in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(answer, Unavailable)
            assert "stopping" in str(answer)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(Unavailable, match="stopping"):
        await keeper.advance(world.size)


PARENT = """
import asyncio, sys
from pathlib import Path
from bank.board.map.keeper import MapKeeper

async def main():
    async with MapKeeper(Path(sys.argv[1]) / "map", Path(sys.argv[1]) / "log") as keeper:
        await keeper.advance(0)
        print(keeper.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_the_process_ends_with_its_board(tmp_path: Path) -> None:
    """Even when the board is killed with SIGKILL."""
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    ended, _, _ = select.select([child], [], [], 10)
    if not ended:
        signal.pidfd_send_signal(child, signal.SIGKILL)
    os.close(child)
    assert ended
