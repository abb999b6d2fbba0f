"""
Simon's definition 8: what one transaction costs each side, against n (coins, accounts and entries there are)
and against the length of a party's own past.

The network is the one of the properties (tests/properties/simon): real wallets, the real bank on its real
store, a real log. Operations are counted, not timed, so a busy machine changes nothing; the bank's time for
an order stands beside them.

    python -m benchmarks efficiency             # figures
    python -m benchmarks.efficiency FILE.svg    # the plot, and the tables for docs/spec/simon.md
"""

import math
import sqlite3
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from nacl import bindings

import bank.board.log.tree
import mixmint.keys
from bank.formats.coin import CoinKey, coin_id
from bank.formats.entry import CertifiedEntry
from bank.formats.order import Order, Output, sign_order
from bank.formats.request import encode_request
from bank.ledger.book import Value
from benchmarks.figure import Figure
from mixmint.keys import SigningKey
from mixmint.sealing import Sealer
from tests.properties.simon.party import DEPOSIT, WITHDRAW, How, Input
from tests.properties.simon.views import BANK
from tests.properties.simon.world import World, new_world
from tests.unit.wallet.town import Files, Wallet
from wallet.derivation import Purpose
from wallet.purse import CoinState

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
PASTS = (0, 100, 1_000, 4_000)
TIMED = 400
CREDIT = 1 << 14
TRANSACTIONS = {
    "withdraw": Input("ann", WITHDRAW, 8),
    "hand over": Input("ann", "bob", 8, How.HAND_OVER),
    "pay a request": Input("bob", "ann", 8, How.INVOICE),
    "deposit": Input("ann", DEPOSIT, 8),
}
MEASURES = (
    "bank and board: signatures",
    "bank and board: verifications",
    "bank and board: hashes",
    "bank: SQLite instructions",
    "bank: bytes in and out",
    "parties: signatures",
    "parties: verifications",
    "parties: hashes",
    "parties: bytes from the board",
    "parties: values unsealed in purses",
)
TILE = 256
PHASE = 100
"""So far in its last tile the log ends at each size: else the tile's filling would be compared, not n."""


def measure() -> list[Figure]:
    """The steepest growth from the fewest coins to the most, against log squared; and a purse's past."""
    curves = {n: costs(n) for n in SIZES}
    first, last = SIZES[0], SIZES[-1]
    growth = {name: ratio(curves, name, last) for name in MEASURES}
    steepest = max(growth, key=lambda name: growth[name])
    bound = (math.log(last) / math.log(first)) ** 2
    times = {n: curves[n]["bank: microseconds"] for n in SIZES}
    pasts = {past: costs(100, past) for past in PASTS}
    unsealed = MEASURES[-1]
    per_coin = (pasts[PASTS[-1]][unsealed] - pasts[0][unsealed]) / PASTS[-1]
    return [
        Figure(
            "definition_8_growth",
            growth[steepest],
            "times",
            f"a withdrawal, two payments and a deposit with {last:,} coins, accounts and entries there, to "
            f"{first:,}; steepest of {len(MEASURES)} counts: {steepest}; goal: log n squared",
            bound,
            "lower",
        ),
        Figure(
            "definition_8_order_time_growth",
            times[last] / times[first],
            "times",
            f"the bank's time for an order 1 -> 1, durable, same sizes ({times[first]:.0f} us at {first:,})",
            bound,
            "lower",
        ),
        Figure(
            "definition_8_own_past",
            per_coin,
            "values unsealed",
            "by the four transactions together, for each coin in the purses' past: linear in one's own run",
        ),
    ]


def ratio(curves: "dict[int, Counter[str]]", name: str, n: int) -> float:
    """Cost with n there, to the cost with the fewest."""
    return curves[n][name] / max(1, curves[SIZES[0]][name])


