"""
Resident memory of each daemon, idle and after 100,000 operations.

Packets for mixes and gateways go in at one gateway and end at the other's discard endpoint; orders for the
bank come over HTTP, and what they make goes to the board.
"""

import asyncio
import multiprocessing
import os
import tempfile
import time
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

import aiohttp

from bank.formats.account import AccountRequest as Asked
from bank.formats.account import Operation, sign_request
from bank.formats.answer import Answer, Certificates, Statements, Withdrawn
from bank.formats.coin import BankId, CoinKey, bank_id, coin_id
from bank.formats.order import Order, Output, sign_order
from bank.formats.request import Withdraw, encode_request, sign_read
from benchmarks.figure import Figure
from mix.directory import Directory, load_network
from mix.endpoint import GatewayClient
from mix.packet.build import Hop, build_cover
from mix.packet.geometry import Addressed, KeyId, Token
from mixmint.demo.network import HOST, MIXES, Pace, init_network, run_command
from mixmint.demo.processes import DaemonSpec, Processes
from mixmint.errors import Unavailable
from mixmint.keys import SigningKey

OPERATIONS = 100_000
COINS = 1024
IN_FLIGHT = 64
PAGE = os.sysconf("SC_PAGE_SIZE")
GOAL_MB = 60.0
PACE = Pace(tick_ms=50, round_ms=1000, cover_packets=8)
KINDS = {"mix": "m1", "gateway": "g2", "bank": "bank", "board": "board", "witness": "w1", "echo": "echo"}


def measure() -> list[Figure]:
    """rss_*_idle_mb with the goal of 60, and rss_*_after_mb."""
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / "network"
        specs = init_network(network, PACE)
        directory = load_network(network / "network.toml", time.time())
        packets = _packets(directory)
        processes = Processes(network)
        try:
            processes.start(specs)
            time.sleep(5)
            idle = _resident(processes, specs)
            asyncio.run(_work(network, directory, packets))
            time.sleep(5)
            after = _resident(processes, specs)
        finally:
            processes.stop()
    return [*_figures(idle, after)]


def _figures(idle: dict[str, float], after: dict[str, float]) -> Iterable[Figure]:
    for name in after:
        method = f"resident memory of one {name.replace('_', ' ')} process"
        if name in idle:  # a worker is started by its first packets
            goal = None if "worker" in name else GOAL_MB
            yield Figure(f"rss_{name}_idle_mb", idle[name], "MB", f"{method}, idle", goal, "lower")
        if not name.startswith("echo"):
            text = f"{method}, after {OPERATIONS:,} packets or orders"
            yield Figure(f"rss_{name}_after_mb", after[name], "MB", text)


def _resident(processes: Processes, specs: Sequence[DaemonSpec]) -> dict[str, float]:
    found = {}
    for kind, name in KINDS.items():
        pid = processes.pid(name)
        found[kind] = _megabytes(pid)
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:
            found[f"{kind}_worker"] = max(_megabytes(int(child)) for child in children)
    return found


def _megabytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20


def _packets(directory: Directory) -> list[Addressed]:
    now_s = time.time()
    gateway = directory.gateway("g2")
    keys = [directory.node(name).key_at(now_s) for name in (*MIXES, "g2")]
    hops = [Hop(KeyId(key.key_id), key.public) for key in keys]
    share = 1000
    jobs = [(hops, gateway.discard_token, gateway.discard_public, share)] * (OPERATIONS // share)
    with multiprocessing.get_context("spawn").Pool() as pool:
        return [packet for part in pool.starmap(_make_packets, jobs) for packet in part]


def _make_packets(hops: Sequence[Hop], token: bytes, public: bytes, count: int) -> list[Addressed]:
    return [build_cover(hops, Token(token), public) for _ in range(count)]


async def _work(network: Path, directory: Directory, packets: list[Addressed]) -> None:
    async with GatewayClient(directory.gateway("g1"), SigningKey.generate()) as client:
        for start in range(0, len(packets), 256):
            while True:
                try:
                    await client.submit(packets[start : start + 256])
                    break
                except Unavailable:
                    await asyncio.sleep(0.1)
    await _orders(network, directory)


class _Customer:
    """An account's holder who exchanges coins one to one."""

    def __init__(self, url: str, bank: BankId, session: aiohttp.ClientSession) -> None:
        self.account = SigningKey.generate()
        self._url = url
        self._bank = bank
        self._session = session

    async def ask(self, path: str, body: bytes) -> Answer:
        while True:
            async with self._session.post(f"{self._url}/api/v1/{path}", data=body) as reply:
                if reply.status == 200:
                    return Answer.decode(await reply.read())
            await asyncio.sleep(0.2)

    async def withdraw(self, count: int) -> list[SigningKey]:
        coins: list[SigningKey] = []
        answer = await self.ask("statements", encode_request(sign_read(self.account, self._bank, 1)))
        assert isinstance(answer.body, Statements)
        head = answer.body.statements[-1].statement
        while len(coins) < count:
            keys = [SigningKey.generate() for _ in range(16)]
            outputs = tuple(
                sorted((Output(coin_id(key.public), 0) for key in keys), key=lambda one: one.coin)
            )
            asked = Asked(
                self._bank,
                self.account.public,
                head.sequence + 1,
                head.head(),
                Operation.WITHDRAW,
                os.urandom(16),
                2**31,
                outputs=outputs,
            )
            answer = await self.ask("withdraw", encode_request(Withdraw(sign_request(self.account, asked))))
            assert isinstance(answer.body, Withdrawn)
            head = answer.body.statement.statement
            coins += keys
        return coins

    async def exchange(self, key: SigningKey) -> SigningKey:
        fresh = SigningKey.generate()
        output = Output(coin_id(fresh.public), 0)
        order = Order(self._bank, os.urandom(16), 2**31, (CoinKey(key.public),), (output,))
        answer = await self.ask("order", encode_request(sign_order(order, [key])))
        assert isinstance(answer.body, Certificates)
        return fresh


async def _orders(network: Path, directory: Directory) -> None:
    settings = tomllib.loads((network / "bank" / "bank.toml").read_text())
    config = ("--config", network / "bank" / "bank.toml")
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(connector=connector) as session:
        url = f"http://{HOST}:{settings['port']}"
        customer = _Customer(url, bank_id(directory.service("bank").identity), session)
        run_command("bank", "account", "open", *config, customer.account.public.hex())
        run_command("bank", "account", "credit", *config, customer.account.public.hex(), COINS)
        coins = await customer.withdraw(COINS)

        async def lane(own: list[SigningKey]) -> None:
            for _ in range(OPERATIONS // COINS):
                for place, key in enumerate(own):
                    own[place] = await customer.exchange(key)

        await asyncio.gather(*(lane(coins[first::IN_FLIGHT]) for first in range(IN_FLIGHT)))
