"""
kill -9 of every daemon at random moments, while people pay and write.

64 payments and 64 messages (200 with `make faults`) go through a real network, eight at a time, while one
daemon after another is killed and started again. Afterwards nothing may be lost, made, doubled or replayed.
"""

import asyncio
import base64
import json
import os
import random
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bank.formats.entry import CertifiedEntry, SpentEntry, decode_entry
from mix.directory import load_network
from mix.endpoint import GatewayClient
from mix.packet.build import build_forward, open_forward
from mix.packet.geometry import Addressed, Token
from mix.packet.unwrap import unwrap
from mixmint.demo.network import HOST, PORTS, Pace, init_network, run_command
from mixmint.demo.processes import DaemonSpec, Processes
from mixmint.errors import PeerError, UserError
from mixmint.keys import BoxKey, SigningKey
from replyblocks.address import Address
from replyblocks.member import create_member, open_member
from replyblocks.post import Post
from tests.ports import free_ports
from wallet.cashier import Cashier
from wallet.machines.invoice import InvoiceState
from wallet.purse import CoinState
from wallet.session import create_wallet, open_wallet

PEOPLE = 8
PAYMENTS = MESSAGES = int(os.environ.get("MIXMINT_KILLED_PAYMENTS", "64"))
REPLAYS = 40
WITHDRAWN = 64
ENDS_WITHIN_S = 600
"""Something hangs: on a quiet machine it takes a fraction of this."""
LATEST_S = 120
SEED = int(os.environ.get("MIXMINT_FAULT_SEED", "20261121"))


@dataclass
class Town:
    """The network, its processes, and what its people did."""

    folder: Path
    specs: list[DaemonSpec]
    processes: Processes
    killed: Counter[str] = field(default_factory=Counter)
    sent: set[str] = field(default_factory=set)

    @property
    def network(self) -> Path:
        return self.folder / "network.toml"

    async def kill_one(self, rng: random.Random) -> None:
        """SIGKILL a daemon, leave it down for a moment, start it again on the same files."""
        spec = rng.choice(self.specs)
        self.processes.kill(spec.name)
        self.killed[spec.name] += 1
        await asyncio.sleep(rng.uniform(0, 0.5))
        await asyncio.to_thread(self.processes.start, [spec])

    def board(self, path: str) -> dict:  # type: ignore[type-arg]  # a test reads what it likes
        port = next(
            line.split("=")[1].strip()
            for line in (self.folder / "board" / "board.toml").read_text().splitlines()
            if line.startswith("port ")
        )
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=10) as reply:
            return json.load(reply)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    folder = tmp_path / "network"
    specs = init_network(folder, Pace(tick_ms=50, round_ms=100), free_ports(PORTS))
    processes = Processes(folder)
    try:
        await asyncio.to_thread(processes.start, specs)
        yield Town(folder, specs, processes)
    finally:
        await asyncio.to_thread(processes.stop)


async def again(action, *arguments, **options):  # type: ignore[no-untyped-def]
    """Do it until nothing is away: what an impatient person would do."""
    while True:
        try:
            return await action(*arguments, **options)
        except (UserError, PeerError):
            await asyncio.sleep(0.1)


async def settle(cashier: Cashier, *, is_paid_too: bool = True) -> None:
    """
    Resume until nothing is open. ``is_paid_too``: until all that we asked for is paid, too. A payer must not
    wait for that: three who wait for each other's payments would wait until the requests end.
    """
    while True:
        await again(cashier.resume)
        stored = cashier.purse.open_operations().values()
        if all(isinstance(each.state, InvoiceState) and not is_paid_too for each in stored):
            return


@asynccontextmanager
async def wallets(town: Town) -> AsyncIterator[list[Cashier]]:
    """Eight wallets with money, four behind each gateway."""
    async with AsyncExitStack() as stack:
        cashiers = []
        for number in range(PEOPLE):
            home = town.folder / f"payer{number}"
            account = create_wallet(home, town.network, f"g{number % 2 + 1}").account().public.hex()
            config = ("--config", town.folder / "bank" / "bank.toml")
            run_command("bank", "account", "open", *config, account)
            run_command("bank", "account", "credit", *config, account, WITHDRAWN)
            cashiers.append(await stack.enter_async_context(open_wallet(home)))
        await asyncio.gather(*(again(cashier.withdraw, WITHDRAWN) for cashier in cashiers))
        yield cashiers


