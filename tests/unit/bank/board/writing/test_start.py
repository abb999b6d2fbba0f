"""writing/start.py: a board that has less than it signed, or something else, doesn't run, and says why."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.folder import TileFolder
from bank.board.writing.publisher import Publisher, Step
from bank.board.writing.store import BoardStore
from mixmint.errors import FatalError, UserError
from mixmint.keys import SigningKey
from tests.unit.bank.board.conftest import KEY, ORIGIN
from tests.unit.bank.board.writing.test_publisher import Failing, Signed, board, feed

GROUPS = 150
"""Of two entries: with its mark, a round is 301 leaves."""


async def rounds(path: Path, first: int, stop: int) -> None:
    """A board's rounds, by a process that ends after them."""
    async with board(path, Signed(TileFolder(path / "log"))) as (store, publisher):
        for number in range(first, stop):
            await feed(store, 1 + (number - 1) * GROUPS, GROUPS)
            await publisher.publish(number)


@pytest.fixture
async def four_rounds(tmp_path: Path) -> Path:
    """A board with four rounds, and in ``old`` the copies that somebody made after the second."""
    await rounds(tmp_path, 1, 3)
    shutil.copytree(tmp_path / "log", tmp_path / "old" / "log")
    shutil.copy(tmp_path / "board.db", tmp_path / "old" / "board.db")
    await rounds(tmp_path, 3, 5)
    return tmp_path


async def start(path: Path, key: SigningKey = KEY, origin: str = ORIGIN) -> int:
    """Start it, and close a round if it does; the newest round's number."""
    store = BoardStore(path / "board.db", TileFolder(path / "log"), 1000)
    publisher = Publisher(store, TileFolder(path / "log"), key, origin)
    await publisher.start()
    try:
        return (await publisher.publish(10)).number
    finally:
        await store.close()


def old_database(path: Path) -> None:
    shutil.copy(path / "old" / "board.db", path / "board.db")


def old_files(path: Path) -> None:
    shutil.rmtree(path / "log")
    shutil.copytree(path / "old" / "log", path / "log")


def no_database(path: Path) -> None:
    (path / "board.db").unlink()


def no_files(path: Path) -> None:
    shutil.rmtree(path / "log")


def no_checkpoint(path: Path) -> None:
    (path / "log" / "checkpoint").unlink()


def neither(path: Path) -> None:
    no_database(path)
    no_checkpoint(path)


def torn_checkpoint(path: Path) -> None:
    (path / "log" / "checkpoint").write_bytes(b"board.test\n12")


def other_log(path: Path) -> None:
    fork = Checkpoint(ORIGIN, 1204, b"f" * 32)
    TileFolder(path / "log").publish(sign_checkpoint(KEY, fork))


def stranger(path: Path) -> None:
    fork = Checkpoint(ORIGIN, 1204, b"f" * 32)
    TileFolder(path / "log").publish(sign_checkpoint(SigningKey(bytes(32)), fork))


def forged_head(path: Path) -> None:
    connection = sqlite3.connect(path / "board.db")
    connection.execute("UPDATE rounds SET root = ? WHERE round = 4", (b"f" * 32,))
    connection.commit()
    connection.close()


def before_the_log(path: Path) -> None:
    (path / "board.db").unlink()
    connection = sqlite3.connect(path / "board.db")
    connection.execute("CREATE TABLE bundles (first INTEGER)")
    connection.execute("PRAGMA user_version=1")
    connection.close()


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "an old database": (old_database, "the database is older than .*602 leaves.*1204.*mixmint board recover"),
    "old files": (old_files, "log is older than the database.*602.*published 903.*mixmint board repair"),
    "no database": (no_database, "knows 0 leaves, and this board signed a log of 1204.*recover"),
    "no files": (no_files, "older than the database.*repair"),
    "no checkpoint": (no_checkpoint, "checkpoint is missing.*mixmint board repair"),
    "neither database nor checkpoint": (neither, "checkpoint is missing, and a log is there"),
    "a torn checkpoint": (torn_checkpoint, "checkpoint is damaged"),
    "a second log": (other_log, "two different logs of 1204 leaves"),
    "a stranger's log": (stranger, "not signed by this board's key"),
    "a database that contradicts itself": (forged_head, "isn't the one that it signed.*recover"),
    "a database from before the log": (before_the_log, "before there was a log"),
}


