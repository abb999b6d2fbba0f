"""Orders 1 -> 1 and 8 -> 8 in frames, on both engines side by side, with few and with many coins on file."""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bank.formats.answer import Kind
from benchmarks.figure import Figure, order_limit_us
from benchmarks.orders.bench import Bench, open_bench
from benchmarks.orders.engines import SERVER_SETTINGS, Engine, Postgres, Sqlite
from tests.postgres import running

FRAME = 64
ORDERS = {1: 200 * FRAME, 8: 25 * FRAME}
"""Of a run, by the coins of an order: as many coins in each."""
RUNS = 5
SIZES = {"": 0, "1m": 1_000_000, "10m": 10_000_000}
"""Coins on file, by the figures' name for it."""
GOALS = {"sqlite": 0.6, "postgres": 0.4}
FULL_SHARE = 0.7
"""What must be left of the rate with empty books."""
EARLIER_SHARES = {("sqlite", 1, "1m"): 0.8}
"""A goal that was set before for a smaller number."""


@dataclass(frozen=True)
class _Row:
    """What is measured together: an engine with so many coins on file, and orders of so many coins."""

    engine: str
    coins: int
    size: str

    @property
    def name(self) -> str:
        """The figure's, without what is measured."""
        parts = ("pg" if self.engine == "postgres" else "", "8" if self.coins == 8 else "", self.size)
        return "".join(f"_{part}" for part in parts if part)


Runs = list[tuple[float, float]]
"""(orders/s, ratio) of each run."""


def measure(sizes: Sequence[str]) -> list[Figure]:
    """[orders_per_s, order_ratio] for both engines, both shapes and each size, named _pg, _8, _1m, _10m."""
    found = uvloop.run(_measure(sizes))
    figures = []
    for row, runs in found.items():
        per_s = statistics.median(each for each, _ in runs)
        ratio = statistics.median(each for _, each in runs)
        signatures = "1 verification + 2" if row.coins == 1 else "8 verifications + 9"
        method = (
            f"{row.engine}, {SIZES[row.size]:,} coins on file, orders {row.coins} -> {row.coins}, frames of "
            f"{FRAME}, one after another, median of {RUNS} runs of {ORDERS[row.coins]}"
        )
        empty = statistics.median(each for _, each in found[_Row(row.engine, row.coins, "")])
        share = EARLIER_SHARES.get((row.engine, row.coins, row.size), FULL_SHARE)
        goal = GOALS[row.engine] if not row.size else share * empty
        name = "orders_per_s" + row.name
        figures += [
            Figure(name, per_s, "orders/s", method, 8000 if name == "orders_per_s" else None),
            Figure("order_ratio" + row.name, ratio, "", f"ratio to {signatures} signatures of the run", goal),
        ]
    return figures


async def _measure(sizes: Sequence[str]) -> dict[_Row, Runs]:
    """The runs of all rows alternate, so that what else the machine does falls on all of them."""
    async with contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(running(**SERVER_SETTINGS))
        benches: dict[tuple[str, str], Bench] = {}
        for size in sizes:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            engines: tuple[Engine, ...] = (Sqlite(folder), Postgres(server))
            for engine in engines:
                bench = await open_bench(engine)
                stack.push_async_callback(bench.close)
                await engine.fill(SIZES[size], bench.epoch)
                benches[engine.name, size] = bench
        found: dict[_Row, Runs] = {}
        for _ in range(RUNS):
            for (engine_name, size), bench in benches.items():
                for coins in ORDERS:
                    found.setdefault(_Row(engine_name, coins, size), []).append(await _run(bench, coins))
    return found


async def _run(bench: Bench, coins: int) -> tuple[float, float]:
    count = ORDERS[coins]
    requests = await bench.requests(count, coins)
    frames = [requests[start : start + FRAME] for start in range(0, count, FRAME)]
    before = order_limit_us(coins)
    start_s = time.perf_counter()
    answers = [await bench.bank.handle(frame) for frame in frames]
    order_us = (time.perf_counter() - start_s) / count * 1e6
    limit_us = (before + order_limit_us(coins)) / 2
    assert all(answer[0] == Kind.CERTIFICATES for frame in answers for answer in frame)
    return 1e6 / order_us, limit_us / order_us