async def pay_all(cashiers: list[Cashier], rng: random.Random) -> None:
    """Each of eight pays requests of the others, one after the other; whatever happens, it is resumed."""

    async def payer(number: int) -> None:
        own = random.Random(f"{SEED} payer {number}")
        for _ in range(PAYMENTS // PEOPLE):
            payee = cashiers[(number + own.randrange(1, PEOPLE)) % PEOPLE]
            _, request = await again(payee.request, own.randint(1, 3), "")
            try:
                await cashiers[number].pay(request, now=True)
            except (UserError, PeerError):
                # Nothing happened, or nobody knows yet: going on finds out, and never pays twice.
                await settle(cashiers[number], is_paid_too=False)
                await pay_unless_paid(cashiers[number], request)

    async def pay_unless_paid(cashier: Cashier, request) -> None:  # type: ignore[no-untyped-def]
        while not any(
            getattr(stored.state, "request", b"") == request.encode()
            for stored in cashier.purse.operations().values()
        ):
            try:
                await cashier.pay(request, now=True)
            except (UserError, PeerError):
                await settle(cashier, is_paid_too=False)

    await asyncio.gather(*(payer(number) for number in range(PEOPLE)))
    for cashier in cashiers:
        await settle(cashier)


async def write_all(town: Town) -> list[str]:
    """Eight people write messages; what arrives, as often as it arrives."""
    homes = [town.folder / f"writer{number}" for number in range(PEOPLE)]
    addresses = []
    for number, home in enumerate(homes):
        member = create_member(home, town.network, f"g{number % 2 + 1}")
        addresses.append(Address.of(member))
    everything, over = asyncio.Event(), asyncio.Event()

    async def writer(number: int, post: Post) -> None:
        own = random.Random(f"{SEED} writer {number}")
        await again(post.reach)
        for count in range(MESSAGES // PEOPLE):
            text = f"message {count} of {number}"
            other = (number + own.randrange(1, PEOPLE)) % PEOPLE
            post.messages.outbox.queue(addresses[other], text, time.time(), blocks=1)
            await again(post.send_queued)
            town.sent.add(text)
            await asyncio.sleep(own.uniform(0, 0.4))

    async def reader(post: Post) -> None:
        while not over.is_set():
            await again(post.poll, 1.0)
            if len(_texts(posts)) >= MESSAGES:
                everything.set()

    async with AsyncExitStack() as stack:
        posts = [await stack.enter_async_context(Post(open_member(home))) for home in homes]
        readers = [asyncio.create_task(reader(post)) for post in posts]
        await asyncio.gather(*(writer(number, post) for number, post in enumerate(posts)))
        # Lost ones are told from late ones by time only; a doubled one would come late too.
        with suppress(TimeoutError):
            await asyncio.wait_for(everything.wait(), LATEST_S)
        await asyncio.sleep(1.0)
        over.set()
        await asyncio.gather(*readers)
        return _texts(posts)


def _texts(posts: list[Post]) -> list[str]:
    return [row.text for post in posts for _, row in post.messages.inbox.all()]


async def replay_all(town: Town, rng: random.Random, until: asyncio.Event) -> list[bytes]:
    """Somebody sends the same packets over and over; what comes out at their endpoint."""
    directory = load_network(town.network, time.time())
    token, endpoint, owner = Token(os.urandom(16)), BoxKey.generate(), SigningKey.generate()
    packets: list[Addressed] = []
    for number in range(REPLAYS):
        route = directory.route("g2", token, endpoint.public, time.time())
        packets.append(build_forward(route, b"packet %d" % number))
    came: list[bytes] = []
    async with (
        GatewayClient(directory.gateway("g2"), owner) as receiver,
        GatewayClient(directory.gateway("g1"), SigningKey.generate()) as attacker,
    ):
        await again(receiver.register, [token])

        async def fetch(wait_s: float) -> None:
            items = await again(receiver.fetch, wait_s, [number for number, _ in held])
            held.clear()
            for item in items:
                held.append((item.number, item.packet))
                if item.number not in seen:
                    seen.add(item.number)
                    came.append(open_forward(unwrap(endpoint.secret, item.packet)))

        held: list[tuple[int, bytes]] = []
        seen: set[int] = set()
        while not until.is_set() or len(came) < REPLAYS:
            await again(attacker.submit, rng.sample(packets, 20) if came else packets)
            await fetch(0.5)
        for _ in range(4):
            await again(attacker.submit, packets)
            await fetch(1.0)
    return came


async def kill_all(town: Town, rng: random.Random, until: asyncio.Event) -> None:
    """A kill every second or so, until the work is done and each daemon was killed twice at least."""
    while not until.is_set() or any(town.killed[spec.name] < 2 for spec in town.specs):
        await asyncio.sleep(rng.uniform(0.2, 1.2))
        await town.kill_one(rng)


async def test_nothing_is_lost_made_doubled_or_replayed_whatever_is_killed(town: Town) -> None:
    """Every unit is there once, every message came once, board and bank agree, no replay got through."""
    rng = random.Random(SEED)
    done = asyncio.Event()
    async with asyncio.timeout(ENDS_WITHIN_S), wallets(town) as cashiers:
        killer = asyncio.create_task(kill_all(town, rng, done))
        replayer = asyncio.create_task(replay_all(town, random.Random(SEED + 1), done))
        arrived, _ = await asyncio.gather(write_all(town), pay_all(cashiers, rng))
        done.set()
        await killer
        came = await replayer
        # All daemons run again: the last answers and rounds are read.
        for cashier in cashiers:
            await settle(cashier)
        purses = [units(cashier) for cashier in cashiers]
        payments = [
            stored.state
            for cashier in cashiers
            for stored in cashier.purse.operations().values()
            if getattr(stored.state, "request", b"") and type(stored.state).__name__ == "PlanState"
        ]
        await check_board(town, sum(purses))

    assert Counter(arrived) == Counter(town.sent), "every message came exactly once"
    assert len(town.sent) == MESSAGES
    assert Counter(came) == Counter(b"packet %d" % number for number in range(REPLAYS)), (
        "no replay came through"
    )
    assert sum(purses) == PEOPLE * WITHDRAWN, "no unit is lost or made"
    paid = [state for state in payments if state.phase.name == "SETTLED"]
    assert len(paid) == PAYMENTS
    assert min(town.killed[spec.name] for spec in town.specs) >= 2


def units(cashier: Cashier) -> int:
    """What a purse holds and can spend."""
    return sum(coin.units for coin in cashier.purse.coins(CoinState.FREE).values())


async def check_board(town: Town, outstanding: int) -> None:
    """The board, entry by entry: nothing twice, and what is left is what the purses hold."""
    async with asyncio.timeout(90):
        while True:
            totals = (await asyncio.to_thread(town.board, "/api/v1/totals"))["totals"]
            if totals["certified_units"] - totals["spent_units"] == outstanding:
                break
            await asyncio.sleep(0.2)
    entries = []
    cursor = 0
    while True:
        page = await asyncio.to_thread(town.board, f"/api/v1/entries?cursor={cursor}&limit=1000")
        if not page["entries"]:
            break
        entries += [decode_entry(base64.b64decode(each["bytes"])) for each in page["entries"]]
        cursor = page["next"]
    certified = {entry.coin: 1 << entry.exponent for entry in entries if isinstance(entry, CertifiedEntry)}
    spent = {entry.coin for entry in entries if isinstance(entry, SpentEntry)}
    assert len(certified) == sum(isinstance(entry, CertifiedEntry) for entry in entries), (
        "none certified twice"
    )
    assert len(spent) == sum(isinstance(entry, SpentEntry) for entry in entries), "none spent twice"
    assert spent <= set(certified), "only certified coins were spent"
    assert sum(certified.values()) - sum(certified[coin] for coin in spent) == outstanding
    ledger = town.board("/api/v1/totals")["totals"]
    assert ledger["repeats"] == ledger["unknown"] == 0
