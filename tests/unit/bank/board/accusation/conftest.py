"""A desk on SQLite: these tests make its bank lie by changing the file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.bank.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.close()
