"""
The board as the bank's feed meets it: signature, decoding, checks, sorting, hashing, coin index, commit.

One signed batch of 500 groups is one round of 1,000 entries: three of four groups are exchanges, which spend
a coin drawn from all that are alive and certify a new one; the fourth is a withdrawal of two coins. So a
million entries leave a quarter of a million coins alive. Making the batches isn't timed. SQLite with
synchronous=FULL, on the disk that holds the temporary folder.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import uvloop

from bank.board.board import Board
from bank.board.feed import Batch, sign_feed
from bank.board.store import BoardStore
from bank.formats.coin import CoinKey, coin_id
from bank.formats.entry import CertifiedEntry, SpentEntry
from benchmarks.figure import Figure
from mixmint.keys import SigningKey

ROUND_ENTRIES = 1000
ROUNDS = 300
RUNS = 5
MANY_ENTRIES = 1_000_000
WITHDRAWALS = 0.25


def measure() -> list[Figure]:
    """[board_entries_per_s, board_round_p99_ms, board_entries_per_s_1m, board_round_p99_ms_1m]."""
    runs = [uvloop.run(_feed(0, ROUNDS)) for _ in range(RUNS)]
    many = uvloop.run(_feed(MANY_ENTRIES // ROUND_ENTRIES, ROUNDS // 2))
    method = (
        f"rounds of {ROUND_ENTRIES:,} entries, one signed batch each, one after another; durable, one process"
    )
    median = f"{method}; empty at the start; median of {RUNS} runs of {ROUNDS} rounds"
    full = f"{method}; {MANY_ENTRIES:,} entries on file; {ROUNDS // 2} rounds"
    return [
        Figure("board_entries_per_s", statistics.median(map(_per_s, runs)), "entries/s", median, 80_000),
        Figure("board_round_p99_ms", statistics.median(map(_p99_ms, runs)), "ms", median, 50, "lower"),
        Figure("board_entries_per_s_1m", _per_s(many), "entries/s", full, 40_000),
        Figure("board_round_p99_ms_1m", _p99_ms(many), "ms", full, 50, "lower"),
    ]


def _per_s(round_s: list[float]) -> float:
    return len(round_s) * ROUND_ENTRIES / sum(round_s)


def _p99_ms(round_s: list[float]) -> float:
    return 1000 * sorted(round_s)[int(len(round_s) * 0.99)]


async def _feed(rounds_before: int, rounds: int) -> list[float]:
    """Seconds from a signed batch to its receipt, which is after its round is closed, for each round."""
    bank, key = SigningKey.generate(), SigningKey.generate()
    bodies = _bodies(bank, key.public, Random(0))  # noqa: S311 - which coin is spent next is no secret
    taken_s: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        store = BoardStore(Path(folder) / "board.db", key, ROUND_ENTRIES)
        store.open()
        board = Board(store, key, bank.public, round_s=3600, check_entries=0)
        try:
            for number in range(rounds_before + rounds):
                body = next(bodies)
                started_s = time.perf_counter()
                taken = await board.feed(body)
                if number >= rounds_before:
                    taken_s.append(time.perf_counter() - started_s)
                assert taken.taken
                assert len(taken.closed) == 1
            totals = store.newest.totals
            assert (totals.repeats, totals.unknown) == (0, 0)
        finally:
            await store.close()
    return taken_s


def _bodies(bank: SigningKey, board_key: bytes, rng: Random) -> Iterator[bytes]:
    live: list[CoinKey] = []
    first = 1
    while True:
        groups = [_group(live, rng) for _ in range(ROUND_ENTRIES // 2)]
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


if __name__ == "__main__":
    for figure in measure():
        print(figure)
