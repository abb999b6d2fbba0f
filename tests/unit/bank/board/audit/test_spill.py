"""What an audit keeps on disk: records by shard over many files, rounds by their marks; and a full disk."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from bank.board.audit import spill as spilling
from bank.board.audit.chunk import MARK, RECORD
from bank.board.audit.spill import Place, Spill, Spilled, read_shards
from bank.formats.entry import MapEntry
from mixmint.errors import UserError


def record(shard: int, index: int) -> bytes:
    return RECORD.pack(bytes([shard]) * 32, index, 1, 0, 0, b"")


@pytest.mark.parametrize("files", [1, 8, 9, 12])
def test_a_shards_records_come_together_from_all_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    """Few files are read for several shards at once, many for one at a time: with the same result."""
    monkeypatch.setattr(spilling, "_HELD_BYTES", 1)
    with closing(Spill(tmp_path)) as spill:
        for number in range(files):
            spill.take({shard: record(shard, number) for shard in (0, 7, 8, 255)}, b"", [], [])
        spill.finish()
    for first in range(0, 256, 8):
        for shard, data in enumerate(read_shards(tmp_path, first, 8), start=first):
            wanted = range(files) if shard in {0, 7, 8, 255} else ()
            assert data == b"".join(record(shard, number) for number in wanted), shard


def test_rounds_are_found_by_their_entries(tmp_path: Path) -> None:
    """By a binary search in the file."""
    marks = [(2, 1, 10), (3, 2, 11), (9, 3, 12)]
    with closing(Spill(tmp_path)) as spill:
        spill.take({}, b"".join(MARK.pack(*mark) for mark in marks), [], [])
        spill.finish()
    with closing(Spilled(tmp_path)) as spilled:
        found = [spilled.round_of(index) for index in range(11)]
    places = [Place(number, closed, mark) for mark, number, closed in marks]
    assert found == [places[0]] * 3 + [places[1]] + [places[2]] * 6 + [None]


def test_landmarks_come_in_order_and_again_by_their_place(tmp_path: Path) -> None:
    """Each with its index in the log."""
    entries = [MapEntry(number, number + 5, 0, bytes(32)) for number in range(3)]
    with closing(Spill(tmp_path)) as spill:
        spill.take({}, b"", [(10 * number, entry.encode()) for number, entry in enumerate(entries)], [])
        spill.finish()
    with closing(Spilled(tmp_path)) as spilled:
        found = list(spilled.landmarks())
        assert [(landmark.leaf, entry) for landmark, entry in found] == list(
            zip((0, 10, 20), entries, strict=True)
        )
        assert spilled.entry(found[1][0].at) == entries[1]


def test_a_folder_that_can_not_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    """With the next step: another place for temporary files."""
    folder = tmp_path / "gone"
    folder.mkdir()
    with closing(Spill(folder)) as spill:
        spill.take({0: record(0, 0)}, b"", [], [])
        shutil.rmtree(folder)
        with pytest.raises(UserError, match="TMPDIR"):
            spill.finish()
