"""A log, a web server that knows nothing of logs, and a reader of it over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bank.board.log.reader import LogReader
from bank.board.log.source import HttpSource
from bank.board.reading.client import BoardReader
from tests.unit.bank.board.logs import LogMaker
from tests.unit.bank.board.reading.readers import KEY
from tests.unit.bank.board.webserver import WebServer


@pytest.fixture
def maker(tmp_path: Path) -> LogMaker:
    return LogMaker(tmp_path / "log", KEY)


@pytest.fixture
async def server(maker: LogMaker) -> AsyncIterator[WebServer]:
    async with WebServer(maker.folder.path) as running:
        yield running


@pytest.fixture
def reader(maker: LogMaker, server: WebServer) -> BoardReader:
    """Over HTTP, from a web server that knows nothing."""
    source = HttpSource(server.url, server.session)
    return BoardReader(LogReader(source, maker.verifier))
