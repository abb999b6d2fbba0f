"""
Payments through a whole network on this machine, timed from the order sent to the bank's answer stored.

Once with the demo's settings, and once with everything sent at once: no ticks, no pools, no cover. The second
is what the machinery itself costs; the first is what hiding costs.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from benchmarks.figure import Figure
from mix.strategies.timed_pool import expected_ticks
from mixmint.demo.network import Pace, init_network, run_command
from mixmint.demo.processes import Processes
from wallet.cashier import Cashier
from wallet.lines import OverTheMixes
from wallet.session import create_wallet, open_wallet

DEMO = Pace()
AT_ONCE = Pace(tick_ms=0, pool_minimum=0, cover_packets=0)
WITHDRAWN = 200
POLL_S = 4.0
"""
The wallets look at the board this rarely here: otherwise they often see a payment settled before its answer
comes, and the slow answers would not be counted.
"""
FLOOR_SHARE = 0.15


def measure() -> list[Figure]:
    """payment_floor_s, payment_p50_s and payment_p99_s."""
    # The second mix of a cascade gets the first one's cover too, the third that of both.
    arriving = [DEMO.cover_packets * place for place in (1, 2, 3)]
    pool_s = 2 * sum(expected_ticks(each, DEMO.pool_minimum) for each in arriving) * DEMO.tick_ms / 1000
    floor = asyncio.run(_payments(AT_ONCE, people=2, each=30))
    demo = asyncio.run(_payments(DEMO, people=8, each=13))
    how = "invoice payments over real processes, from order sent to answer stored"
    return [
        Figure(
            "payment_floor_s",
            statistics.median(floor),
            "s",
            f"p50 of {len(floor)} {how}; everything sent at once, no cover; goal {FLOOR_SHARE:.0%} of mean "
            f"pool time of the demo's settings, both directions ({pool_s:.2f} s)",
            goal=round(FLOOR_SHARE * pool_s, 3),
            better="lower",
        ),
        Figure("payment_p50_s", statistics.median(demo), "s", f"p50 of {len(demo)} {how}; demo's settings"),
        Figure(
            "payment_p99_s",
            statistics.quantiles(demo, n=100)[98],
            "s",
            f"p99 of the same {len(demo)}; 8 people at a time",
        ),
    ]


async def _payments(pace: Pace, people: int, each: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder, _asking_times() as times:
        async with _wallets(Path(folder) / "network", pace, people) as cashiers:
            times.clear()  # the withdrawals

            async def pay(number: int) -> None:
                for _ in range(each):
                    _, request = await cashiers[(number + 1) % people].request(1, "")
                    await cashiers[number].pay(request, now=True)

            await asyncio.gather(*(pay(number) for number in range(people)))
        return list(times)


@asynccontextmanager
async def _wallets(folder: Path, pace: Pace, people: int) -> AsyncIterator[list[Cashier]]:
    specs = init_network(folder, pace)
    processes = Processes(folder)
    config = ("--config", folder / "bank" / "bank.toml")
    try:
        await asyncio.to_thread(processes.start, specs)
        async with AsyncExitStack() as stack:
            cashiers = []
            for number in range(people):
                home = folder / f"home{number}"
                purse = create_wallet(home, folder / "network.toml", f"g{number % 2 + 1}")
                account = purse.account().public.hex()
                purse.close()
                (home / "wallet.toml").write_text(f"poll_s = {POLL_S if pace == DEMO else 0.2}\n")
                run_command("bank", "account", "open", *config, account)
                run_command("bank", "account", "credit", *config, account, WITHDRAWN)
                cashiers.append(await stack.enter_async_context(open_wallet(home)))
            await asyncio.gather(*(cashier.withdraw(WITHDRAWN) for cashier in cashiers))
            yield cashiers
    finally:
        await asyncio.to_thread(processes.stop)


@contextmanager
def _asking_times() -> Iterator[list[float]]:
    """How long each question to the bank takes, until its answer is stored."""
    times: list[float] = []
    ask = OverTheMixes.ask

    async def timed(self: OverTheMixes, *arguments: bytes, **options: object) -> bytes:
        begin = time.perf_counter()
        answer = await ask(self, *arguments, **options)  # type: ignore[arg-type]  # passed on as they came
        times.append(time.perf_counter() - begin)
        return answer

    OverTheMixes.ask = timed  # type: ignore[assignment,method-assign]  # measured from outside, not in the product
    try:
        yield times
    finally:
        OverTheMixes.ask = ask  # type: ignore[method-assign]
