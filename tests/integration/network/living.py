"""
A network that lives: an authority as a process, nodes that fetch its directories and turn their keys, with
epochs of some seconds.

An epoch must be long against what the machine needs to start a process: packets live for one epoch at least.
"""

import math
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mixmint.demo.network import HOST, run_command
from tests.integration.network.harness import Daemon, Network
from tests.ports import free_ports

MIXES = ("m1", "m2", "m3")
LEAST_EPOCH_S = 4


@dataclass
class Living(Network):
    """``a1`` is the authority; the others its nodes, which know it as their only source."""

    epoch_s: int = LEAST_EPOCH_S

    def keys(self, name: str) -> set[int]:
        """The epochs whose keys are on a node's disk."""
        return {int(path.stem.removeprefix("sphinx-")) for path in self.key_files(name)}

    def key_files(self, name: str) -> list[Path]:
        return list((self.folder / name / "keys").glob("*.key"))


def fitting_epoch_s() -> int:
    """Four seconds on a quiet machine, more on one that is busy now."""
    begin = time.monotonic()
    subprocess.run([sys.executable, "-m", "mixmint", "--help"], capture_output=True, check=True, timeout=60)
    return max(LEAST_EPOCH_S, math.ceil(7 * (time.monotonic() - begin)))


def make_living(folder: Path, gateways: tuple[str, ...] = ("g1",), epoch_s: int = 0) -> Living:
    """The folders, keys and settings; nothing runs yet. ``epoch_s`` 0: what fits the machine."""
    network = Living(folder, epoch_s=epoch_s or fitting_epoch_s())
    ports = iter(free_ports(2 * (1 + len(MIXES)) + 3 * len(gateways)))
    port, operations = next(ports), next(ports)
    words: list[str | int | Path] = [
        "--port",
        port,
        "--operations-port",
        operations,
        "--listen-host",
        HOST,
        "--name",
        "test",
    ]
    words += ["--cascade", ",".join(MIXES), "--tick-ms", 50, "--epoch-s", network.epoch_s]
    public = run_command("directory", "init", folder / "a1", *words).strip()
    settings = folder / "a1" / "authority.toml"
    settings.write_text(settings.read_text() + "cover_packets = 2\npool_minimum = 4\n")
    network.daemons["a1"] = Daemon("a1", "directory", settings, operations, port)
    for file in ("network.toml", "nodes.toml"):
        run_command(
            *("directory", "network", "--out", folder / file, "--authority", public),
            *("--source", f"http://{HOST}:{port}", "--directory", folder / f"{file}.directory"),
        )
    for name in (*MIXES, *gateways):
        _make_node(network, name, "mix" if name in MIXES else "gateway", ports)
    run_command(
        *("directory", "admit", "--config", settings),
        *(folder / name / "descriptor" for name in (*MIXES, *gateways)),
    )
    return network


def _make_node(network: Living, name: str, group: str, ports: Iterator[int]) -> None:
    folder = network.folder
    daemon = Daemon(name, group, folder / name / f"{group}.toml", next(ports), next(ports))
    words: list[str | int | Path] = ["--host", HOST, "--listen-host", HOST, "--name", name]
    words += ["--link-port", daemon.link_port, "--operations-port", daemon.operations_port]
    words += ["--network", folder / "nodes.toml", "--epoch-s", network.epoch_s]
    if group == "gateway":
        daemon.client_port = next(ports)
        words += ["--client-port", daemon.client_port]
    run_command(group, "init", folder / name, *words)
    network.daemons[name] = daemon
