"""Books to be audited, and who works on them."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.unit.bank.board.audit.books import Books


@pytest.fixture
def pool() -> Iterator[Executor]:
    """Threads stand in for processes: the work is the same, and its start costs nothing."""
    with ThreadPoolExecutor(2) as made:
        yield made


@pytest.fixture
def books(tmp_path: Path) -> Books:
    made = Books(tmp_path / "log")
    made.open()
    return made
