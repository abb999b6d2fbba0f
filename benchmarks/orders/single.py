"""One HTTP request for each order, many in flight from another process."""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop
from aiohttp import web

from bank.web import build_app
from benchmarks.figure import Figure, order_limit_us
from benchmarks.orders.bench import Bench, open_bench
from benchmarks.orders.engines import Sqlite

ORDERS = 12_800
RUNS = 5
HTTP_IN_FLIGHT = 64

Runs = list[tuple[float, float]]
"""(orders/s, ratio) of each run."""


def measure() -> list[Figure]:
    """[order_http_ratio]."""
    runs = uvloop.run(_http())
    return [
        Figure(
            "order_http_ratio",
            statistics.median(ratio for _, ratio in runs),
            "",
            f"one HTTP request each, {HTTP_IN_FLIGHT} in flight from another process, ratio to 1 "
            "verification + 2 signatures of the same run",
            0.3,
        )
    ]


async def _http() -> Runs:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        bench = await open_bench(Sqlite(place))
        runner = web.AppRunner(build_app(bench.bank, bench.signer, bench.clock), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        results = []
        for _ in range(RUNS):
            before = order_limit_us(1)
            order_us = await _client_run(bench, port, place / "requests")
            limit_us = (before + order_limit_us(1)) / 2
            results.append((1e6 / order_us, limit_us / order_us))
        await runner.cleanup()
        await bench.close()
    return results


async def _client_run(bench: Bench, port: int, path: Path) -> float:
    """Microseconds an order, as the client process saw it."""
    _write(path, [request.body for request in await bench.requests(ORDERS)])
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.orders.client", str(port), str(path), str(HTTP_IN_FLIGHT)),
        stdout=subprocess.PIPE,
    )
    output, _ = await client.communicate()
    return float(output)


def _write(path: Path, bodies: Sequence[bytes]) -> None:
    path.write_text(json.dumps([body.hex() for body in bodies]))
