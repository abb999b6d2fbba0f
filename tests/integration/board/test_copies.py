"""Copies of a live board's log: made under load, killed, made again into a board, and used to repair one."""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from bank.board.feed import Batch
from bank.board.log.folder import TileFolder
from bank.board.log.tiles import tiles_of
from bank.board.reading.client import Cursor, VerifiedRound, log_key
from bank.formats.entry import AccountEntry
from mixmint.errors import Unavailable
from tests.integration.board.conftest import KEY, BoardProcess, Clients

ENOUGH_S = 180


def group(number: int) -> list[bytes]:
    return [AccountEntry(bytes([each]) + number.to_bytes(31)).encode() for each in range(40)]


def command(*words: object) -> subprocess.CompletedProcess[str]:
    """As an operator types it."""
    return subprocess.run(
        [sys.executable, "-m", "mixmint", "board", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=ENOUGH_S,
        check=False,
    )


def spawn(output: Path, *words: object) -> "subprocess.Popen[bytes]":
    """The same, going on by itself."""
    with output.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "mixmint", "board", *map(str, words)], stdout=file, stderr=file
        )


def key_of(board: BoardProcess) -> str:
    return log_key(board.url, KEY.public).text()


def newest(copy: Path) -> bytes:
    """A copy's checkpoint; empty before there is one."""
    checkpoint = copy / "checkpoint"
    return checkpoint.read_bytes() if checkpoint.exists() else b""


async def read(board: BoardProcess, clients: Clients, after: Cursor) -> list[VerifiedRound]:
    """Everything after a cursor."""
    found: list[VerifiedRound] = []
    while rounds := await clients.reader(board).rounds(found[-1].after if found else after, 1000):
        found += rounds
    return found


async def test_a_mirror_killed_again_and_again_is_always_whole(make_board, clients, tmp_path: Path) -> None:
    """kill -9 while the log grows: what the copy shows is the board's own log, and it catches up."""
    board = make_board()
    board.start()
    feed = clients.feed(board)
    copy = tmp_path / "copy"
    words = ("mirror", board.url, copy, "--key", key_of(board), "--follow", "--every", "0.1", "--json")
    fed, size, seen = 0, 0, 0
    for life in range(5):
        process = spawn(tmp_path / "output", *words)
        try:
            # Every other life ends at a moment of its own, the others when they have copied something.
            until_s, give_up_s = time.monotonic() + 1.0 + 0.2 * life, time.monotonic() + ENOUGH_S
            copied = newest(copy)
            while time.monotonic() < until_s or (life % 2 and newest(copy) == copied):
                assert time.monotonic() < give_up_s, (tmp_path / "output").read_text()
                # When too much waits already, the board says so.
                with suppress(Unavailable):
                    receipt = await feed.feed(Batch(fed + 1, [group(fed + each) for each in range(20)]))
                    fed = receipt.next_group - 1
                await asyncio.sleep(0.02)
        finally:
            process.kill()
            process.wait()
        verified = command("verify", copy, "--json") if newest(copy) else None
        if verified is not None:
            assert verified.returncode == 0, verified.stdout
            size, before = json.loads(verified.stdout)["size"], size
            assert size >= before
            seen += size > before
    assert seen >= 2, (tmp_path / "output").read_text()
    board.stop()
    assert command("mirror", board.folder / "log", copy, "--key", key_of(board)).returncode == 0
    ours, theirs = TileFolder(copy), TileFolder(board.folder / "log")
    checkpoint = json.loads(command("verify", copy, "--json").stdout)
    for path in ["checkpoint", *(tile.path() for tile in tiles_of(checkpoint["size"]))]:
        assert ours.read(path) == theirs.read(path), path


async def test_a_lost_board_is_made_again_from_a_mirror(make_board, clients, tmp_path: Path) -> None:
    """Keys and a copy are enough: readers and the bank go on where they were."""
    board = make_board()
    board.start()
    feed = clients.feed(board)
    receipt = await feed.feed(Batch(1, [group(number) for number in range(30)]))
    await clients.until_round(board, receipt.round)
    before = await read(board, clients, Cursor())
    board.stop()
    copy = tmp_path / "copy"
    assert command("mirror", board.folder / "log", copy, "--key", key_of(board)).returncode == 0
    shutil.rmtree(board.folder / "log")
    for path in board.folder.glob("board.db*"):
        path.unlink()
    shutil.copytree(copy, board.folder / "log")
    recovered = command("recover", "--config", board.folder / "board.toml")
    assert recovered.returncode == 0, recovered.stderr
    board.start()
    rounds = await read(board, clients, Cursor())
    assert sum(len(one.entries) for one in rounds) == 30 * 40
    # What was read before is the beginning of what is there now: nobody sees a fork.
    assert rounds[: len(before)] == before
    await clients.until_round(board, rounds[-1].number + 1)
    assert (await read(board, clients, before[-1].after))[0].number == before[-1].number + 1


async def test_a_damaged_tile_is_named_and_repaired_while_the_board_runs(
    make_board, clients, tmp_path: Path
) -> None:
    """The mirror has it; readers who were refused go on."""
    board = make_board()
    board.start()
    receipt = await clients.feed(board).feed(Batch(1, [group(number) for number in range(30)]))
    await clients.until_round(board, receipt.round)
    copy = tmp_path / "copy"
    assert command("mirror", board.url, copy, "--key", key_of(board)).returncode == 0
    bad = board.folder / "log" / "tile/entries/001"
    good = bad.read_bytes()
    bad.write_bytes(good[:500] + bytes(30) + good[530:])
    config = board.folder / "board.toml"
    verified = command("verify", config)
    assert verified.returncode == 1
    assert verified.stdout.startswith("tile/entries/001 is damaged")
    repaired = command("repair", "--config", config, "--from", copy)
    assert repaired.returncode == 0, repaired.stdout
    # The board has gone on meanwhile: its newer checkpoint stays.
    assert repaired.stdout.startswith("tile/entries/001 was damaged, and is repaired\nwhole: ")
    assert bad.read_bytes() == good
    assert command("verify", config).returncode == 0
    assert len(await read(board, clients, Cursor())) >= receipt.round
