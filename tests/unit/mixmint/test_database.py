"""Opening databases, and group commit."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from mixmint.database import Writer, open_database
from mixmint.errors import FatalError, UserError

SCHEMA = ["CREATE TABLE item (id INTEGER PRIMARY KEY, text TEXT) WITHOUT ROWID"]


def insert(number: int) -> "callable[[sqlite3.Connection], int]":  # type: ignore[valid-type]
    def operation(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO item VALUES (?, 'x')", (number,))
        return number

    return operation


def rows(path: Path) -> list[int]:
    with sqlite3.connect(path) as reader:
        found = [row[0] for row in reader.execute("SELECT id FROM item ORDER BY id")]
    reader.close()
    return found


def test_database_is_private_durable_and_migrated_once(tmp_path: Path) -> None:
    """Mode 0600, WAL, synchronous FULL; the schema runs once, a later one on top."""
    path = tmp_path / "x.db"
    connection = open_database(path, SCHEMA)
    assert path.stat().st_mode & 0o777 == 0o600
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)
    connection.close()
    later = open_database(path, [*SCHEMA, "ALTER TABLE item ADD COLUMN more TEXT"])
    assert later.execute("SELECT id, text, more FROM item").fetchall() == []
    later.close()


def test_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """An older program must not write into a newer file."""
    open_database(tmp_path / "x.db", [*SCHEMA, "CREATE TABLE other (id)"]).close()
    with pytest.raises(FatalError, match="newer"):
        open_database(tmp_path / "x.db", SCHEMA)


def test_damaged_database_is_refused(tmp_path: Path) -> None:
    """It is said to be damaged, not worked around."""
    path = tmp_path / "x.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(FatalError, match="damaged"):
        open_database(path, SCHEMA)


async def test_writes_that_arrive_together_share_a_commit(tmp_path: Path) -> None:
    """A hundred operations take far fewer than a hundred transactions, and all are there."""
    connection = open_database(tmp_path / "x.db", SCHEMA)
    commits: list[str] = []
    connection.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)
    writer = Writer(connection)
    done = await asyncio.gather(*(writer.run(insert(number)) for number in range(100)))
    await writer.close()
    assert done == list(range(100))
    assert rows(tmp_path / "x.db") == done
    assert len(commits) < 50


async def test_an_operation_that_fails_takes_back_only_itself(tmp_path: Path) -> None:
    """One hostile duplicate doesn't spoil the group."""
    writer = Writer(open_database(tmp_path / "x.db", SCHEMA))
    results = await asyncio.gather(
        *(writer.run(insert(number)) for number in (1, 2, 1, 3)), return_exceptions=True
    )
    await writer.close()
    assert [type(result) for result in results] == [int, int, sqlite3.IntegrityError, int]
    assert rows(tmp_path / "x.db") == [1, 2, 3]


async def test_a_full_disk_fails_the_whole_group_and_later_writes_work(tmp_path: Path) -> None:
    """Nothing of the group happened; once there is space the same writer goes on."""
    connection = open_database(tmp_path / "x.db", SCHEMA)
    connection.execute("PRAGMA max_page_count=3")
    writer = Writer(connection)

    def big(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO item VALUES (7, ?)", ("x" * 100_000,))

    results = await asyncio.gather(writer.run(insert(1)), writer.run(big), return_exceptions=True)
    assert isinstance(results[1], UserError)
    assert "full" in str(results[1])
    connection.execute("PRAGMA max_page_count=1000000")
    await writer.run(insert(2))
    await writer.close()
    assert 2 in rows(tmp_path / "x.db")
    assert 7 not in rows(tmp_path / "x.db")


class BrokenDisk:
    """A connection on which every write fails, taking it back too."""

    in_transaction = True

    def execute(self, sql: str) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    def close(self) -> None:
        """Nothing to close."""


async def test_a_disk_that_fails_at_rolling_back_refuses_and_leaves_nobody_waiting() -> None:
    """The writer's thread goes on, so each caller hears of it."""
    writer = Writer(BrokenDisk())  # type: ignore[arg-type]  # a disk error can't be made on a real connection
    for number in range(3):
        with pytest.raises(UserError, match="I/O error"):
            await asyncio.wait_for(writer.run(insert(number)), 5)
    await writer.close()


async def test_a_closed_writer_refuses(tmp_path: Path) -> None:
    """Nothing waits for ever on a thread that is gone."""
    writer = Writer(open_database(tmp_path / "x.db", SCHEMA))
    await writer.close()
    with pytest.raises(FatalError):
        await writer.run(insert(1))
