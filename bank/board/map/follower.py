"""
The map's files follow the log's: read what is new, merge it, forget what nobody asks for any more.

Everything here is derived. A file that is missing, torn, rotten or of another log is made again, from an
older one or from the log's first leaf, by the same steps that make the next one; each step leaves a whole
file behind, so a process that is killed on the way goes on where it was.

Source: docs/spec/map.md, section 4.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from bank.board.log.folder import TileFolder
from bank.board.log.tiles import WIDTH, hashes_of, tile_at
from bank.board.log.tree import frontier_of, leaf_hash
from bank.board.map.file import TEMPORARY, DamagedMap, MapFile, MapRoot, at_once, files_in, merge
from bank.board.map.proof import MapProof
from bank.board.map.states import Changes, collect
from mixmint.errors import FatalError, UserError

STEP_LEAVES = 1 << 18
"""Read before a file is written: about 50 MB of changes, and half a second."""
GENTLE_LEAVES = STEP_LEAVES // 2
"""A step of fewer leaves may take its time: it isn't behind."""
_MOST_DAMAGED = 8

_log = logging.getLogger("bank.board.map")


class Follower:
    """
    The map of one log. Blocking; one at a time for a folder.

    ``folder`` is made if it isn't there. ``log``: files up to every size that is asked for are on disk.
    ``rest``: called between the pieces of a small step, which may take its time.
    """

    def __init__(
        self,
        folder: Path,
        log: TileFolder,
        *,
        step_leaves: int = STEP_LEAVES,
        rest: Callable[[], None] = at_once,
    ) -> None:
        """Raises UserError when the folder can't be used."""
        self._folder = folder
        self._log = log
        self._step_leaves = step_leaves
        self._rest = rest
        self._open: dict[int, MapFile] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for torn in folder.glob("*" + TEMPORARY):
                torn.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"can't use the map's folder {folder}: {error.strerror}") from None

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()

    def step(self, target: int, published: int) -> MapRoot:
        """
        Bring the map forward, to ``target`` leaves or as far as one step goes: the root that it then has.

        ``published``: the size whose proofs are asked for meanwhile; its file stays, older ones are removed.
        Raises UserError (the disk is full), FatalError (the log is damaged; names the file).
        """
        for _ in range(_MOST_DAMAGED):
            base = self._newest(target)
            try:
                made = base if base and base.size == target else self._grow(base, target)
            except DamagedMap as damaged:
                self._remove(damaged.size)
                continue
            self._tidy({published, made.size}, target)
            return made.root
        raise UserError(f"the files in {self._folder} don't stay as they were written; check the disk")

    def prove(self, size: int, coin: bytes) -> MapProof | None:
        """
        What the map at ``size`` says of a coin; None when there is no file for it: make steps first.

        Raises FatalError (the log is damaged).
        """
        file = self._file(size, size)
        try:
            return file.prove(coin) if file else None
        except DamagedMap:
            self._remove(size)
            return None

    def _grow(self, base: MapFile | None, target: int) -> MapFile:
        start = base.size if base else 0
        stop = min(target, start + self._step_leaves)
        rest = self._rest if stop - start <= GENTLE_LEAVES else at_once
        changes: Changes = {}
        for first, entries in self._log.entries(start, stop, target):
            self._check_leaves(first, entries, target)
            collect(entries, changes)
            rest()
        made = merge(base, changes, stop, self._log_root(stop, target), self._folder, rest)
        self._open[stop] = made
        return made

    def _check_leaves(self, first: int, entries: list[bytes], size: int) -> None:
        """A bundle that rotted must not become a root that the board signs: the hashes beside it tell."""
        tile = tile_at(0, first // WIDTH, size)
        start = first % WIDTH
        hashes = hashes_of(self._log.tile(tile))[start : start + len(entries)]
        if [leaf_hash(entry) for entry in entries] != hashes:
            bundle = tile_at(-1, tile.index, size)
            raise FatalError(f"{bundle.path()} or {tile.path()} is damaged; repair it from a mirror")

    def _log_root(self, size: int, target: int) -> bytes:
        return frontier_of(size, lambda node: self._log.node(node, target)).root()

    def _newest(self, target: int) -> MapFile | None:
        """The newest whole file that isn't past ``target``."""
        for size in reversed(files_in(self._folder)):
            if size <= target and (file := self._file(size, target)) is not None:
                return file
        return None

    def _file(self, size: int, log_size: int) -> MapFile | None:
        """The file for a size, if it is whole and of this log; else it is removed."""
        if size in self._open:
            return self._open[size]
        try:
            file = MapFile(self._folder / str(size))
        except FileNotFoundError:
            return None
        except DamagedMap:
            self._remove(size)
            return None
        self._open[size] = file
        if file.log_root != self._log_root(size, log_size):
            self._remove(size)
            return None
        return file

    def _remove(self, size: int) -> None:
        _log.warning("the map's file %d is damaged or of another log; it is made again", size)
        self._forget(size)

    def _forget(self, size: int) -> None:
        if size in self._open:
            self._open.pop(size).close()
        (self._folder / str(size)).unlink(missing_ok=True)

    def _tidy(self, kept: set[int], target: int) -> None:
        """
        Remove the files that nobody needs. Newer ones than ``target`` stay: an old map may be made again
        for its proofs while the next one waits for its entry.
        """
        for size in files_in(self._folder):
            if size not in kept and size <= target:
                self._forget(size)
