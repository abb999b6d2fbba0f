"""
Is a copy of a log whole? Which files are missing or damaged; and putting them right from another copy.

The checkpoint's root vouches for the newest tiles, each hash in a tile for the tile below it, and the lowest
hashes for the entries. So one walk from the root downwards names every bad file, whatever the others are. A
hash tile that is bad can be made again from what is below it; entries must come from another copy, and count
only when they have the hashes that the root vouches for.

Only files that are bad are touched. Memory: one tile of each level.

Source: docs/operators-guide.md, "Damaged files".
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from bank.board.log.checkpoint import Checkpoint
from bank.board.log.folder import TileFolder
from bank.board.log.source import TileSource
from bank.board.log.tiles import ENTRIES, HEIGHT, WIDTH, Edge, File, Tile, hashes_of, pack, tile_at, unpack
from bank.board.log.tree import HASH_BYTES, leaf_hash, root_of
from mixmint.errors import MalformedMessage

Row = tuple[bytes, ...]
Tell = Callable[[int, int], None]


def _silently(_: int, __: int) -> None:
    """Nobody watches."""


class Damage(NamedTuple):
    """A bad file, by its path below the folder. ``below``: nothing under it could be checked."""

    path: str
    is_missing: bool
    is_repaired: bool
    below: bool = False

    def text(self) -> str:
        """For people: one line."""
        what = "missing" if self.is_missing else "damaged"
        if self.is_repaired:
            return f"{self.path} was {what}, and is repaired"
        more = "; what is below it can't be checked" if self.below else ""
        return f"{self.path} is {what}{more}"


@dataclass(frozen=True, slots=True)
class _Found:
    """What a tile should hold, as far as it is known, and whether the folder's own file says the same."""

    row: Row | None
    is_own: bool


