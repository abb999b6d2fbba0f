"""A board as a process, with witnesses that cosign, are away, come back, or know better."""

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from bank.board.log.checkpoint import Checkpoint, open_checkpoint
from bank.board.log.note import KeyKind, Note, VerifierKey
from bank.board.log.policy import Policy, load_policy
from mixmint.keys import SigningKey
from tests.integration.board.conftest import KEY, BoardProcess
from tests.ports import free_port
from tests.unit.bank.board.witness.daemons import Running, running_witness

WITHIN_S = 90.0
SEEDS = {"w1": b"1" * 32, "w2": b"2" * 32, "w3": b"3" * 32}


class Scene:
    """A board with a policy, and the witnesses that are in it, in this process."""

    def __init__(self, board: BoardProcess, session: aiohttp.ClientSession, stack: AsyncExitStack) -> None:
        self.board = board
        self.log = VerifierKey(f"127.0.0.1:{board.port}", KEY.public)
        self._session = session
        self._stack = stack
        self._ports = {name: free_port() for name in SEEDS}

    def demand(self, quorum: int, *names: str, settings: str = "", log: VerifierKey | None = None) -> Policy:
        """Write the policy: so many of these witnesses."""
        lines = [f"log {(log or self.log).text()}"]
        for name in names:
            key = VerifierKey(name, SigningKey(SEEDS[name]).public, KeyKind.WITNESS)
            lines.append(f"witness {name} {key.text()} http://127.0.0.1:{self._ports[name]}")
        lines += [f"group those {quorum} {' '.join(names)}", "quorum those"]
        path = self.board.folder / "policy"
        path.write_text("\n".join(lines) + "\n")
        with (self.board.folder / "board.toml").open("a") as file:
            file.write(f'policy_path = "policy"\n{settings}\n')
        return load_policy(path)

    async def witness(self, name: str, stack: AsyncExitStack | None = None) -> Running:
        """Start one; to stop it, give a stack of its own."""
        return await (stack or self._stack).enter_async_context(
            running_witness(
                self.board.folder.parent / name,
                self._session,
                seed=SEEDS[name],
                name=name,
                port=self._ports[name],
                logs=(self.log.text(),),
                now_s=time.time,
            )
        )

    async def start(self) -> None:
        await asyncio.to_thread(self.board.start)

    async def published(self) -> tuple[Checkpoint, Note]:
        """What everybody can read now."""
        async with self._session.get(self.board.url + "/checkpoint") as response:
            note = Note.decode(await response.read())
        return open_checkpoint(note, self.log), note

    async def health(self) -> tuple[int, str]:
        async with self._session.get(f"http://127.0.0.1:{self.board.operations_port}/healthz") as response:
            return response.status, (await response.json())["witnesses"]

    async def grown(self, beyond: int) -> tuple[Checkpoint, Note]:
        """Wait until more than so many leaves are published."""

        async def look() -> bool:
            return (await self.published())[0].size > beyond

        await until(look)
        return await self.published()


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            if await look():
                return
            await asyncio.sleep(0.02)


@pytest.fixture
async def scene(make_board) -> AsyncIterator[Scene]:
    async with aiohttp.ClientSession() as session, AsyncExitStack() as stack:
        yield Scene(make_board(), session, stack)


def run_once(board: BoardProcess) -> tuple[int, str]:
    """A start that fails: exit code and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "mixmint", "board", "run", "--config", str(board.folder / "board.toml")],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


async def test_rounds_are_published_with_their_cosignatures(scene: Scene) -> None:
    """Every witness that is there, and each of them once, in the policy's order."""
    policy = scene.demand(2, "w1", "w2", "w3")
    for name in SEEDS:
        await scene.witness(name)
    await scene.start()
    for size in (0, 5, 10):
        checkpoint, note = await scene.grown(size)
        assert [witness.name for witness in policy.check(note)] == ["w1", "w2", "w3"]
        assert len(note.signatures) == 4
        assert checkpoint.size > size
    assert await scene.health() == (200, "ok")


