"""A town for each test."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.unit.wallet.town import Town


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory-backed storage, where there is any: these tests drop processes, not power."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


@pytest.fixture
async def town(folder: Path) -> AsyncIterator[Town]:
    """The bank and the board, running; wallets come as tests want them."""
    async with Town(folder) as made:
        yield made
