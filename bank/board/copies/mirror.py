"""
A copy of a log: the same files in a folder of one's own, each of them proved before it counts.

    checkpoint, tile/...    as the board serves them: for any web server, and for recovering a lost board
    .copying                how far a copy under way has come; gone when it is done

Only entries are fetched, and the few hashes that prove them. Every tile is made here, and leads to the root
that the board signed, or nothing is kept. Files are written first, the checkpoint last; so a copy that was
killed anywhere shows the log that it had, whole, and the next one goes on behind the full tiles that
``.copying`` vouches for.

A mirror knows leaves, and nothing of coins: it copies any log of C2SP tlog-tiles whose entries it can hold.

Source: docs/spec/log.md; docs/operators-guide.md, "Mirrors".
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass

from bank.board.log.checkpoint import open_checkpoint
from bank.board.log.folder import TileFolder
from bank.board.log.note import Note
from bank.board.log.policy import NO_POLICY
from bank.board.log.reader import LogReader, Published, open_published
from bank.board.log.tiles import ENTRIES, HEIGHT, WIDTH, Edge, File, Tile, hashes_of, tile_at
from bank.board.log.tree import Frontier, extends, root_of
from bank.board.reading.client import check_growth, newest
from bank.formats.fields import Reader
from mixmint.errors import FatalError, MalformedMessage, PeerError, UserError

_AT_ONCE = 8
"""Bundles asked for at a time: quick over a long way, and no burden for a small board."""
_CHUNKS_A_MARK = 16
"""How often ``.copying`` is written: what a kill costs is at most so many chunks of 2,048 entries."""
_MARK = ".copying"

Tell = Callable[[int, int], None]
"""Called with how many entries are there, and how many there will be."""


def _silently(_: int, __: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy came to: the log's size before and now, and its root."""

    before: int
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class _Begun:
    """A copy under way: what is proved of it so far, and the checkpoint that it was proved under."""

    frontier: Frontier
    note: Note

    def encode(self) -> bytes:
        frontier = self.frontier.encode()
        return len(frontier).to_bytes(2) + frontier + self.note.encode()

    @classmethod
    def decode(cls, data: bytes) -> "_Begun":
        """Raises MalformedMessage."""
        reader = Reader(data)
        frontier = Frontier.decode(reader.take(reader.number(2)))
        return cls(frontier, Note.decode(reader.rest()))


