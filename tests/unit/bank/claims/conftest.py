"""A desk on SQLite: what claims ask of a store is tested on both engines in test_clerk.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.bank.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.close()
