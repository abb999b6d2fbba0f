"""A board as a real process on loopback, and the bank that feeds it."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bank.board.feed import FeedClient
from bank.board.reading.client import BoardReader
from mixmint.keys import SigningKey, write_secret
from tests.ports import free_port

BANK = SigningKey(b"b" * 32)
KEY = SigningKey(b"k" * 32)
START_WITHIN_S = 90.0


@dataclass
class BoardProcess:
    """A folder with settings and keys, and the process that runs on it, if any."""

    folder: Path
    round_ms: int = 50
    round_entries: int = 1000
    port: int = field(default_factory=free_port)
    operations_port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.folder.mkdir()
        write_secret(self.folder / "board.key", KEY.seed)
        write_secret(self.folder / "endpoint.key", b"e" * 32)
        (self.folder / "board.toml").write_text(
            f'name = "The board of Bramble Green"\nbank_key = "{BANK.public.hex()}"\nport = {self.port}\n'
            f"operations_port = {self.operations_port}\nround_ms = {self.round_ms}\n"
            f"round_entries = {self.round_entries}\n"
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "output").read_text()

    def start(self) -> None:
        """Start it and wait until it answers."""
        config = self.folder / "board.toml"
        with (self.folder / "output").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mixmint", "board", "run", "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        give_up = time.monotonic() + START_WITHIN_S
        while True:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, self.log
            assert time.monotonic() < give_up, self.log
            time.sleep(0.02)

    def kill(self) -> None:
        """kill -9, as a power cut would, but for the disk."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> float:
        """SIGTERM; how long it took, in seconds."""
        assert self.process is not None
        started_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=8) == 0, self.log
        return time.monotonic() - started_s


Make = Callable[..., BoardProcess]


@pytest.fixture
def make_board(tmp_path: Path) -> Iterator[Make]:
    """Makes boards; whatever still runs at the end is killed."""
    boards: list[BoardProcess] = []

    def make(**changes: Any) -> BoardProcess:
        board = BoardProcess(tmp_path / f"board-{len(boards)}", **changes)
        boards.append(board)
        return board

    yield make
    for board in boards:
        if board.process is not None and board.process.poll() is None:
            board.kill()


@dataclass
class Clients:
    """What talks to a board process."""

    session: aiohttp.ClientSession

    def feed(self, board: BoardProcess) -> FeedClient:
        return FeedClient(board.url, KEY.public, BANK, self.session)

    def reader(self, board: BoardProcess) -> BoardReader:
        return BoardReader.at(board.url, KEY.public, self.session)

    async def until_round(self, board: BoardProcess, number: int) -> None:
        """Wait until a round with this number is closed."""
        reader = self.reader(board)
        if (await reader.head()).round >= number:
            return
        async with asyncio.timeout(90):
            async with aclosing(reader.follow(await reader.head(), poll_s=0.02)) as rounds:  # type: ignore[type-var]  # a generator
                async for round_ in rounds:
                    if round_.number >= number:
                        return


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    async with aiohttp.ClientSession() as session:
        yield Clients(session)
