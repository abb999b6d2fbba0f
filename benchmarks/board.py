"""
The board as the bank's feed meets it: signature, decoding, checks, sorting, hashing, coin index, tile files,
signed checkpoints; with the bank's statements among the entries, and the map of coins made beside.

One signed batch of 500 groups is one round of 1,000 entries: three of four groups are exchanges, which spend
a coin drawn from all that are alive and certify a new one; the fourth is a withdrawal of two coins. So a
million entries leave a quarter of a million coins alive. Making the batches isn't timed. SQLite with
synchronous=FULL and every file synced, on the disk that holds the temporary folder.
"""

import asyncio
import contextlib
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import uvloop

from bank.board.board import Board
from bank.board.feed import Batch, sign_feed
from bank.board.log.folder import TileFolder
from bank.board.map.keeper import MapKeeper
from bank.board.writing.map_rounds import MapRounds
from bank.board.writing.publisher import Publisher
from bank.board.writing.store import BoardStore
from bank.formats.coin import CoinKey, bank_id, coin_id
from bank.formats.entry import CertifiedEntry, SpentEntry, StatementEntry
from bank.formats.statement import Row, Tally, sign_statement
from benchmarks.figure import Figure
from mixmint.errors import Unavailable
from mixmint.keys import SigningKey

ROUND_ENTRIES = 1000
ROUNDS = 300
RUNS = 3
MANY_ENTRIES = 1_000_000
WITHDRAWALS = 0.25
STATEMENT_ROUNDS = 50
"""A statement in every 50th round, where a bank in earnest makes one a minute."""
MAP_ROUNDS = 100
PACED_PER_S = 20_000
PACED_ROUNDS = 400