async def test_failing_closed_rounds_wait_for_the_quorum_and_go_on(scene: Scene) -> None:
    """One of two needed is away, at the start and later; nothing without a quorum is ever published."""
    policy = scene.demand(2, "w1", "w2")
    await scene.witness("w1")
    await scene.start()

    async def waits() -> bool:
        return "rounds wait" in (await scene.health())[1]

    await until(waits)
    assert (await scene.published())[0].size == 0
    for _ in range(2):
        async with AsyncExitStack() as there:
            await scene.witness("w2", there)
            size = (await scene.published())[0].size
            size, note = (await scene.grown(size))[0].size, (await scene.published())[1]
            assert policy.check(note)
            assert await scene.health() == (200, "ok")
        await until(waits)
        status, why = await scene.health()
        assert status == 200
        assert "w2 (not reached" in why
        stuck = (await scene.published())[0]
        await asyncio.sleep(0.3)
        assert (await scene.published())[0] == stuck
        assert policy.check((await scene.published())[1])
    assert scene.board.log.count("too few witnesses") == 3
    assert "Traceback" not in scene.board.log
    assert await asyncio.to_thread(scene.board.stop) < 5


async def test_failing_open_rounds_go_on_without_the_quorum(scene: Scene) -> None:
    """With those cosignatures that there are; health says which are missing."""
    policy = scene.demand(2, "w1", "w2", settings="cosign_fail_open = true\ncosign_timeout_ms = 100")
    await scene.witness("w1")
    await scene.start()
    _, note = await scene.grown(3)
    assert [witness.name for witness in policy.cosignatures(note)] == ["w1"]
    status, why = await scene.health()
    assert status == 200
    assert "published without" in why
    assert "w2" in why


async def test_a_witness_killed_and_back_costs_time_only(scene: Scene) -> None:
    """One of two is enough while the other is away; afterwards both cosign again."""
    policy = scene.demand(1, "w1", "w2")
    await scene.witness("w1")
    async with AsyncExitStack() as there:
        await scene.witness("w2", there)
        await scene.start()
        _, note = await scene.grown(0)
        assert len(policy.check(note)) == 2
    size = (await scene.published())[0].size
    _, note = await scene.grown(size + 5)
    assert [witness.name for witness in policy.check(note)] == ["w1"]
    await scene.witness("w2")

    async def both() -> bool:
        return len(policy.check((await scene.published())[1])) == 2

    await until(both)


def restore(folder: Path, copy: Path) -> None:
    """Put an older copy in the place of everything that the board had."""
    for path in folder.iterdir():
        if path.name not in {"policy", "board.toml", "output"}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(copy, folder, dirs_exist_ok=True)


async def test_a_board_restored_from_an_older_copy_is_stopped_by_its_witness(scene: Scene) -> None:
    """Database and log are old, and fit together: nobody but the witness can know."""
    scene.demand(1, "w1")
    await scene.witness("w1")
    await scene.start()
    await scene.grown(3)
    await asyncio.to_thread(scene.board.stop)
    copy = scene.board.folder.parent / "copy"
    await asyncio.to_thread(shutil.copytree, scene.board.folder, copy)
    await scene.start()
    old = (await scene.published())[0].size
    newest = (await scene.grown(old + 5))[0].size
    await asyncio.to_thread(scene.board.stop)
    await asyncio.to_thread(restore, scene.board.folder, copy)
    code, output = await asyncio.to_thread(run_once, scene.board)
    assert code == 1
    assert f"of {scene.log.name}, this board has" in output
    assert "Traceback" not in output
    assert newest > old


async def test_a_board_whose_files_are_all_lost_is_stopped_by_its_witness(scene: Scene) -> None:
    """It has its key still, and would begin a second log under the same name."""
    scene.demand(1, "w1")
    await scene.witness("w1")
    await scene.start()
    await scene.grown(3)
    await asyncio.to_thread(scene.board.stop)
    for name in ("log", "map"):
        shutil.rmtree(scene.board.folder / name, ignore_errors=True)
    for path in scene.board.folder.glob("board.db*"):
        path.unlink()
    code, output = await asyncio.to_thread(run_once, scene.board)
    assert code == 1
    assert "this board has 0" in output


async def test_a_policy_that_cannot_work_is_one_line(scene: Scene) -> None:
    """Another log's; also with --check, before the board is stopped for a restart."""
    scene.demand(1, "w1", log=VerifierKey("else.example.org", KEY.public))
    for more in ((), ("--check",)):
        done = await asyncio.to_thread(
            subprocess.run,
            [
                sys.executable,
                "-m",
                "mixmint",
                "board",
                "run",
                "--config",
                scene.board.folder / "board.toml",
                *more,
            ],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 1
        (line,) = [line for line in done.stderr.splitlines() if " INFO " not in line]
        assert "the policy's log is else.example.org" in line
