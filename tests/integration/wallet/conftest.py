"""One network of real processes for all tests here: it takes some seconds to start."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mixmint.demo.network import PORTS, Pace, init_network
from mixmint.demo.processes import Processes
from tests.integration.wallet.people import Place
from tests.ports import free_ports


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder: Path = tmp_path_factory.mktemp("network")
    specs = init_network(folder, Pace(tick_ms=50, round_ms=100), free_ports(PORTS))
    processes = Processes(folder)
    try:
        processes.start(specs)
        yield Place(folder, processes, {spec.name: spec for spec in specs})
    finally:
        processes.stop()
