"""A network of real processes for this folder's test alone: its bank doesn't come back as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mixmint.demo.network import PORTS, Pace, init_network
from mixmint.demo.processes import Processes
from tests.integration.wallet.people import Place
from tests.ports import free_ports


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    folder = tmp_path / "network"
    folder.mkdir()
    specs = init_network(folder, Pace(tick_ms=50, round_ms=100), free_ports(PORTS))
    processes = Processes(folder)
    try:
        processes.start(specs)
        yield Place(folder, processes, {spec.name: spec for spec in specs})
    finally:
        processes.stop()