def costs(n: int, past: int = 0) -> "Counter[str]":
    """All counts for the four transactions together, with n coins, accounts and entries that others made."""
    with new_world(1, ann=CREDIT, bob=CREDIT) as world:
        fill_bank(world, n)
        fill_board(world, n)
        for party in world.parties.values():
            fill_purse(party.wallet.purse, past)
            begin_here(world, party.wallet)
        counts: Counter[str] = Counter()
        begin = len(world.view.events)
        with counted(world, counts):
            for given in TRANSACTIONS.values():
                world.cycle(given)
        for name, party in world.parties.items():
            assert not party.refusals, (name, party.refusals)
        messages = [event for event in world.view.events[begin:] if event.whose == BANK]
        counts["bank: bytes in and out"] = sum(len(event.data) for event in messages)
        if not past:
            counts["bank: microseconds"] = order_us(world)
        return counts


def connection_of(world: World) -> sqlite3.Connection:
    connection: sqlite3.Connection = world.town.store._writer._connection
    return connection


def fill_bank(world: World, n: int) -> None:
    """n coins certified, half of them spent, and n / 10 accounts, straight into the tables."""
    rng = Random(n)
    connection = connection_of(world)
    connection.execute("BEGIN")
    for table, count in (("certified", n), ("spent", n // 2), ("account", n // 10)):
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
        slots = ",".join("?" * len(columns))
        rows = (
            tuple(rng.randbytes(32) if kind == "BLOB" else 1 for _, _, kind, *_ in columns)
            for _ in range(count)
        )
        connection.executemany(f"INSERT INTO {table} VALUES ({slots})", rows)  # noqa: S608 - names of ours
    connection.execute("COMMIT")


def fill_board(world: World, n: int) -> None:
    """n entries, in rounds of 1,000, and some more up to the same place in a tile."""
    rng = Random(n)
    maker = world.town.board.maker
    rounds = -(-n // 1000) + 1
    n += (PHASE - (len(maker.leaves) + n + rounds)) % TILE
    for number in range(rounds):
        count = n // rounds + (number < n % rounds)
        maker.close(
            [CertifiedEntry(rng.randbytes(32), 0, 0, rng.randbytes(64)).encode() for _ in range(count)]
        )
    maker.publish()
    world.skip_public()


def begin_here(world: World, wallet: Wallet) -> None:
    """The wallet has read the board so far: what others did before is not what is counted."""
    head = world.loop.run_until_complete(wallet.teller._board.head())
    with wallet.purse.transaction():
        wallet.purse.set_fact("cursor", head.encode())


def fill_purse(purse: Any, past: int) -> None:
    """Coins that the party had and spent."""
    with purse.transaction():
        purse.expect(Purpose.EXCHANGE, [0] * past, 0)
        for row, record in purse.coins(CoinState.EXPECTED).items():
            purse.change_coin(row, record, state=CoinState.SPENT)


@contextmanager
def counted(world: World, counts: "Counter[str]") -> Iterator[None]:
    """Count what happens inside, by side: the parties run in this thread, the bank in others."""
    here = threading.get_ident()

    def counting(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def count(*given: Any) -> Any:
            side = "parties" if threading.get_ident() == here else "bank and board"
            counts[f"{side}: {what}"] += 1
            return function(*given)

        return count

    read = Files.read

    async def counting_bytes(files: Files, path: str) -> bytes | None:
        data = await read(files, path)
        counts["parties: bytes from the board"] += len(data or b"")
        return data

    unseal = Sealer.open

    def unsealing(sealer: Sealer, *given: bytes) -> bytes:
        counts["parties: values unsealed in purses"] += 1
        return unseal(sealer, *given)

    def step() -> None:
        counts["bank: SQLite instructions"] += 1

    connection = connection_of(world)
    connection.set_progress_handler(step, 1)
    with (
        mock.patch.object(bindings, "crypto_sign", counting("signatures", bindings.crypto_sign)),
        mock.patch.object(bindings, "crypto_sign_open", counting("verifications", bindings.crypto_sign_open)),
        mock.patch.object(mixmint.keys, "sha256", counting("hashes", mixmint.keys.sha256)),
        mock.patch.object(bank.board.log.tree, "sha256", counting("hashes", bank.board.log.tree.sha256)),
        mock.patch.object(Files, "read", counting_bytes),
        mock.patch.object(Sealer, "open", unsealing),
    ):
        yield
    connection.set_progress_handler(None, 1)


def order_us(world: World) -> float:
    """The bank's time for an order 1 -> 1, one at a time, durable: the median, in microseconds."""
    rng = Random(5)
    names = world.town.names
    keys = [SigningKey(rng.randbytes(32)) for _ in range(TIMED + 1)]
    first, value = coin_id(keys[0].public), Value(0, world.town.clock.epoch())
    world.aside.run(world.town.store.run(lambda book: book.certify(first, value, bytes(32), 0)))
    taken: list[float] = []
    for old, new in pairwise(keys):
        order = Order(
            names.id, rng.randbytes(16), 10**6, (CoinKey(old.public),), (Output(coin_id(new.public), 0),)
        )
        body = encode_request(sign_order(order, [old], rng.randbytes(16)))
        start = time.perf_counter()
        world.ask_bank([body])
        taken.append((time.perf_counter() - start) * 1e6)
    return statistics.median(taken[TIMED // 2 :])


def table(names: Sequence[str], columns: "dict[int, Counter[str]]", head: str) -> str:
    """A Markdown table: a row for each count, a column for each size."""
    lines = [
        f"| {head} | " + " | ".join(f"{size:,}" for size in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    lines += [
        f"| {name} | " + " | ".join(f"{counts[name]:,.0f}" for counts in columns.values()) + " |"
        for name in names
    ]
    return "\n".join(lines)


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 380, 50, 250, 20, 40
COLOURS = ("#0b6", "#06c", "#c60", "#909", "#c03", "#666", "#088", "#a80", "#44d", "#f0a")


def plot(curves: "dict[int, Counter[str]]") -> str:
    """Each count to that of the fewest, over log n; and the bound, log n squared, dashed."""
    lines = {name: [ratio(curves, name, n) for n in curves] for name in MEASURES}
    bound = [(math.log(n) / math.log(SIZES[0])) ** 2 for n in curves]
    most = max(bound)

    def x(index: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * index / (len(curves) - 1)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / most

    def path(values: Sequence[float], style: str) -> str:
        points = " ".join(f"{x(index):.1f},{y(value):.1f}" for index, value in enumerate(values))
        return f'<polyline points="{points}" fill="none" {style}/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="12" role="img">',
        "<title>Cost of a withdrawal, two payments and a deposit, to that with 100 coins there</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for value in range(int(most) + 1):
        parts.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value}</text>')
    for index, n in enumerate(curves):
        parts.append(f'<text x="{x(index):.1f}" y="{HEIGHT - 14}" text-anchor="middle">{n:,}</text>')
    parts.append(path(bound, 'stroke="#999" stroke-dasharray="6 4"'))
    parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{y(bound[-1]) + 4:.1f}" fill="#666">(log n)²</text>')
    for index, (name, values) in enumerate(lines.items()):
        colour = COLOURS[index]
        parts.append(path(values, f'stroke="{colour}" stroke-width="2"'))
        at = HEIGHT - BOTTOM - 16 * (len(lines) - index)
        parts.append(f'<path d="M{WIDTH - RIGHT + 10} {at - 4}h18" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 34}" y="{at}">{name} ({values[-1]:.2f})</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Write the plot and print the tables."""
    curves = {n: costs(n) for n in SIZES}
    Path(sys.argv[1]).write_text(plot(curves))
    print(table(MEASURES, curves, "n"))
    print()
    print(table(MEASURES, {past: costs(100, past) for past in PASTS}, "coins in each purse's past"))


if __name__ == "__main__":
    main()
