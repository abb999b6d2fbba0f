"""A town for each test."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.wallet.town import Town

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    """In memory-backed storage, where there is any: these tests drop processes, not power."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        async with Town(Path(folder)) as made:
            yield made
