"""One place for each test: killed at the end, whatever happened."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.bank.place import Place, make_place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = make_place(tmp_path / "place")
    try:
        yield made
    finally:
        made.network.kill()
