"""A town for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.wallet.town import Town


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with Town(tmp_path) as made:
        yield made
