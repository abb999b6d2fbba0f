"""
What an audit keeps on disk between its passes, so that its memory doesn't grow with the log.

    records-<n>  records of coins, a part of the log in each: where each shard begins 8 (257 times), records
    marks        where each round ends
    landmarks    statements and map entries, in the log's order: index 8, length 2, bytes
    claims       claims, answers, and what they are judged by (terms, accounts): the same
    counts-<xx>  of the second pass: what became of a few shards' coins, by part of the log
    roots-<xx>   of the second pass: these shards' roots and coins at each map entry

A temporary folder, of about 50 bytes for each entry of the log. Nothing in it outlives the audit.
"""

import os
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple

from bank.board.audit.chunk import MARK
from bank.formats.entry import Entry, decode_entry
from mixmint.errors import UserError

SHARDS = 256
TOGETHER = 8
"""Shards that share a piece of work and its files in the second pass: opening files has its price."""
_HELD_BYTES = 1 << 24
"""Records that wait in memory to be written, of all shards together."""
_FEW_FILES = 8
"""Of so few, neighbouring shards are read at once: they are small then."""
_OFFSETS = Struct(f">{SHARDS + 1}Q")


class Place(NamedTuple):
    """A round: its number, when it closed, the index of its mark."""

    number: int
    closed_at_s: int
    mark: int


class Landmark(NamedTuple):
    """A statement or a map entry: its index in the log, and its place in the file."""

    leaf: int
    at: int


class Spill:
    """The folder during the first pass. Raises UserError when the disk is full."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._waiting: dict[int, list[bytes]] = {}
        self._held = 0
        self._files = 0
        self._marks = (folder / "marks").open("wb")
        self._landmarks = (folder / "landmarks").open("wb")
        self._claims = (folder / "claims").open("wb")

    def take(
        self,
        records: dict[int, bytes],
        marks: bytes,
        landmarks: list[tuple[int, bytes]],
        claims: list[tuple[int, bytes]],
    ) -> None:
        """What one chunk has; chunks in the log's order."""
        for shard, data in records.items():
            self._waiting.setdefault(shard, []).append(data)
            self._held += len(data)
        try:
            if self._held >= _HELD_BYTES:
                self._flush()
            self._marks.write(marks)
            for file, entries in ((self._landmarks, landmarks), (self._claims, claims)):
                for index, entry in entries:
                    file.write(index.to_bytes(8) + len(entry).to_bytes(2) + entry)
        except OSError as error:
            raise _full(self.folder, error) from None

    def finish(self) -> None:
        """The end of the first pass: all is in the files."""
        try:
            self._flush()
            self._marks.flush()
            self._landmarks.flush()
            self._claims.flush()
        except OSError as error:
            raise _full(self.folder, error) from None

    def close(self) -> None:
        self._marks.close()
        self._landmarks.close()
        self._claims.close()

    def _flush(self) -> None:
        shards = [b"".join(self._waiting.get(shard, ())) for shard in range(SHARDS)]
        offsets = accumulate(map(len, shards), initial=_OFFSETS.size)
        with (self.folder / f"records-{self._files}").open("wb") as file:
            file.write(_OFFSETS.pack(*offsets))
            file.writelines(shards)
        self._files += 1
        self._waiting.clear()
        self._held = 0


class Spilled:
    """The folder after the first pass."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._marks = (folder / "marks").open("rb")
        self._landmarks = (folder / "landmarks").open("rb")
        self._claims = (folder / "claims").open("rb")
        self.rounds = os.fstat(self._marks.fileno()).st_size // MARK.size

    def close(self) -> None:
        self._marks.close()
        self._landmarks.close()
        self._claims.close()

    def claims(self) -> Iterator[tuple[int, bytes]]:
        """Claims and what they are judged by, in the log's order: indexes and leaves."""
        at = 0
        while True:
            # Whoever takes them may read elsewhere in between.
            self._claims.seek(at)
            head = self._claims.read(10)
            if not head:
                return
            leaf = self._claims.read(int.from_bytes(head[8:]))
            at += 10 + len(leaf)
            yield int.from_bytes(head[:8]), leaf

    def landmarks(self) -> Iterator[tuple[Landmark, Entry]]:
        """All of them, in the log's order."""
        at = 0
        while True:
            found = self._read(at)
            if found is None:
                return
            index, entry, after = found
            yield Landmark(index, at), entry
            at = after

    def entry(self, at: int) -> Entry:
        """The landmark at this place of the file."""
        found = self._read(at)
        if found is None:
            raise ValueError("no landmark there")
        return found[1]

    def _read(self, at: int) -> tuple[int, Entry, int] | None:
        self._landmarks.seek(at)
        head = self._landmarks.read(10)
        if not head:
            return None
        length = int.from_bytes(head[8:])
        return int.from_bytes(head[:8]), decode_entry(self._landmarks.read(length)), at + 10 + length

    def place(self, number: int) -> Place:
        """The round that is the file's ``number``-th, from 0."""
        self._marks.seek(number * MARK.size)
        mark, round_, closed_at_s = MARK.unpack(self._marks.read(MARK.size))
        return Place(round_, closed_at_s, mark)

    def round_of(self, index: int) -> Place | None:
        """The round that an entry is in; None when no mark comes after it."""
        found = bisect_left(_MarkIndexes(self), index)
        return None if found == self.rounds else self.place(found)


class _MarkIndexes:
    """The marks' indexes as a sequence, for a binary search in the file."""

    def __init__(self, spilled: Spilled) -> None:
        self._spilled = spilled

    def __len__(self) -> int:
        return self._spilled.rounds

    def __getitem__(self, number: int) -> int:
        return self._spilled.place(number).mark


def counts_path(folder: Path, first: int) -> Path:
    """Of the shards from ``first`` on."""
    return folder / f"counts-{first:02x}"


def roots_path(folder: Path, first: int) -> Path:
    """Of the shards from ``first`` on."""
    return folder / f"roots-{first:02x}"


def read_shards(folder: Path, first: int, count: int) -> Iterator[bytes]:
    """The records of ``count`` shards from ``first`` on, one shard after another, each as they came."""
    files = sorted(folder.glob("records-*"), key=lambda path: int(path.name.partition("-")[2]))
    step = count if len(files) <= _FEW_FILES else 1
    for shard in range(first, first + count, step):
        parts = [_read_part(path, shard, step) for path in files]
        yield from (b"".join(part) for part in zip(*parts, strict=True))


def _read_part(path: Path, first: int, count: int) -> list[bytes]:
    with path.open("rb", buffering=0) as file:
        offsets = _OFFSETS.unpack(file.read(_OFFSETS.size))[first : first + count + 1]
        file.seek(offsets[0])
        data = file.read(offsets[-1] - offsets[0])
    return [data[one - offsets[0] : other - offsets[0]] for one, other in pairwise(offsets)]


def read_all(file: BinaryIO, width: int) -> Iterator[bytes]:
    """Records of one width, one after another."""
    while part := file.read(width * 1024):
        for at in range(0, len(part), width):
            yield part[at : at + width]


def cuts_of(sizes: set[int]) -> "array[int]":
    """Sizes of the log at which something is stated, ascending."""
    return array("Q", sorted(sizes))


def _full(folder: Path, error: OSError) -> UserError:
    return UserError(f"can't keep the audit's notes in {folder}: {error.strerror}; free space, or set TMPDIR")
