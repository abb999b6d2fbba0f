"""
kill -9 of the board in a loop, under load, while somebody watches its checkpoints.

12 s of it in the suite; 2 minutes with MIXMINT_BOARD_KILL_S=120 (``make faults``).
"""

import asyncio
import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp
import pytest

from bank.board.feed import Batch, FeedClient
from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.note import VerifierKey
from bank.board.log.reader import LogReader
from bank.board.log.source import HttpSource
from bank.board.log.tree import consistency_holds
from bank.board.reading.client import BoardReader, Cursor
from bank.formats.entry import AccountEntry
from mixmint.errors import PeerError, Unavailable
from tests.integration.board.conftest import BANK, KEY, BoardProcess

LASTS_S = float(os.environ.get("MIXMINT_BOARD_KILL_S", "12"))
SEED = int(os.environ.get("MIXMINT_FAULT_SEED", "20261121"))
ROUND_ENTRIES = 200
LEAST_KILLS = 4


def group(number: int) -> list[bytes]:
    """One to four accounts that no other group has."""
    return [AccountEntry(number.to_bytes(31) + bytes([place])).encode() for place in range(1 + number % 4)]


@dataclass
class Watch:
    """Somebody who keeps every checkpoint that he ever saw."""

    log: LogReader
    seen: dict[int, Checkpoint] = field(default_factory=dict)
    proved: int = 0

    async def look(self) -> Checkpoint:
        """Fetch the newest. Two of one size must be one."""
        checkpoint = (await self.log.checkpoint()).checkpoint
        assert self.seen.setdefault(checkpoint.size, checkpoint) == checkpoint, "the log forked"
        return checkpoint

    async def follow(self) -> None:
        """Until cancelled; a board that is away is waited for."""
        while True:
            with suppress(Unavailable):
                await self.look()
            await asyncio.sleep(0.005)

    async def prove(self, *, everything: bool = False) -> None:
        """
        The newest is consistent with all seen before: with each since the last proof, or really each. By the
        tiles that the board serves.
        """
        newest = await self.look()
        assert newest.size == max(self.seen), "the log shrank"
        for size, old in sorted(self.seen.items()):
            if everything or self.proved <= size < newest.size:
                proof = await self.log.consistency(size, newest.size)
                assert consistency_holds(size, old.root, newest.size, newest.root, proof), size
        self.proved = newest.size


@dataclass
class Bank:
    """Feeds as fast as it can, from where the board wants it, and keeps every promise that it got."""

    feed: FeedClient
    rng: Random
    number: int = 1
    promised: dict[int, int] = field(default_factory=dict)
    taken: int = 0
    """Groups below this number were acknowledged."""

    async def work(self) -> None:
        """Until cancelled."""
        while True:
            count = self.rng.randint(1, 80)
            batch = Batch(self.number, [group(n) for n in range(self.number, self.number + count)])
            try:
                receipt = await self.feed.feed(batch)
            except Unavailable:
                await asyncio.sleep(0.005)
                continue
            if receipt.next_group == batch.next:
                self.promised[batch.next - 1] = receipt.round
            assert receipt.next_group >= self.taken, "what was acknowledged is lost"
            self.number = self.taken = receipt.next_group


@pytest.fixture
def board(tmp_path: Path) -> Iterator[BoardProcess]:
    board = BoardProcess(tmp_path / "board", round_ms=20, round_entries=ROUND_ENTRIES)
    with (board.folder / "board.toml").open("a") as settings:
        settings.write("map_rounds = 10\n")
    yield board
    if board.process is not None and board.process.poll() is None:
        board.kill()


async def until_heard(watch: Watch) -> None:
    async with asyncio.timeout(90):
        while True:
            with suppress(Unavailable):
                await watch.look()
                return
            await asyncio.sleep(0.01)


async def test_killed_in_a_loop_the_board_signs_one_growing_log(board: BoardProcess) -> None:
    """
    After each restart the newest checkpoint is consistent with every one seen before. In the end each group
    that was acknowledged stands in the round that its receipt names, whole, once.
    """
    rng, kills = Random(SEED), 0
    board.start()
    async with aiohttp.ClientSession() as session:
        log = VerifierKey(board.url.removeprefix("http://"), KEY.public)
        watch = Watch(LogReader(HttpSource(board.url, session), log))
        bank = Bank(FeedClient(board.url, KEY.public, BANK, session), rng)
        tasks = [asyncio.create_task(bank.work()), asyncio.create_task(watch.follow())]
        end_s = time.monotonic() + LASTS_S
        try:
            while time.monotonic() < end_s or kills < LEAST_KILLS:
                done, _ = await asyncio.wait(tasks, timeout=rng.uniform(0.02, 0.8))
                for task in done:
                    task.result()
                board.kill()
                kills += 1
                await asyncio.to_thread(board.start)
                await until_heard(watch)
                await watch.prove()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        rounds = await read_up_to(board, session, max(bank.promised.values(), default=0))
        await watch.prove(everything=True)
    assert "Traceback" not in board.log
    where = {entry.encode(): one for one, entries in rounds.items() for entry in entries}
    shown = sum(len(entries) for entries in rounds.values())
    assert shown == len(where), "an entry stands there twice"
    for number in range(1, bank.taken):
        assert len({where[entry] for entry in group(number)}) == 1
    for last, round_ in bank.promised.items():
        assert where[group(last)[0]] == round_
    assert len(watch.seen) > kills
    logging.getLogger(__name__).info(
        "%d kills, %d checkpoints seen, %d entries in %d rounds", kills, len(watch.seen), shown, max(rounds)
    )


async def read_up_to(board: BoardProcess, session: aiohttp.ClientSession, last: int) -> dict[int, tuple]:  # type: ignore[type-arg]  # entries of any kind
    """Every round's entries but the board's own, by a reader who saw none of the crashes."""
    reader, cursor, rounds = BoardReader.at(board.url, KEY.public, session), Cursor(), {}
    async with asyncio.timeout(180):
        while cursor.round < last or not rounds:
            for one in await reader.rounds(cursor):
                rounds[one.number] = tuple(entry for entry in one.entries if isinstance(entry, AccountEntry))
                cursor = one.after
            await asyncio.sleep(0.02)
    return rounds


async def test_the_watch_can_tell(tmp_path: Path) -> None:
    """Else the test above could never fail: a fork and a shrunken log are both noticed."""

    class Shown:
        name = "scripted"

        def __init__(self) -> None:
            self.notes: list[bytes] = []

        async def read(self, path: str) -> bytes | None:
            return self.notes.pop(0) if path == "checkpoint" else None

    source, log = Shown(), VerifierKey("x", KEY.public)
    watch = Watch(LogReader(source, log))
    sizes = [(5, b"a" * 32), (5, b"b" * 32), (4, b"c" * 32), (7, b"d" * 32)]
    source.notes = [sign_checkpoint(KEY, Checkpoint("x", size, root)).encode() for size, root in sizes]
    await watch.look()
    with pytest.raises(AssertionError, match="forked"):
        await watch.look()
    with pytest.raises(AssertionError, match="shrank"):
        await watch.prove()
    with pytest.raises((AssertionError, PeerError)):
        await watch.prove()