def measure() -> list[Figure]:
    """
    [board_full_entries_per_s, board_full_entries_per_s_1m, board_round_p99_ms_20k,
    board_overhead_bytes_per_entry].
    """
    runs = [uvloop.run(_run(0)) for _ in range(RUNS)]
    many = uvloop.run(_run(MANY_ENTRIES // ROUND_ENTRIES))
    method = (
        f"rounds of {ROUND_ENTRIES:,} entries, one signed batch each, published; statements, map; durable; "
        "one process, and the map's"
    )
    empty = f"{method}; empty at the start; median of {RUNS} runs of {ROUNDS} rounds"
    full = f"{method}; {MANY_ENTRIES:,} entries on file; {ROUNDS} rounds"
    paced = f"from a batch to its published round, at {PACED_PER_S:,} entries/s, {PACED_ROUNDS} rounds"
    stored = f"stored beyond the entries and the index of coins, {MANY_ENTRIES:,} entries in rounds of 1,000"
    return [
        Figure("board_full_entries_per_s", _per_s(runs), "entries/s", empty, 60_000),
        Figure("board_full_entries_per_s_1m", many.per_s, "entries/s", full, 40_000),
        Figure(
            "board_round_p99_ms_20k", statistics.median(run.p99_ms for run in runs), "ms", paced, 50, "lower"
        ),
        Figure("board_overhead_bytes_per_entry", many.overhead, "bytes", stored, 36, "lower"),
        Figure("board_index_bytes_per_entry", many.index, "bytes", "the index of coins: rows by coin id"),
        Figure("board_map_bytes_per_entry", many.map, "bytes", "the newest map of coins: 33 bytes a coin"),
    ]


@dataclass
class Run:
    """What one run measured. Bytes are for each entry."""

    per_s: float = 0.0
    paced_s: list[float] = field(default_factory=list)
    overhead: float = 0.0
    index: float = 0.0
    map: float = 0.0

    @property
    def p99_ms(self) -> float:
        return 1000 * sorted(self.paced_s)[int(len(self.paced_s) * 0.99)]


def _per_s(runs: list[Run]) -> float:
    return statistics.median(run.per_s for run in runs)


async def _run(rounds_before: int) -> Run:
    bank, key = SigningKey.generate(), SigningKey.generate()
    bodies = _bodies(bank, key.public, Random(0))
    run = Run()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with _board(folder, bank, key) as board:
            for _ in range(rounds_before):
                await _published(board, await _feed(board, next(bodies)))
            fresh = [next(bodies) for _ in range(ROUNDS)]
            started_s = time.perf_counter()
            for body in fresh:
                newest = await _feed(board, body)
            await _published(board, newest)
            run.per_s = ROUNDS * ROUND_ENTRIES / (time.perf_counter() - started_s)
            if not rounds_before:
                run.paced_s = await _paced(board, [next(bodies) for _ in range(PACED_ROUNDS)])
            closed = board.store.newest
            assert (closed.totals.repeats, closed.totals.unknown) == (0, 0)
            entries = closed.size - closed.number
        run.overhead, run.index, run.map = _stored(folder, entries)
    return run


@asynccontextmanager
async def _board(folder: Path, bank: SigningKey, key: SigningKey) -> AsyncIterator[Board]:
    files = TileFolder(folder / "log")
    store = BoardStore(folder / "board.db", files, ROUND_ENTRIES)
    publisher = Publisher(store, files, key, "board.example.org")
    board = Board(store, publisher, key, bank.public, round_s=3600)
    async with AsyncExitStack() as stack:
        await board.start()
        stack.push_async_callback(store.close)
        keeper = await stack.enter_async_context(MapKeeper(folder / "map", folder / "log"))
        maps = MapRounds(board, keeper, MAP_ROUNDS)
        await maps.start()
        tasks = [asyncio.create_task(board.close_rounds()), asyncio.create_task(maps.run())]
        yield board
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _feed(board: Board, body: bytes) -> int:
    """One batch, again while the board is behind, as the bank's loop does; its round."""
    while True:
        try:
            taken, receipt = await board.feed(body)
        except Unavailable:
            await board.round_after(board.store.newest.number)
            continue
        assert taken
        return receipt.round


async def _published(board: Board, round_: int) -> None:
    while board.store.newest.number < round_:
        await board.round_after(board.store.newest.number)


async def _paced(board: Board, bodies: list[bytes]) -> list[float]:
    """Seconds from each batch to its published round, when they come at a steady pace."""
    loop, pause_s = asyncio.get_running_loop(), ROUND_ENTRIES / PACED_PER_S
    begin_s = loop.time()

    async def took_s(round_: int, due_s: float) -> float:
        await _published(board, round_)
        return loop.time() - due_s

    waiting = []
    for number, body in enumerate(bodies):
        due_s = begin_s + number * pause_s
        await asyncio.sleep(due_s - loop.time())
        waiting.append(asyncio.create_task(took_s(await _feed(board, body), due_s)))
    return list(await asyncio.gather(*waiting))


def _stored(folder: Path, entries: int) -> tuple[float, float, float]:
    """Bytes for each entry: beyond the entries and the index, the index, the newest map."""
    connection = sqlite3.connect(folder / "board.db")
    with contextlib.closing(connection):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sizes = dict(connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
        (leaves,) = connection.execute("SELECT max(first + count + 1) FROM rounds").fetchone()
    files = sum(path.stat().st_size for path in (folder / "log").rglob("*") if path.is_file())
    plain = _plain_bytes(TileFolder(folder / "log"), leaves)
    index = sizes.pop("coins") + sizes.pop("repeats")
    maps = max((path.stat().st_size for path in (folder / "map").iterdir()), default=0)
    # What waited for its round is gone; its pages are free, and used again.
    rest = sum(size for name, size in sizes.items() if name != "waiting")
    return (files + rest - plain) / entries, index / entries, maps / entries


def _plain_bytes(files: TileFolder, leaves: int) -> int:
    """The coins' entries themselves."""
    return sum(
        len(leaf) for _, part in files.entries(0, leaves, leaves) for leaf in part if leaf[0] in {3, 4}
    )


def _bodies(bank: SigningKey, board_key: bytes, rng: Random) -> Iterator[bytes]:
    live: list[CoinKey] = []
    first, round_ = 1, 0
    while True:
        groups = [_group(live, rng) for _ in range(ROUND_ENTRIES // 2)]
        round_ += 1
        if round_ % STATEMENT_ROUNDS == 0:
            groups[0] = [*groups[0], _statement(bank, round_)]
        yield sign_feed(bank, board_key, Batch(first, groups).encode())
        first += len(groups)


def _group(live: list[CoinKey], rng: Random) -> list[bytes]:
    """Bytes of the right shape; nobody on this path checks the entries' own signatures."""
    if not live or rng.random() < WITHDRAWALS:
        return [_certified(live), _certified(live)]
    place = rng.randrange(len(live))
    live[place], live[-1] = live[-1], live[place]
    spent = SpentEntry(live.pop(), os.urandom(32), os.urandom(64)).encode()
    return [_certified(live), spent]


def _certified(live: list[CoinKey]) -> bytes:
    key = CoinKey(os.urandom(32))
    live.append(key)
    return CertifiedEntry(coin_id(key), 3, 1, os.urandom(64)).encode()


def _statement(bank: SigningKey, sequence: int) -> bytes:
    """As of a bank with coins of twelve values."""
    tally = Tally(10**6, 10**6, 10**6, 10**5, 0)
    rows = [Row(exponent, 1, tally) for exponent in range(12)]
    ours = bank_id(bank.public)
    return StatementEntry(sign_statement(bank, ours, sequence, 0, bytes(32), tally, rows)).encode()


if __name__ == "__main__":
    for figure in measure():
        print(figure)