class Mirror:
    """Copies one log into one folder. ``tell`` is told how far it is."""

    def __init__(self, log: LogReader, folder: TileFolder, tell: Tell = _silently) -> None:
        self._log = log
        self._folder = folder
        self._tell = tell
        self._edge: Edge | None = None

    async def copy(self) -> Copied:
        """
        Bring the folder to the log's newest checkpoint.

        Raises Unavailable (try again later), ForkedLog (the folder stays as it is), PeerError (the source's
        files don't lead to its checkpoint), UserError (the folder is damaged, or the disk is full).
        """
        published = await newest(self._log)
        held = await asyncio.to_thread(self._held)
        before = held.checkpoint.size if held else 0
        if held is not None:
            await check_growth(self._log, held.note, published)
            if published.checkpoint == held.checkpoint and _cosigned(held) >= _cosigned(published):
                await asyncio.to_thread(self._tidy, before)
                return Copied(before, before, held.checkpoint.root)
        if self._edge is None or self._edge.size < before:
            begun = await asyncio.to_thread(self._begun)
            if begun is not None:
                await check_growth(self._log, begun.note, published)
            self._edge = await asyncio.to_thread(self._begin, held, begun)
        await self._fetch(published)
        await asyncio.to_thread(self._finish, before, self._edge, published.note)
        return Copied(before, published.checkpoint.size, published.checkpoint.root)

    async def _fetch(self, published: Published) -> None:
        """Entries, chunk by chunk, until the edge is the checkpoint's."""
        size, root = published.checkpoint.size, published.checkpoint.root
        edge = self._edge or Edge()
        chunks = 0
        while edge.size < size:
            self._tell(edge.size, size)
            grown, files = edge.grow(await self._chunk(edge.size, size))
            right = await self._log.right(grown.size, size)
            if not extends(grown.frontier(), size, root, right):
                self._log.forget()
                raise PeerError(
                    "tile", f"entries {edge.size} to {grown.size - 1} don't lead to the board's checkpoint"
                )
            await asyncio.to_thread(self._folder.write, [file for file in files if file.tile.full])
            self._edge = edge = grown
            chunks += 1
            if chunks % _CHUNKS_A_MARK == 0 and edge.size % WIDTH == 0:
                await asyncio.to_thread(self._mark, _Begun(edge.frontier(), published.note))
        if edge.root() != root:
            raise PeerError("tile", "the entries don't lead to the board's checkpoint")
        self._tell(size, size)

    async def _chunk(self, first: int, size: int) -> list[bytes]:
        """The next leaves, up to the end of a bundle."""
        parts: list[Coroutine[None, None, list[bytes]]] = []
        while first < size and len(parts) < _AT_ONCE:
            stop = min(size, (first // WIDTH + 1) * WIDTH)
            parts.append(self._part(first, stop, size))
            first = stop
        return [leaf for part in await asyncio.gather(*parts) for leaf in part]

    async def _part(self, first: int, stop: int, size: int) -> list[bytes]:
        return [leaf async for _, part in self._log.bundles(first, stop, size) for leaf in part]

    def _held(self) -> Published | None:
        """
        What the folder shows. Raises UserError when that isn't this log, or nobody's.

        Cosignatures aren't asked for here: a policy may be raised later, and growth is proved.
        """
        try:
            note = self._folder.checkpoint()
            return None if note is None else open_published(note, self._log.log, NO_POLICY)
        except FatalError as error:
            raise UserError(str(error)) from None
        except PeerError as error:
            raise UserError(
                f"{self._folder.path}/checkpoint isn't one of {self._log.log.name} ({error}); a folder holds "
                "one log: choose another, or repair this one"
            ) from None

    def _begun(self) -> _Begun | None:
        data = self._folder.read(_MARK)
        try:
            begun = None if data is None else _Begun.decode(data)
            if begun is not None:
                open_checkpoint(begun.note, self._log.log)
        except PeerError:
            return None
        return begun

    def _mark(self, begun: _Begun) -> None:
        self._folder.put(_MARK, begun.encode())

    def _begin(self, held: Published | None, begun: _Begun | None) -> Edge:
        """Where to go on: as far as the files bear out what was proved before."""
        size = held.checkpoint.size if held else 0
        if begun is not None and begun.frontier.size > size:
            try:
                edge = edge_of_full(self._folder, begun.frontier.size)
            except (FatalError, MalformedMessage):
                edge = Edge()
            if edge.frontier() == begun.frontier:
                return edge
        if held is None:
            return Edge()
        try:
            edge = self._folder.edge(size)
        except (FatalError, MalformedMessage):
            edge = Edge()
        if edge.root() != held.checkpoint.root:
            path = self._folder.path
            raise UserError(f"{path} is damaged; `mixmint board verify {path}` says where")
        return edge

    def _finish(self, before: int, edge: Edge, note: Note) -> None:
        """The partial tiles, then the checkpoint: from here on it counts. What is left is tidying."""
        self._folder.write(partial_files(edge))
        self._folder.publish(note)
        self._folder.clean(before, edge.size)
        (self._folder.path / _MARK).unlink(missing_ok=True)

    def _tidy(self, size: int) -> None:
        """What a copy that was killed at its very end left over."""
        if (self._folder.path / _MARK).exists():
            self._folder.clean(0, size)
            (self._folder.path / _MARK).unlink()


def _cosigned(published: Published) -> int:
    return len(published.note.signatures)


def partial_files(edge: Edge) -> Iterator[File]:
    """The partial tiles of a log, from its edge."""
    if edge.entries:
        yield File(tile_at(ENTRIES, edge.size // WIDTH, edge.size), b"".join(edge.entries))
    for level, hashes in enumerate(edge.levels):
        if hashes:
            index = (edge.size >> HEIGHT * level) // WIDTH
            yield File(Tile(level, index, len(hashes)), b"".join(hashes))


def edge_of_full(folder: TileFolder, size: int) -> Edge:
    """
    The edge of a log of ``size`` leaves, full bundles all, from its full tiles alone.

    Raises FatalError, MalformedMessage when one of them is missing or damaged.
    """
    if size % WIDTH:
        raise MalformedMessage("length")
    levels: list[tuple[bytes, ...]] = [()] if size else []
    count = size // WIDTH
    while count:
        index, width = divmod(count, WIDTH)
        level = len(levels) - 1
        below = [Tile(level, index * WIDTH + place) for place in range(width)]
        levels.append(tuple([root_of(hashes_of(folder.tile(tile))) for tile in below]))
        count = index
    return Edge(size, (), tuple(levels))