class Examination:
    """
    Of one folder, under one checkpoint whose signature holds. ``source``: where good files come from, and
    ``source_size`` how many entries it has, if known; without a source nothing is written. ``tell`` is told
    how many entries were looked at, of how many.
    """

    def __init__(
        self,
        folder: TileFolder,
        checkpoint: Checkpoint,
        source: TileSource | None = None,
        source_size: int = 0,
        tell: Tell = _silently,
    ) -> None:
        self._folder = folder
        self._size = checkpoint.size
        self._root = checkpoint.root
        self._source = source
        self._source_size = source_size
        self._tell = tell

    async def damages(self) -> AsyncIterator[Damage]:
        """Every bad file, as it is found (and repaired). Raises UserError when one can't be written."""
        for level, row in enumerate([each async for each in self._edge()]):
            tile = self._tile(level)
            if tile is None:
                continue
            if row.row is None:
                yield self._bad(tile, None, below=True)
                continue
            if not row.is_own:
                yield self._bad(tile, b"".join(row.row))
            async for damage in self._below(tile, row.row):
                yield damage

    def _tile(self, level: int) -> Tile | None:
        """The partial tile of a level, if it has one."""
        count = self._size >> HEIGHT * level
        return tile_at(level, count // WIDTH, self._size) if count % WIDTH else None

    async def _edge(self) -> AsyncIterator[_Found]:
        """The partial tiles' hashes, from level 0: those that together lead to the root."""
        tiles: list[Tile | None] = []
        while self._size >> HEIGHT * len(tiles):
            tiles.append(self._tile(len(tiles)))
        choices: list[list[Row]] = []
        own: list[Row | None] = []
        for tile in tiles:
            if tile is None:
                own.append(())
                choices.append([()])
                continue
            rows = [self._own(tile), self._from_below(tile), await self._from_source(tile)]
            own.append(rows[0])
            choices.append(list(dict.fromkeys(row for row in rows if row is not None)))
        for chosen in product(*choices):
            if Edge(self._size, (), chosen).root() == self._root:
                for row, mine in zip(chosen, own, strict=True):
                    yield _Found(row, row == mine)
                return
        for _ in tiles:
            yield _Found(None, is_own=False)

    async def _below(self, tile: Tile, row: Row) -> AsyncIterator[Damage]:
        """Everything under a tile whose hashes are known."""
        for damage in self._older(tile, row):
            yield damage
        if tile.level == 0:
            async for damage in self._bundle(Tile(ENTRIES, tile.index, tile.width), row):
                yield damage
            return
        for place, expected in enumerate(row):
            child = Tile(tile.level - 1, tile.index * WIDTH + place)
            found = await self._full(child, expected)
            if found.row is None:
                yield self._bad(child, None, below=True)
                continue
            if not found.is_own:
                yield self._bad(child, b"".join(found.row))
            async for damage in self._below(child, found.row):
                yield damage

    async def _full(self, tile: Tile, expected: bytes) -> _Found:
        """The hashes of a full tile, of which the root is known."""
        mine = self._own(tile)
        if mine is not None and root_of(mine) == expected:
            return _Found(mine, is_own=True)
        for row in (self._from_below(tile), await self._from_source(tile)):
            if row is not None and root_of(row) == expected:
                return _Found(row, is_own=False)
        return _Found(None, is_own=False)

    async def _bundle(self, tile: Tile, row: Row) -> AsyncIterator[Damage]:
        """Entries, of which every hash is known."""
        self._tell(tile.index * WIDTH + tile.width, self._size)
        mine = _leaves(self._read(tile), tile)
        if mine is None or _hashed(mine) != row:
            good = _leaves(await self._fetch(tile), tile)
            if good is None or _hashed(good) != row:
                yield self._bad(tile, None)
                return
            yield self._bad(tile, pack(good))
            mine = good
        for width, data in self._partials(tile):
            if data != pack(mine[:width]):
                yield self._bad(Tile(ENTRIES, tile.index, width), pack(mine[:width]))

    def _older(self, tile: Tile, row: Row) -> Iterator[Damage]:
        """Partial tiles of smaller sizes that are still there: readers of an older checkpoint get them."""
        for width, data in self._partials(tile):
            if data != b"".join(row[:width]):
                yield self._bad(Tile(tile.level, tile.index, width), b"".join(row[:width]))

    def _partials(self, tile: Tile) -> Iterator[tuple[int, bytes | None]]:
        """Narrower files of the same tile, with their widths."""
        folder = self._folder.path / (Tile(tile.level, tile.index).path() + ".p")
        if not folder.is_dir():
            return
        for path in sorted(folder.iterdir()):
            width = int(path.name) if path.name.isascii() and path.name.isdecimal() else 0
            narrow = Tile(tile.level, tile.index, width)
            if 0 < width < tile.width and Tile.parse(narrow.path()) == narrow and path.name == str(width):
                yield width, self._folder.read(narrow.path())

    # Where hashes come from

    def _own(self, tile: Tile) -> Row | None:
        return _row(self._read(tile), tile)

    def _from_below(self, tile: Tile) -> Row | None:
        """What the folder's tiles one level down, or its entries, make a tile's hashes to be."""
        if tile.level == 0:
            leaves = _leaves(self._read(Tile(ENTRIES, tile.index, tile.width)), tile)
            return None if leaves is None else _hashed(leaves)
        rows = [self._own(Tile(tile.level - 1, tile.index * WIDTH + place)) for place in range(tile.width)]
        return tuple([root_of(row) for row in rows if row]) if all(rows) else None

    async def _from_source(self, tile: Tile) -> Row | None:
        return _row(await self._fetch(tile), tile)

    def _read(self, tile: Tile) -> bytes | None:
        data = self._folder.read(tile.path())
        if data is None and not tile.full:
            # The full one is there for good, and begins with it.
            data = _narrowed(self._folder.read(Tile(tile.level, tile.index).path()), tile)
        return data

    async def _fetch(self, tile: Tile) -> bytes | None:
        if self._source is None:
            return None
        try:
            data = await self._source.read(tile.path())
            for wider in self._wider(tile):
                data = data or _narrowed(await self._source.read(wider.path()), tile)
        except MalformedMessage:
            return None
        return data

    def _wider(self, tile: Tile) -> Iterator[Tile]:
        """The other files of a source that begin with a partial tile."""
        count = (self._source_size >> HEIGHT * max(tile.level, 0)) - WIDTH * tile.index
        if tile.width < count < WIDTH:
            yield Tile(tile.level, tile.index, count)
        if not tile.full:
            yield Tile(tile.level, tile.index)

    def _bad(self, tile: Tile, good: bytes | None, *, below: bool = False) -> Damage:
        """Report a file, and put it right where that is wanted and possible."""
        path = self._folder.path / tile.path()
        is_missing = not path.exists()
        is_repaired = self._source is not None and good is not None
        if is_repaired and good is not None:
            self._folder.write([File(tile, good)])
        return Damage(tile.path(), is_missing, is_repaired, below)


def _narrowed(full: bytes | None, tile: Tile) -> bytes | None:
    """A partial tile's bytes from those of the full one. Raises nothing."""
    if full is None or tile.level != ENTRIES:
        return full and full[: HASH_BYTES * tile.width]
    try:
        return pack(unpack(full, WIDTH)[: tile.width])
    except MalformedMessage:
        return None


def _row(data: bytes | None, tile: Tile) -> Row | None:
    """The hashes in a tile's bytes; None when there aren't exactly as many as it has."""
    if data is None or len(data) != HASH_BYTES * tile.width:
        return None
    return tuple(hashes_of(data))


def _leaves(data: bytes | None, tile: Tile) -> list[bytes] | None:
    """The same of a bundle."""
    try:
        leaves = unpack(data or b"", WIDTH)
    except MalformedMessage:
        return None
    return leaves if len(leaves) == tile.width else None


def _hashed(leaves: Sequence[bytes]) -> Row:
    return tuple([leaf_hash(leaf) for leaf in leaves])
