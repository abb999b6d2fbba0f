"""
Orders 1 -> 1 through the bank as it runs: real rules, real store (SQLite, synchronous=FULL), signed answers.

Ratios are taken against the least that an order can cost, one verification and two signatures, measured in
the same run, before and after: the machine may be shared and its clock may change.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import uvloop
from aiohttp import web

from bank.board.log.note import Note
from bank.board.reading.cursor import Cursor, Cutter, VerifiedRound
from bank.board.rounds import leaves_of
from bank.confirmer import compare_page, confirm, read_position
from bank.formats.answer import Kind
from bank.formats.coin import CoinId, CoinKey, coin_id
from bank.formats.order import NOTHING, Order, Output, sign_order
from bank.formats.request import encode_request
from bank.ledger import Signer, Terms
from bank.outbox import BoardClock, groups_from
from bank.service import Bank
from bank.stores.interface import View
from bank.stores.sqlite import SqliteBook, SqliteStore, open_books
from bank.web import build_app
from benchmarks.figure import Figure, one_verify_two_signs_us
from mixmint.keys import SigningKey
from replyblocks.service import Request

FRAME = 64
ORDERS = 200 * FRAME
RUNS = 5
HTTP_IN_FLIGHT = 64
MANY_COINS = 1_000_000
LAST_ROUND = 1000
ROUND_ENTRIES = 1000


def measure() -> list[Figure]:
    """[orders_per_s, order_ratio, order_ratio_1m, order_http_ratio, confirm_entries_per_s]."""
    empty, full = uvloop.run(_frames())
    per_s, ratio = _median(empty)
    _, ratio_1m = _median(full)
    _, http_ratio = _median(uvloop.run(_http()))
    frames = (
        f"frames of {FRAME} decoded requests, one after another, median of {RUNS} runs of {ORDERS} orders"
    )
    limit = "to 1 verification + 2 signatures of the same run"
    return [
        Figure("orders_per_s", per_s, "orders/s", f"{frames}; durable, one process", 8000),
        Figure("order_ratio", ratio, "", f"the same, ratio {limit}", 0.6),
        Figure(
            "order_ratio_1m",
            ratio_1m,
            "",
            "the same with 1,000,000 coins on file, runs alternating; goal 0.8 of order_ratio",
            0.8 * ratio,
        ),
        Figure(
            "order_http_ratio",
            http_ratio,
            "",
            f"one HTTP request each, {HTTP_IN_FLIGHT} in flight from another process, ratio {limit}",
            0.3,
        ),
        Figure(
            "confirm_entries_per_s",
            statistics.median(uvloop.run(_confirm()) for _ in range(RUNS)),
            "entries/s",
            f"{ORDERS} orders in rounds of {ROUND_ENTRIES} entries, read already, compared with the outbox",
            200_000,
        ),
    ]


def _median(runs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(each for each, _ in runs), statistics.median(each for _, each in runs)


class _Bench:
    """A bank on a disk of its own, without a board: the clock is set by hand, the outbox is emptied."""

    def __init__(self, folder: Path) -> None:
        terms = Terms()
        self.signer = Signer(SigningKey.generate(), terms)
        self.connection = open_books(folder / "bank.db", self.signer.bank)
        self.store = SqliteStore(self.connection)
        self.clock = BoardClock(terms, silence_s=1e9)
        self.clock.heard(1)
        self.bank = Bank(self.signer, self.store, self.clock)

    async def fill(self, coins: int) -> None:
        """Put coins on file, half of them spent."""
        epoch = self.clock.epoch()
        ids = sorted(os.urandom(32) for _ in range(coins))

        def write(book: SqliteBook) -> None:
            book.connection.executemany(
                "INSERT INTO certified VALUES (?, 3, ?, 0)", ((each, epoch) for each in ids)
            )
            book.connection.executemany(
                "INSERT INTO spent VALUES (?, ?, ?, 1, ?)",
                ((each, each, 2 * each, epoch) for each in ids[::2]),
            )

        await self.store.run(write)
        await self.store.checkpoint()

    async def requests(self, count: int) -> list[bytes]:
        """Orders 1 -> 1 for coins that are certified here."""
        keys = [SigningKey.generate() for _ in range(count)]
        epoch = self.clock.epoch()
        rows = [(coin_id(key.public), epoch) for key in keys]
        await self.store.run(
            lambda book: book.connection.executemany("INSERT INTO certified VALUES (?, 3, ?, 0)", rows)
        )
        return [encode_request(sign_order(self._order(key), [key], os.urandom(16))) for key in keys]

    def _order(self, key: SigningKey) -> Order:
        output = Output(CoinId(os.urandom(32)), 3)
        return Order(
            self.signer.bank,
            os.urandom(16),
            LAST_ROUND,
            (CoinKey(key.public),),
            (output,),
            NOTHING,
            NOTHING,
            NOTHING,
        )

    async def close(self) -> None:
        await self.bank.close()
        await self.store.close()


Runs = list[tuple[float, float]]
"""(orders/s, ratio) of each run."""


async def _frames() -> tuple[Runs, Runs]:
    """
    With an empty store, and with a million coins on file.

    The runs alternate, so that what else the machine does falls on both.
    """
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        empty, full = _Bench(Path(one)), _Bench(Path(other))
        await full.fill(MANY_COINS)
        results: tuple[Runs, Runs] = ([], [])
        for _ in range(RUNS):
            for bench, runs in zip((empty, full), results, strict=True):
                runs.append(await _run(bench))
        await empty.close()
        await full.close()
    return results


async def _run(bench: _Bench) -> tuple[float, float]:
    requests = [Request(os.urandom(16), body) for body in await bench.requests(ORDERS)]
    frames = [requests[start : start + FRAME] for start in range(0, ORDERS, FRAME)]
    before = one_verify_two_signs_us()
    start_s = time.perf_counter()
    answers = [await bench.bank.handle(frame) for frame in frames]
    order_us = (time.perf_counter() - start_s) / ORDERS * 1e6
    limit_us = (before + one_verify_two_signs_us()) / 2
    assert all(answer[0] == Kind.CERTIFICATES for frame in answers for answer in frame)
    return 1e6 / order_us, limit_us / order_us


async def _confirm() -> float:
    """Entries a second that the bank finds on the board and drops from its outbox."""
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder))
        requests = [Request(os.urandom(16), body) for body in await bench.requests(ORDERS)]
        for start in range(0, ORDERS, FRAME):
            await bench.bank.handle(requests[start : start + FRAME])
        position = await bench.store.read(read_position)
        rounds = _rounds(await bench.store.read(_given))
        start_s = time.perf_counter()
        compared = await bench.store.read(lambda view: compare_page(view, position, rounds))
        await bench.store.run(lambda book: confirm(book, compared))
        taken_s = time.perf_counter() - start_s
        assert (compared.difference, compared.group) == (None, ORDERS + 1)
        await bench.close()
    return 2 * ORDERS / taken_s


def _given(view: View) -> list[bytes]:
    return [entry for group in groups_from(view, 1) for entry in group]


def _rounds(entries: Sequence[bytes]) -> list[VerifiedRound]:
    """As a reader hands them on, once he has proved them."""
    cutter = Cutter(Cursor(), Note("", ()), ORDERS)
    leaves: list[bytes] = []
    for number, start in enumerate(range(0, len(entries), ROUND_ENTRIES), 1):
        leaves += leaves_of(number, 0, len(leaves), entries[start : start + ROUND_ENTRIES])
    while leaves:
        del leaves[: cutter.take(leaves)]
        if cutter.is_full:
            found = cutter.rounds
            cutter = Cutter(found[-1].after, Note("", ()), ORDERS)
            cutter.rounds = found
    return cutter.rounds


async def _http() -> Runs:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        bench = _Bench(place)
        runner = web.AppRunner(build_app(bench.bank, bench.signer, bench.clock), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        results = []
        for _ in range(RUNS):
            before = one_verify_two_signs_us()
            order_us = await _client_run(bench, port, place / "requests")
            limit_us = (before + one_verify_two_signs_us()) / 2
            results.append((1e6 / order_us, limit_us / order_us))
        await runner.cleanup()
        await bench.close()
    return results


async def _client_run(bench: _Bench, port: int, path: Path) -> float:
    """Microseconds an order, as the client process saw it."""
    _write(path, await bench.requests(ORDERS))
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.orders", str(port), str(path)), stdout=subprocess.PIPE
    )
    output, _ = await client.communicate()
    return float(output)


class _Connection(asyncio.Protocol):
    """A connection that asks again as soon as it is answered; lean, since it is the bank that is measured."""

    def __init__(self, bodies: list[bytes], done: asyncio.Future[None]) -> None:
        self._bodies = bodies
        self._done = done
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        if not self._bodies:
            self._transport.close()
            self._done.set_result(None)
            return
        body = self._bodies.pop()
        head = (
            "POST /api/v1/order HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if len(body) == length:
            assert head.startswith(b"HTTP/1.1 200"), head
            assert body[0] == Kind.CERTIFICATES
            self._received = b""
            self._ask()


def _write(path: Path, bodies: Sequence[bytes]) -> None:
    path.write_text(json.dumps([body.hex() for body in bodies]))


def _read(path: Path) -> list[bytes]:
    return [bytes.fromhex(each) for each in json.loads(path.read_text())]


async def _client(port: int, bodies: list[bytes]) -> float:
    loop = asyncio.get_running_loop()
    start_s = time.perf_counter()
    ends = []
    for _ in range(HTTP_IN_FLIGHT):
        done = loop.create_future()
        await loop.create_connection(lambda done=done: _Connection(bodies, done), "127.0.0.1", port)
        ends.append(done)
    await asyncio.gather(*ends)
    return (time.perf_counter() - start_s) / ORDERS * 1e6


if __name__ == "__main__":
    print(uvloop.run(_client(int(sys.argv[1]), _read(Path(sys.argv[2])))))
