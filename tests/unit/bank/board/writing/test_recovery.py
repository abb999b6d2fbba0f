"""bank/board/writing/recovery.py: a database made again from the log's folder is the one that was lost."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from bank.board.feed import Batch
from bank.board.log.folder import TileFolder
from bank.board.writing.recovery import recover
from bank.formats.entry import AccusationEntry
from mixmint.errors import FatalError, UserError
from mixmint.keys import SigningKey
from tests.unit.bank.board.conftest import LOG, Mint
from tests.unit.bank.board.log.logs import flip
from tests.unit.bank.board.writing.test_publisher import Signed, board, shown
from tests.unit.bank.board.writing.test_start import log_files

MINT = Mint()
ROUNDS = 40
"""More than the coin index holds in memory."""


@pytest.fixture
async def lost(tmp_path: Path) -> Path:
    """A board with forty rounds, an entry of a rare kind among them, that lost its database."""
    async with board(tmp_path, Signed(TileFolder(tmp_path / "log"))) as (store, publisher):
        for number in range(1, ROUNDS + 1):
            group = [MINT.certified(n, n % 5) for n in range(16 * number, 16 * number + 16)]
            group += [MINT.spent(16 * (number - 1))] if number > 1 else []
            await store.take(Batch(number, [group]).encode())
            if number == 7:
                await store.submit([AccusationEntry(b"x" * 40).encode()])
            await publisher.publish(number)
    shutil.move(tmp_path / "board.db", tmp_path / "lost.db")
    return tmp_path


def run(path: Path, log=LOG) -> int:  # type: ignore[no-untyped-def]  # a VerifierKey
    return recover(path / "board.db", TileFolder(path / "log"), log, lambda done, total: None).number


def tables(path: Path, *names: str) -> list[list[tuple[object, ...]]]:
    connection = sqlite3.connect(path)
    try:
        return [sorted(connection.execute(f"SELECT * FROM {name}")) for name in names]  # noqa: S608 - a test's names
    finally:
        connection.close()


def test_everything_that_follows_from_the_log_is_there_again(lost: Path) -> None:
    """Rounds, totals, coins, what is rare, the signed checkpoint; only the bank's next group isn't known."""
    assert run(lost) == ROUNDS
    names = ("rounds", "coins", "repeats", "notable", "head")
    assert tables(lost / "board.db", *names) == tables(lost / "lost.db", *names)
    assert tables(lost / "board.db", "feed", "waiting") == [[(1, 0, 0, ROUNDS)], []]


async def test_the_board_goes_on_where_its_log_ended(lost: Path) -> None:
    """One tree; and the bank says which group comes next."""
    run(lost)
    signed = Signed(TileFolder(lost / "log"))
    async with board(lost, signed) as (store, publisher):
        coin = await store.coin(MINT.coin(16 * ROUNDS))
        assert [placed.round for placed in coin] == [ROUNDS]
        assert (await store.take(Batch(ROUNDS + 1, []).encode())).next_group == 0
        assert (await store.take(Batch(ROUNDS + 1, [[MINT.spent(16 * ROUNDS)]]).encode())).taken
        closed = await publisher.publish(100)
        assert (closed.number, closed.totals.unknown, closed.totals.repeats) == (ROUNDS + 1, 0, 0)
    signed.check()
    assert shown(TileFolder(lost / "log"))[-1] == [MINT.spent(16 * ROUNDS)]


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_what_a_killed_board_left_beside_its_database_is_not_taken_for_the_new_one(
    lost: Path, suffix: str
) -> None:
    """SQLite asks only whether such a file is there, and would write its pages over the new ones."""
    left = lost / f"board.db{suffix}"
    left.write_bytes(b"the last transactions of lost.db")
    with pytest.raises(UserError, match=f"board.db{suffix} belongs to the database that was here"):
        run(lost)
    assert not (lost / "board.db").exists()
    left.rename(lost / f"lost.db{suffix}")
    assert run(lost) == ROUNDS


async def test_a_board_that_still_runs_is_not_recovered(lost: Path) -> None:
    """Its database was moved away under it; it goes on in that, and would sign beside the new one."""
    (lost / "lost.db").rename(lost / "board.db")
    async with board(lost, Signed(TileFolder(lost / "log"))):
        for suffix in ("", "-wal"):
            (lost / f"board.db{suffix}").rename(lost / f"lost.db{suffix}")
        with pytest.raises(UserError, match="another board runs"):
            run(lost)


def test_files_of_hashes_are_made_again(lost: Path) -> None:
    """The entries are all that can't be replaced."""
    before = log_files(lost)
    (lost / "log" / "tile" / "0" / "000").unlink()
    flip(lost / "log" / "tile" / "1" / "000.p" / "2")
    assert run(lost) == ROUNDS
    assert log_files(lost) == before


def test_a_database_that_is_there_is_never_replaced(lost: Path) -> None:
    """It may know a newer checkpoint than the folder."""
    run(lost)
    with pytest.raises(UserError, match="move it away first"):
        run(lost)


def test_a_changed_entry_is_refused_and_leaves_nothing(lost: Path) -> None:
    """In a certificate, where only the tree can tell; and no file is changed to agree with it."""
    flip(lost / "log" / "tile" / "entries" / "001", 2 + 40)
    before = log_files(lost)
    with pytest.raises(FatalError, match="don't lead to its checkpoint"):
        run(lost)
    assert log_files(lost) == before
    assert not list(lost.glob("board.db*"))


def test_a_missing_file_is_named(lost: Path) -> None:
    """It can come from a mirror."""
    (lost / "log" / "tile" / "entries" / "001").unlink()
    with pytest.raises(FatalError, match="tile/entries/001 is missing"):
        run(lost)


def test_an_empty_folder_and_a_strangers_log_are_refused(lost: Path) -> None:
    """There is nothing to recover from."""
    with pytest.raises(FatalError, match="not signed by this board's key"):
        run(lost, type(LOG)(LOG.name, SigningKey(bytes(32)).public))
    shutil.rmtree(lost / "log")
    with pytest.raises(UserError, match="mixmint board mirror"):
        run(lost)


def test_a_recovery_that_was_interrupted_begins_anew(lost: Path) -> None:
    """Half a database never takes the place of one."""
    (lost / "board.db.new").write_bytes(b"half")
    (lost / "board.db.new-wal").write_bytes(b"half")
    assert run(lost) == ROUNDS
    assert sorted(path.name for path in lost.glob("board.db*")) == ["board.db"]
