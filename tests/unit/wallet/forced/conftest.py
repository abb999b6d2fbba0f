"""A court for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.wallet.forced.court import Court


@pytest.fixture
async def court(folder: Path) -> AsyncIterator[Court]:
    async with Court(folder) as made:
        await made.ticks(2)
        yield made
