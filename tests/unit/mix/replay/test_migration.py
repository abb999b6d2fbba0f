"""From the SQLite file of earlier versions: all that was seen is still known, wherever it is killed."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from mix.frame import FrameId
from mix.packet.geometry import KeyId, Tag
from mix.replay import ReplayFilter, check_filter, create_filter, migration
from mixmint.errors import FatalError, UserError

KEY, OTHER, GONE = (KeyId(bytes([letter]) * 16) for letter in b"kog")
SEEN = [(KEY, Tag(os.urandom(16))) for _ in range(300)] + [(OTHER, Tag(os.urandom(16)))]
FRAMES = {FrameId(os.urandom(16)): epoch for epoch in (5, 5, 6)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the new filter will be; beside it, the old one, as an earlier version left it when killed."""
    old = tmp_path / "replay.db"
    connection = sqlite3.connect(old, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    connection.execute(
        "CREATE TABLE key (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,"
        " retired INTEGER NOT NULL DEFAULT 0)"
    )
    connection.execute(
        "CREATE TABLE frame (id BLOB PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID",
    )
    for number, key in enumerate((KEY, OTHER, GONE), start=1):
        connection.execute("INSERT INTO key VALUES (?, ?, ?)", (number, key, key == GONE))
        if key != GONE:
            connection.execute(f"CREATE TABLE tag_{number} (tag BLOB PRIMARY KEY) WITHOUT ROWID")
            tags = [(tag,) for of, tag in SEEN if of == key]
            connection.executemany(f"INSERT INTO tag_{number} VALUES (?)", tags)  # noqa: S608 - our own number
    connection.executemany("INSERT INTO frame VALUES (?, ?)", FRAMES.items())
    connection.execute("COMMIT")
    # Killed, not closed: what it wrote last is in the write-ahead log only.
    for name in ("replay.db", "replay.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / f"kept-{name}")
    connection.close()
    for name in ("replay.db", "replay.db-wal"):
        (tmp_path / f"kept-{name}").rename(tmp_path / name)
    return tmp_path / "replay"


@pytest.fixture(autouse=True)
def small_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "AT_ONCE", 100)


@pytest.fixture
def opened(path: Path) -> Iterator[ReplayFilter]:
    replay = ReplayFilter(path, [KEY, OTHER])
    yield replay
    replay.close()


def assert_all_known(replay: ReplayFilter) -> None:
    assert all(replay.knows_frame(frame) for frame in FRAMES)
    assert replay.fresh(SEEN, FrameId(os.urandom(16)), 6) == [False] * len(SEEN)
    new = [(KEY, Tag(os.urandom(16)))]
    assert replay.fresh(new, FrameId(os.urandom(16)), 6) == [True]


def test_everything_seen_is_still_known(path: Path, opened: ReplayFilter) -> None:
    """And the old file is gone, so that no earlier version can go on with it."""
    assert_all_known(opened)
    assert [one.name for one in path.parent.iterdir()] == ["replay"]
    opened.prune(6)
    assert sum(opened.knows_frame(frame) for frame in FRAMES) == 1


def test_a_retired_key_stays_retired(path: Path, opened: ReplayFilter) -> None:
    opened.close()
    with pytest.raises(UserError, match="no replay filter"):
        ReplayFilter(path, [GONE])
    with pytest.raises(UserError, match="already"):
        create_filter(path, [GONE])


@pytest.mark.parametrize("step", ["before the rename", "in the middle", "before the deletion"])
def test_killed_anywhere_the_next_start_goes_on(
    path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "before the rename":
            patch.setattr(Path, "rename", killed)
        elif step == "in the middle":
            patch.setattr(migration, "_copy_frames", killed)
        else:
            patch.setattr(migration, "remove_database", killed)
        with pytest.raises(KeyboardInterrupt):
            ReplayFilter(path, [KEY, OTHER])
    assert path.exists() == (step == "before the deletion")
    assert (path.parent / "replay.db").exists() == (step == "before the rename")
    check_filter(path, [KEY, OTHER])
    replay = ReplayFilter(path, [KEY, OTHER])
    assert_all_known(replay)
    replay.close()
    assert [one.name for one in path.parent.iterdir()] == ["replay"]


def test_a_new_key_is_added_beside_the_old_ones(path: Path) -> None:
    new = KeyId(b"n" * 16)
    create_filter(path, [new])
    replay = ReplayFilter(path, [KEY, OTHER, new])
    assert_all_known(replay)
    replay.close()


def test_an_old_file_beside_the_new_folder_is_refused(path: Path) -> None:
    """Somebody restored it: which of the two knows what was seen last can't be told."""
    data = (path.parent / "replay.db").read_bytes()
    ReplayFilter(path, [KEY]).close()
    (path.parent / "replay.db").write_bytes(data)
    with pytest.raises(UserError, match="two replay filters"):
        ReplayFilter(path, [KEY])
    with pytest.raises(UserError, match="two replay filters"):
        check_filter(path, [KEY])


def test_a_damaged_old_file_is_refused_and_stays(path: Path) -> None:
    (path.parent / "replay.db-wal").unlink()
    old = path.parent / "replay.db"
    old.write_bytes(b"nothing that SQLite knows " * 100)
    with pytest.raises(FatalError, match="can't be used any more"):
        ReplayFilter(path, [KEY])
    assert old.exists()
    assert not path.exists()


def test_an_old_file_in_use_is_not_taken_over(path: Path) -> None:
    """The earlier version still runs, and may be taking packets in."""
    other = sqlite3.connect(path.parent / "replay.db")
    other.execute("BEGIN")
    other.execute("SELECT COUNT(*) FROM key").fetchone()
    with pytest.raises(UserError, match="running"):
        ReplayFilter(path, [KEY])
    other.close()
