"""
A network of real processes on free ports, made by the operators' commands: ``mixmint ... init`` and ``run``.

Used by every integration test that needs a cascade. Pool files, databases and logs are in the given folder.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from mix.directory import Directory, load_network
from mix.endpoint import GatewayClient
from mix.packet.build import Route
from mix.packet.geometry import Packet, Token
from mix.packet.unwrap import Unwrapped, unwrap
from mixmint.demo.network import HOST, run_command
from mixmint.demo.processes import is_healthy
from mixmint.keys import BoxKey, SigningKey
from tests.ports import free_ports

START_WITHIN_S = 90.0


def mixmint(*words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run one ``mixmint`` command; its output is captured."""
    command = [sys.executable, "-m", "mixmint", *(str(word) for word in words)]
    return subprocess.run(command, capture_output=True, text=True, check=check, timeout=180)


@dataclass
class Daemon:
    """One process: ``mixmint GROUP run --config FILE``."""

    name: str
    group: str
    config: Path
    operations_port: int
    link_port: int
    client_port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.config.parent / "output.log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mixmint", self.group, "run", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def ready(self) -> None:
        """Wait until it is healthy; fails with its log when it stops or takes too long."""
        deadline = time.monotonic() + START_WITHIN_S
        while not await asyncio.to_thread(is_healthy, self.operations_port):
            stopped = self.process is None or self.process.poll() is not None
            if stopped or time.monotonic() > deadline:
                raise AssertionError(f"{self.name} isn't healthy:\n{self.text_of_log()}")
            await asyncio.sleep(0.05)

    def text_of_log(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """As a crash would: no chance to finish anything."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code. Fails when it takes more than the 5 s that operators are promised."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(5.0)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} didn't stop within 5 s:\n{self.text_of_log()}") from None

    def metrics(self) -> dict[str, float]:
        """Counters and gauges by their name and labels, as Prometheus would read them."""
        with urllib.request.urlopen(f"http://{HOST}:{self.operations_port}/metrics", timeout=5) as reply:
            lines = reply.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    async def until_counted(self, name: str, least: float = 1) -> None:
        """Wait until a counter has reached a number."""
        async with asyncio.timeout(90):
            while (await asyncio.to_thread(self.metrics)).get(name, 0) < least:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)

    def rss_mb(self) -> float:
        """Resident memory of the daemon itself, its workers not counted."""
        if self.process is None:
            return 0.0
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass
class Network:
    """A folder with a network in it, and its processes."""

    folder: Path
    daemons: dict[str, Daemon] = field(default_factory=dict)

    @property
    def network_file(self) -> Path:
        return self.folder / "network.toml"

    def copied(self, folder: Path) -> "Network":
        """The same network, of which nothing runs, in another folder: nothing in it says where it is."""
        shutil.copytree(self.folder, folder)
        daemons = {
            name: replace(daemon, config=folder / daemon.config.relative_to(self.folder), process=None)
            for name, daemon in self.daemons.items()
        }
        return Network(folder, daemons)

    def directory(self) -> Directory:
        return load_network(self.network_file, time.time())

    async def start(self, *names: str) -> None:
        """Start these daemons (all, by default) and wait until they are healthy."""
        chosen = [self.daemons[name] for name in names or self.daemons]
        for daemon in chosen:
            daemon.start()
        for daemon in chosen:
            await daemon.ready()

    def stop(self) -> dict[str, int]:
        """Stop all that run; exit codes by name."""
        return {name: daemon.stop() for name, daemon in self.daemons.items() if daemon.process is not None}

    def kill(self) -> None:
        for daemon in self.daemons.values():
            daemon.kill()


def make_network(
    folder: Path,
    mixes: Sequence[str] = ("m1", "m2", "m3"),
    gateways: Sequence[str] = ("g1", "g2"),
    tick_ms: int = 50,
    cover_packets: int = 2,
    extra: Sequence[str | Path] = (),
) -> Network:
    """
    Make the folders, keys and directory of a network; nothing runs yet.

    Tests' ticks are 0.05 s. ``extra``: further words for ``directory build``, such as service descriptors.
    """
    network = Network(folder)
    ports = iter(free_ports(2 * len(mixes) + 3 * len(gateways)))
    for name in (*mixes, *gateways):
        group = "mix" if name in mixes else "gateway"
        daemon = Daemon(name, group, folder / name / f"{group}.toml", next(ports), next(ports))
        words: list[str | int | Path] = [group, "init", folder / name, "--name", name, "--host", HOST]
        words += ["--link-port", daemon.link_port, "--operations-port", daemon.operations_port]
        words += ["--listen-host", HOST]
        if group == "gateway":
            daemon.client_port = next(ports)
            words += ["--client-port", daemon.client_port]
        run_command(*words)
        network.daemons[name] = daemon
    run_command("directory", "authority", folder / "authority.key")
    build_directory(network, mixes, tick_ms, cover_packets, extra)
    return network


def build_directory(
    network: Network,
    cascade: Sequence[str] = ("m1", "m2", "m3"),
    tick_ms: int = 50,
    cover_packets: int = 2,
    extra: Sequence[str | Path] = (),
) -> None:
    """Sign a directory of all the network's nodes, and write the network file if there is none."""
    folder = network.folder
    words: list[str | int | Path] = ["directory", "build", "--out", folder / "directory", "--name", "test"]
    words += ["--cascade", ",".join(cascade), "--authority-key", folder / "authority.key"]
    words += ["--tick-ms", tick_ms, "--cover-packets", cover_packets, "--pool-minimum", 4]
    if tick_ms == 0:
        words.append("--unsafe-send-at-once")
    if not network.network_file.exists():
        words += ["--network-file", network.network_file]
    run_command(*words, *(folder / name / "descriptor" for name in network.daemons), *extra)


@asynccontextmanager
async def running_network(folder: Path, **options: object) -> AsyncIterator[Network]:
    """A network with all its daemons running; killed at the end. ``options``: see make_network."""
    network = await asyncio.to_thread(lambda: make_network(folder, **options))  # type: ignore[arg-type] # passed on
    try:
        await network.start()
        yield network
    finally:
        network.kill()


@dataclass
class Endpoint:
    """A mailbox at a gateway with its keys: what a member or a service is to the network."""

    directory: Directory
    gateway: str
    owner: SigningKey = field(default_factory=SigningKey.generate)
    box: BoxKey = field(default_factory=BoxKey.generate)
    token: Token = field(default_factory=lambda: Token(os.urandom(16)))

    def client(self, patience_s: float = 10.0) -> GatewayClient:
        return GatewayClient(self.directory.gateway(self.gateway), self.owner, patience_s=patience_s)

    def route(self) -> Route:
        """A way to this endpoint."""
        return self.directory.route(self.gateway, self.token, self.box.public, time.time())

    def unwrap(self, packet: Packet) -> Unwrapped:
        return unwrap(self.box.secret, packet)
