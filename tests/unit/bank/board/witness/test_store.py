"""A witness's memory: raced, killed, lost, another's."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from bank.board.witness.core import Refusal, Request, Seen
from bank.board.witness.store import MOST_FORKS, WitnessStore, create_store, forks_seen, newest_seen
from mixmint.errors import UserError
from tests.unit.bank.board.witness.histories import (
    FORKED,
    NOW_S,
    ORIGIN,
    TRUE,
    WITNESS_KEY,
    History,
)

PUBLIC = WITNESS_KEY.public


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_store(tmp_path / "witness.db", PUBLIC)
    return tmp_path / "witness.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[WitnessStore]:
    opened = WitnessStore(path, PUBLIC)
    yield opened
    await opened.close()


async def advance(
    store: WitnessStore, history: History, old: int, new: int, now_s: float = NOW_S
) -> Seen | int:
    """What was stored, or the status of the refusal."""
    request = Request.decode(history.request(old, new))
    try:
        return await store.advance(request, request.note, now_s)
    except Refusal as refusal:
        return refusal.status


async def test_what_was_advanced_is_there_after_a_new_start(path: Path) -> None:
    """And asking for the same again gives the same."""
    store = WitnessStore(path, PUBLIC)
    first = await advance(store, TRUE, 0, 40)
    await store.close()
    assert newest_seen(path) == {ORIGIN: first}
    store = WitnessStore(path, PUBLIC)
    assert await advance(store, TRUE, 0, 40) == 409
    assert await advance(store, TRUE, 40, 40) == first
    assert await advance(store, TRUE, 40, 60, NOW_S + 9) == Seen(60, TRUE.checkpoint(60).root, NOW_S + 9)
    await store.close()


async def test_of_two_forks_at_once_one_is_cosigned(path: Path, store: WitnessStore) -> None:
    """Both continue what is stored; whichever is second doesn't any more. Many times, in both orders."""
    assert await advance(store, TRUE, 0, 40) == Seen(40, TRUE.checkpoint(40).root, NOW_S)
    results = await asyncio.gather(
        *(advance(store, history, 40, 60) for _ in range(20) for history in (TRUE, FORKED))
    )
    taken = {result.root for result in results if isinstance(result, Seen)}
    assert len(taken) == 1
    assert [result for result in results if isinstance(result, int)] == [409] * 39
    assert newest_seen(path)[ORIGIN].root in taken


async def test_two_processes_on_one_database_are_no_way_around(path: Path) -> None:
    """The check and the write are one transaction of the database, not of the process."""
    stores = [WitnessStore(path, PUBLIC) for _ in range(2)]
    try:
        for size in range(1, 60):
            both = await asyncio.gather(
                advance(stores[0], TRUE, size - 1, size),
                advance(stores[1], History(fork=size - 1), size - 1, size),
            )
            assert sum(isinstance(each, Seen) for each in both) == 1
            if isinstance(both[1], Seen):
                break
    finally:
        for each in stores:
            await each.close()


async def test_logs_do_not_get_in_each_others_way(path: Path, store: WitnessStore) -> None:
    """Each origin has its own size."""
    other = History(origin="other.example.org")
    assert isinstance(await advance(store, TRUE, 0, 40), Seen)
    assert isinstance(await advance(store, other, 0, 9), Seen)
    assert {origin: each.size for origin, each in newest_seen(path).items()} == {ORIGIN: 40, other.origin: 9}


async def test_a_fork_is_kept_with_both_notes_and_only_a_few_of_them(path: Path, store: WitnessStore) -> None:
    """The log's own two signatures convict it; a flood of forks can't fill the disk."""
    await advance(store, TRUE, 0, 60)
    for cut in range(20, 20 + 2 * MOST_FORKS):
        assert await advance(store, History(fork=cut), 60, 60) == 409
        assert await advance(store, History(fork=cut), 60, 60) == 409
    forks = forks_seen(path)
    assert len(forks) == MOST_FORKS
    assert all(fork.origin == ORIGIN and fork.cosigned == TRUE.note(60) for fork in forks)
    assert History(fork=20).note(60) in [fork.refused for fork in forks]
    assert len({fork.refused for fork in forks}) == MOST_FORKS


async def test_a_bad_proof_keeps_nothing(path: Path, store: WitnessStore) -> None:
    """Anyone can post a true checkpoint with a false proof: it says nothing about the log."""
    await advance(store, TRUE, 0, 60)
    assert await advance(store, FORKED, 60, 90) == 422
    assert forks_seen(path) == []
    assert newest_seen(path)[ORIGIN].size == 60


async def test_asking_for_the_same_within_a_second_writes_nothing(path: Path, store: WitnessStore) -> None:
    """Anyone can post a public checkpoint again: it costs a look, not a write to the disk."""
    await advance(store, TRUE, 0, 60)
    with closing(sqlite3.connect(path)) as looking:
        (before,) = looking.execute("PRAGMA data_version").fetchone()
        for _ in range(3):
            assert await advance(store, TRUE, 60, 60) == Seen(60, TRUE.checkpoint(60).root, NOW_S)
        assert looking.execute("PRAGMA data_version").fetchone() == (before,)
        await advance(store, TRUE, 60, 60, NOW_S + 1)
        assert looking.execute("PRAGMA data_version").fetchone() != (before,)


def test_a_lost_or_foreign_database_is_refused(path: Path, tmp_path: Path) -> None:
    """A witness that goes on without its memory would cosign what it refused before."""
    with pytest.raises(UserError, match="another key"):
        WitnessStore(path, b"x" * 32)
    path.unlink()
    with pytest.raises(UserError, match="must not go on"):
        WitnessStore(path, PUBLIC)
    assert not path.exists()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from bank.board.witness.core import Request
from bank.board.witness.store import WitnessStore
from tests.unit.bank.board.witness.histories import NOW_S, TRUE, WITNESS_KEY

async def main() -> None:
    store = WitnessStore(Path(sys.argv[1]), WITNESS_KEY.public)
    request = Request.decode(TRUE.request(0, 40))
    await store.advance(request, request.note, NOW_S)
    os.kill(os.getpid(), signal.SIGKILL)  # committed, not answered

asyncio.run(main())
"""


async def test_killed_between_commit_and_answer_it_answers_the_same_again(path: Path) -> None:
    """The log never got its cosignature; asking again gives it, and a fork has come too late."""
    root = Path(__file__).parents[5]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", KILLED, str(path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
        timeout=30,
    )
    assert done.returncode == -signal.SIGKILL
    store = WitnessStore(path, PUBLIC)
    try:
        assert await advance(store, FORKED, 0, 60) == 409
        assert await advance(store, TRUE, 0, 40) == 409
        assert await advance(store, TRUE, 40, 40) == Seen(40, TRUE.checkpoint(40).root, NOW_S)
    finally:
        await store.close()
