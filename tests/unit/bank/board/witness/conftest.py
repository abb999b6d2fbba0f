"""A place where a log asks its witnesses."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.unit.bank.board.witness.collecting import Place


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with aiohttp.ClientSession() as session, AsyncExitStack() as stack:
        yield Place(tmp_path, session, stack)