def log_files(path: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in (path / "log").rglob("*") if file.is_file()}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_board_that_is_not_what_it_was_refuses_to_sign(four_rounds: Path, what: str) -> None:
    """In one line: what is behind, by how much, and what to do. Nothing is written."""
    spoil, message = REFUSED[what]
    spoil(four_rounds)
    before = log_files(four_rounds)
    with pytest.raises(FatalError, match=message):
        await start(four_rounds)
    assert log_files(four_rounds) == before


async def test_two_boards_do_not_run_on_one_folder(four_rounds: Path) -> None:
    """They would overwrite each other's unfinished files. The next one starts when the first has stopped."""
    async with board(four_rounds, Signed(TileFolder(four_rounds / "log"))):
        with pytest.raises(UserError, match=r"another board runs on .*log; stop it first"):
            await start(four_rounds)
    assert await start(four_rounds) == 5


async def test_another_name_or_key_is_another_log(four_rounds: Path) -> None:
    """A log keeps both for ever."""
    for key, origin in ((SigningKey(bytes(32)), ORIGIN), (KEY, "elsewhere.test")):
        with pytest.raises(FatalError, match="set origin and key_path back"):
            await start(four_rounds, key, origin)
    assert await start(four_rounds) == 5


def flip(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def remove(path: Path) -> None:
    path.unlink()


# 1204 leaves: four full tiles, and 180 leaves more.
DAMAGED = [
    (flip, "tile/entries/004.p/180"),
    (flip, "tile/0/004.p/180"),
    (flip, "tile/1/000.p/4"),
    (cut, "tile/entries/004.p/180"),
    (cut, "tile/0/004.p/180"),
    (cut, "tile/1/000.p/4"),
    (remove, "tile/entries/004.p/180"),
    (remove, "tile/0/004.p/180"),
    (remove, "tile/1/000.p/4"),
    (remove, "tile/0/003"),
    (cut, "tile/entries/003"),
]


@pytest.mark.parametrize(("spoil", "name"), DAMAGED)
async def test_a_missing_or_damaged_file_is_named(
    four_rounds: Path, spoil: Callable[[Path], None], name: str
) -> None:
    """And nothing is signed on top of it."""
    spoil(four_rounds / "log" / name)
    with pytest.raises(FatalError, match=rf"{name} is .*damaged.*run: mixmint board repair"):
        await start(four_rounds)


async def test_several_damaged_files_are_damage_too(four_rounds: Path) -> None:
    """Then which of them isn't said."""
    for name in ("tile/0/004.p/180", "tile/1/000.p/4"):
        flip(four_rounds / "log" / name)
    with pytest.raises(FatalError, match="more than one of the newest files"):
        await start(four_rounds)


@pytest.mark.parametrize("step", [Step.COSIGN, Step.PUBLISH])
async def test_what_was_signed_and_not_published_is_published_by_the_next_start(
    four_rounds: Path, step: Step
) -> None:
    """The checkpoint's file one round behind the database: a crash between the two."""
    async with board(four_rounds, Signed(TileFolder(four_rounds / "log")), Failing(step, False)) as running:
        with pytest.raises(UserError):
            await running[1].publish(9)
    assert await start(four_rounds) == 5


async def test_copies_that_belong_together_run_but_only_if_nobody_saw_more(four_rounds: Path) -> None:
    """Which is why witnesses are asked, and why nobody should restore both."""
    old_database(four_rounds)
    old_files(four_rounds)
    assert await start(four_rounds) == 3
