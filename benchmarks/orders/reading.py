"""The board read back: entries a second that the bank finds there and drops from its outbox."""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bank.board.log.note import Note
from bank.board.reading.cursor import Cursor, Cutter, VerifiedRound
from bank.board.rounds import leaves_of
from bank.confirmer import compare_page, confirm, read_position
from bank.outbox import groups_from
from bank.stores.interface import View
from benchmarks.figure import Figure
from benchmarks.orders.bench import open_bench
from benchmarks.orders.engines import Sqlite

FRAME = 64
ORDERS = 200 * FRAME
RUNS = 5
ROUND_ENTRIES = 1000


def measure() -> list[Figure]:
    """[confirm_entries_per_s]."""
    return [
        Figure(
            "confirm_entries_per_s",
            statistics.median(uvloop.run(_confirm()) for _ in range(RUNS)),
            "entries/s",
            f"{ORDERS} orders in rounds of {ROUND_ENTRIES} entries, read already, compared with the outbox",
            200_000,
        )
    ]


async def _confirm() -> float:
    """Entries a second that the bank finds on the board and drops from its outbox."""
    with tempfile.TemporaryDirectory() as folder:
        bench = await open_bench(Sqlite(Path(folder)))
        requests = await bench.requests(ORDERS)
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
