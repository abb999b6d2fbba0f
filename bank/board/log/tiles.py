"""
Tiles: the tree's hashes, and the entries, in files that never change (C2SP tlog-tiles). Pure.

A tile of level L has up to 256 hashes, each the root of a full tile of the level below; at level 0 they are
hashes of leaves. Beside them, the entries themselves stand in bundles of up to 256. Only the tiles at the
right edge are partial; a partial one is a file of its own for each size of the log that is published, until
the full one exists.

The *edge* is what stands in the partial tiles: all that a growing log needs of its past.

Source: docs/spec/log.md, section 2.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from bank.board.log.tree import EMPTY_ROOT, HASH_BYTES, Frontier, Node, fold, leaf_hash, parents
from mixmint.errors import MalformedMessage

WIDTH = 256
HEIGHT = 8
"""Levels of the tree in a tile."""
ENTRIES = -1
"""The level, in ``Tile``, of a bundle of entries."""
MOST_LEVEL = 7
MOST_LEAF_BYTES = 65_535

_PATH = re.compile(
    r"tile/(?P<level>entries|[0-7])/(?P<groups>(?:x[0-9]{3}/){0,6})(?P<last>[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class Tile:
    """Tile ``index`` of a level, with its first ``width`` hashes (or entries)."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def full(self) -> bool:
        return self.width == WIDTH

    def path(self) -> str:
        """Below the log's URL or folder, e.g. ``tile/0/x001/x234/067.p/5``."""
        last, rest = f"{self.index % 1000:03d}", self.index // 1000
        while rest:
            last, rest = f"x{rest % 1000:03d}/{last}", rest // 1000
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"tile/{level}/{last}" + ("" if self.full else f".p/{self.width}")

    @classmethod
    def parse(cls, path: str) -> "Tile | None":
        """None when the path names no tile; every tile has one path only."""
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        digits = found["groups"].replace("x", "").replace("/", "") + found["last"]
        level = ENTRIES if found["level"] == "entries" else int(found["level"])
        width = int(found["width"] or WIDTH)
        if (found["width"] and width >= WIDTH) or (found["groups"] and digits.startswith("000")):
            return None
        return cls(level, int(digits), width)


def pack(entries: Sequence[bytes]) -> bytes:
    """A bundle: length 2 (big-endian) and bytes of each entry."""
    return b"".join([len(entry).to_bytes(2) + entry for entry in entries])


def unpack(bundle: bytes, most: int | None = None) -> list[bytes]:
    """
    The entries of a bundle. ``most``: of one from a stranger, who could put millions of empty ones into it.

    Raises MalformedMessage("length") when there are more, or the last one is cut short.
    """
    entries: list[bytes] = []
    at, size = 0, len(bundle)
    while at < size:
        if len(entries) == most:
            raise MalformedMessage("length")
        start = at + 2
        at = start + int.from_bytes(bundle[at:start])
        if at > size or start > size:
            raise MalformedMessage("length")
        entries.append(bundle[start:at])
    return entries


def hashes_of(tile: bytes) -> list[bytes]:
    """The hashes in a tile's bytes. Raises MalformedMessage("length")."""
    if len(tile) % HASH_BYTES or not 0 < len(tile) <= WIDTH * HASH_BYTES:
        raise MalformedMessage("length")
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]


def tile_at(level: int, index: int, size: int) -> Tile:
    """Tile ``index`` as the log of ``size`` leaves has it. Raises ValueError when it has none."""
    width = min(WIDTH, (size >> HEIGHT * max(level, 0)) - WIDTH * index)
    if width <= 0:
        raise ValueError("no such tile")
    return Tile(level, index, width)


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile and bundle that the log of ``size`` leaves has."""
    return new_tiles(0, size)


def new_tiles(old: int, new: int) -> Iterator[Tile]:
    """Every tile and bundle that differs between two sizes: all there before ``new`` is published."""
    for level in (ENTRIES, *range(MOST_LEVEL + 1)):
        shift = HEIGHT * max(level, 0)
        if old >> shift == new >> shift:
            if level == ENTRIES:
                return
            break
        for index in range((old >> shift) // WIDTH, ((new >> shift) - 1) // WIDTH + 1):
            yield tile_at(level, index, new)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node's hash comes from: the root over hashes first .. first + count - 1 of a tile."""

    tile: Tile
    first: int
    count: int

    def read(self, tile: bytes) -> bytes:
        """The node's hash from the tile's bytes. Raises MalformedMessage("length")."""
        hashes = hashes_of(tile)[self.first : self.first + self.count]
        if len(hashes) != self.count:
            raise MalformedMessage("length")
        return _top(hashes)


def place_of(node: Node, size: int) -> Place:
    """In which tile of the log of ``size`` leaves a node stands. Raises ValueError when in none."""
    level, above = divmod(node.level, HEIGHT)
    first = node.index << above
    place = Place(tile_at(level, first // WIDTH, size), first % WIDTH, 1 << above)
    if place.first + place.count > place.tile.width:
        raise ValueError("no such node")
    return place


class File(NamedTuple):
    """A tile with its bytes."""

    tile: Tile
    data: bytes


@dataclass(frozen=True, slots=True)
class Edge:
    """
    The partial tiles of a log: the packed entries of the last bundle, and each level's hashes, from level 0.
    """

    size: int = 0
    entries: tuple[bytes, ...] = ()
    levels: tuple[tuple[bytes, ...], ...] = ()

    def frontier(self) -> Frontier:
        """The roots of the maximal full subtrees."""
        found: list[bytes] = []
        for hashes in self.levels:
            row: list[bytes] = list(hashes)
            while row:
                if len(row) & 1:
                    found.append(row[-1])
                row = parents(row)
        return Frontier(self.size, tuple(reversed(found)))

    def root(self) -> bytes:
        """The log's root, 32 bytes."""
        return fold(self.frontier().hashes) if self.size else EMPTY_ROOT

    def grow(self, entries: Sequence[bytes]) -> "tuple[Edge, list[File]]":
        """
        The edge after more entries, and every file that must be written for the new size.

        What is written is a function of the log's leaves alone: writing it again changes nothing.
        """
        if not entries:
            return self, []
        packed = [*self.entries, *(len(entry).to_bytes(2) + entry for entry in entries)]
        edge = replace(self, size=self.size + len(entries))
        files: list[File] = []
        _cut(ENTRIES, self.size // WIDTH, packed, files)
        fresh: list[bytes] = [leaf_hash(entry) for entry in entries]
        rows: list[tuple[bytes, ...]] = []
        level = 0
        while fresh or level < len(self.levels):
            row = [*(self.levels[level] if level < len(self.levels) else ()), *fresh]
            full, rest = divmod(len(row), WIDTH)
            if fresh:
                _cut(level, (self.size >> HEIGHT * level) // WIDTH, row, files)
            fresh = [_top(row[WIDTH * at : WIDTH * (at + 1)]) for at in range(full)]
            rows.append(tuple(row[len(row) - rest :]))
            level += 1
        kept = len(packed) % WIDTH
        return replace(edge, entries=tuple(packed[len(packed) - kept :]), levels=tuple(rows)), files


def _cut(level: int, index: int, parts: Sequence[bytes], files: list[File]) -> None:
    for at in range(0, len(parts), WIDTH):
        part = parts[at : at + WIDTH]
        files.append(File(Tile(level, index + at // WIDTH, len(part)), b"".join(part)))


def _top(hashes: list[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    while len(hashes) > 1:
        hashes = parents(hashes)
    return hashes[0]
