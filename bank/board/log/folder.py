"""
A log's files in a folder: written durably, one by one under their final names, never changed afterwards.

    <folder>/checkpoint                     the newest published one, replaced by rename
    <folder>/tile/<level>/<tile>[.p/<n>]    hashes
    <folder>/tile/entries/<n>[.p/<n>]       entries

Any web server can serve the folder as it is. Only the checkpoint makes a tile count: files of a size that was
never published may stand there after a crash, and will be written again with the same bytes.
"""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from pathlib import Path

from bank.board.log.note import Note
from bank.board.log.source import CHECKPOINT, most_bytes
from bank.board.log.tiles import (
    ENTRIES,
    WIDTH,
    Edge,
    File,
    Tile,
    hashes_of,
    new_tiles,
    place_of,
    tile_at,
    unpack,
)
from bank.board.log.tree import Node
from mixmint.errors import FatalError, MalformedMessage, UserError

_TEMPORARY = ".new"


class TileFolder:
    """The files below one folder. Blocking: call it from a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lock(self) -> int:
        """
        Keep other boards out until the descriptor that this returns is closed, or the process ends.

        Two that write one log overwrite each other's unfinished files. Raises UserError.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise UserError(f"can't use the log's folder {self.path}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise UserError(f"another board runs on {self.path}; stop it first") from None
        return descriptor

    def write(self, files: Iterable[File], pool: Executor | None = None) -> None:
        """
        Write tiles; they survive a power cut when this returns. Writing the same again is harmless.

        ``pool``: threads to write in. A dozen files that wait together are synced in little more than the
        time of one. Raises UserError when the disk is full or the folder can't be written.
        """
        each = pool.map if pool else map
        try:
            wanted = [(self.path / file.tile.path(), file.data) for file in files]
            folders = {path.parent for path, _ in wanted}
            changed = folders.union(*(_make_folder(folder) for folder in folders))
            list(each(_write_beside, wanted))
            for path, _ in wanted:
                _beside(path).replace(path)
            list(each(_sync, changed))
        except OSError as error:
            raise UserError(f"can't write the log in {self.path}: {error.strerror}") from None

    def publish(self, note: Note) -> None:
        """Replace the checkpoint, durably: readers see the old one or the new one. Raises UserError."""
        self.put(CHECKPOINT, note.encode())

    def put(self, name: str, data: bytes) -> None:
        """Replace a file in the folder itself, durably and at once. Raises UserError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            _write_beside((self.path / name, data))
            _beside(self.path / name).replace(self.path / name)
            _sync(self.path)
        except OSError as error:
            raise UserError(f"can't write {self.path / name}: {error.strerror}") from None

    def checkpoint(self) -> Note | None:
        """The published note, unchecked; None when there is none yet. Raises FatalError: it is no note."""
        data = self.read(CHECKPOINT)
        try:
            if data is not None:
                return Note.decode(data)
            if not (self.path / CHECKPOINT).exists():
                return None
            # Too long to be read isn't "never published": a board that began anew would fork its log.
            raise MalformedMessage("note")
        except MalformedMessage:
            raise FatalError(f"{self.path / CHECKPOINT} is damaged; take it from a mirror") from None

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None when there is none, or it is longer than its kind can be. Raises UserError."""
        try:
            data = (self.path / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UserError(f"can't read {self.path / path}: {error.strerror}") from None
        return data if len(data) <= most_bytes(path) else None

    def tile(self, tile: Tile) -> bytes:
        """
        A tile's bytes; of a partial one also from the full one that replaced it.

        Raises FatalError, which names the file, when it isn't there or has another length.
        """
        data = self.read(tile.path())
        if data is None and not tile.full:
            data = self.read(Tile(tile.level, tile.index).path())
        if data is not None:
            try:
                cut = _first(tile, data)
            except MalformedMessage:
                cut = None
            if cut is not None:
                return cut
        raise FatalError(f"{self.path / tile.path()} is missing or damaged; repair it from a mirror")

    def node(self, node: Node, size: int) -> bytes:
        """The hash of a full subtree of the log of ``size`` leaves. Raises FatalError."""
        place = place_of(node, size)
        return place.read(self.tile(place.tile))

    def entries(self, first: int, stop: int, size: int) -> Iterator[tuple[int, list[bytes]]]:
        """Entries first .. stop - 1 of a log of ``size`` leaves, bundle by bundle, with its first index."""
        at = first
        while at < stop:
            bundle = unpack(self.tile(tile_at(ENTRIES, at // WIDTH, size)))
            start = at % WIDTH
            part = bundle[start : start + stop - at]
            yield at, part
            at += len(part)

    def edge(self, size: int) -> Edge:
        """What stands in the partial tiles of the log of ``size`` leaves. Raises FatalError."""
        if not size:
            return Edge()
        entries: tuple[bytes, ...] = ()
        if size % WIDTH:
            bundle = unpack(self.tile(tile_at(ENTRIES, size // WIDTH, size)))
            entries = tuple(len(entry).to_bytes(2) + entry for entry in bundle)
        levels: list[tuple[bytes, ...]] = []
        count = size
        while count:
            index, width = divmod(count, WIDTH)
            tile = Tile(len(levels), index, width)
            levels.append(tuple(hashes_of(self.tile(tile))) if width else ())
            count = index
        return Edge(size, entries, tuple(levels))

    def clean(self, old: int, new: int) -> None:
        """Remove the partial tiles that full ones replace, once ``new`` is published instead of ``old``."""
        for tile in new_tiles(old, new):
            if tile.full:
                shutil.rmtree(self.path / (tile.path() + ".p"), ignore_errors=True)


def _first(tile: Tile, data: bytes) -> bytes | None:
    """A tile's own part of the file that it was found in; None when that is too short."""
    if tile.level != ENTRIES:
        part = data[: 32 * tile.width]
        return part if len(part) == 32 * tile.width else None
    entries = unpack(data, WIDTH)
    if len(entries) == tile.width:
        return data
    if len(entries) < tile.width:
        return None
    return data[: sum(2 + len(entry) for entry in entries[: tile.width])]


def _beside(path: Path) -> Path:
    """Where a file is made, so that under its final name it is whole, or not there."""
    return path.with_name(path.name + _TEMPORARY)


def _write_beside(wanted: tuple[Path, bytes]) -> None:
    path, data = wanted
    with _beside(path).open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _make_folder(folder: Path) -> set[Path]:
    """Make a folder and its parents; those whose lists of names changed."""
    missing: list[Path] = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
    return {each.parent for each in missing}


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
