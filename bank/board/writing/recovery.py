"""
A board's database, made again from its log's folder alone, which a mirror may have filled.

Everything is read and hashed, from the first leaf on: the rounds, totals and coin index follow from the
leaves, and the leaves must lead to the checkpoint. The new database counts only once it is whole.

What only the database had is lost: entries that waited for a round, and the bank's next group. The bank has
kept what it fed since the newest round that it read, and says itself where to go on.

Source: docs/spec/board.md, section 8.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from bank.board.claims import index
from bank.board.log.checkpoint import Checkpoint, open_checkpoint
from bank.board.log.folder import TileFolder
from bank.board.log.note import Note, VerifierKey
from bank.board.log.tiles import ENTRIES, HEIGHT, WIDTH, Edge, File, tile_at
from bank.board.rounds import check_round, is_mark
from bank.board.writing import bank_keys, journal, notable
from bank.board.writing.coins import CoinIndex
from bank.board.writing.journal import GENESIS, ClosedRound
from bank.board.writing.store import open_board
from bank.formats.entry import check_entry
from mixmint.errors import FatalError, MalformedMessage, PeerError, UserError

_COMMIT_LEAVES = 50_000
"""So many leaves a transaction: a crash costs the whole work anyway."""

Progress = Callable[[int, int], None]
"""Told how many leaves are done, and of how many."""


def recover(path: Path, folder: TileFolder, log: VerifierKey, progress: Progress) -> ClosedRound:
    """
    Make ``path`` from the log in ``folder``; the newest round. Files of hashes that are missing or wrong are
    written again. Blocking; about 20 us for each leaf.

    Raises UserError (there is a database already, or part of one, or no log, or a board runs on it),
    FatalError (the log isn't this board's, or its entries don't lead to its checkpoint).
    """
    lock = folder.lock()
    try:
        return _recover(path, folder, log, progress)
    finally:
        os.close(lock)


def _recover(path: Path, folder: TileFolder, log: VerifierKey, progress: Progress) -> ClosedRound:
    if path.exists():
        raise UserError(f"{path} exists; move it away first, if it is damaged or older than the log")
    for beside in (path.with_name(path.name + suffix) for suffix in ("-wal", "-journal")):
        # SQLite would put the old database's last transactions into the new one.
        if beside.exists():
            raise UserError(f"{beside} belongs to the database that was here; move it to where that one is")
    note, checkpoint = newest_in(folder, log)
    fresh = path.with_name(path.name + ".new")
    _remove(fresh)
    connection = open_board(fresh)
    try:
        rebuild = _Rebuild(connection, folder, checkpoint, progress)
        newest = rebuild.run()
        rebuild.mend()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE head SET round = ?, note = ?", (newest.number, note.encode()))
        connection.execute("UPDATE feed SET next_group = 0, round = ?", (newest.number,))
        connection.execute("COMMIT")
        # One file, and nothing beside it, can be put in place by one rename.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
    except BaseException:
        connection.close()
        _remove(fresh)
        raise
    connection.close()
    fresh.rename(path)
    return newest


def newest_in(folder: TileFolder, log: VerifierKey) -> tuple[Note, Checkpoint]:
    """The checkpoint in a folder, once it is known to be this board's. Raises UserError, FatalError."""
    note = folder.checkpoint()
    if note is None:
        raise UserError(f"{folder.path} has no log; fill it from a mirror: mixmint board mirror")
    try:
        checkpoint = open_checkpoint(note, log)
    except PeerError:
        raise FatalError(
            f"{folder.path / 'checkpoint'} is not signed by this board's key as {log.name}; check log_path, "
            "key_path and origin"
        ) from None
    return note, checkpoint


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class _Rebuild:
    """One pass over the log."""

    def __init__(
        self, connection: sqlite3.Connection, folder: TileFolder, checkpoint: Checkpoint, progress: Progress
    ) -> None:
        self._connection = connection
        self._folder = folder
        self._checkpoint = checkpoint
        self._progress = progress
        self._index = CoinIndex(lambda first, stop: folder.entries(first, stop, checkpoint.size))
        self._edge = Edge()
        self._newest = GENESIS

    def run(self) -> ClosedRound:
        """The newest round. Raises FatalError."""
        size = self._checkpoint.size
        leaves: list[bytes] = []
        done = 0
        self._connection.execute("BEGIN IMMEDIATE")
        for first, bundle in self._folder.entries(0, size, size):
            for leaf in bundle:
                leaves.append(leaf)
                if is_mark(leaf):
                    self._close(leaves)
                    leaves = []
            if first - done > _COMMIT_LEAVES:
                self._connection.execute("COMMIT")
                self._connection.execute("BEGIN IMMEDIATE")
                done = first
            self._progress(first + len(bundle), size)
        if leaves or (self._edge.size, self._edge.root()) != (size, self._checkpoint.root):
            raise FatalError(
                f"the entries in {self._folder.path} don't lead to its checkpoint; run: mixmint board repair"
            )
        self._connection.execute("COMMIT")
        return self._newest

    def mend(self) -> None:
        """Write files of hashes again that are missing or wrong; the entries are known to be right by now."""
        edge = Edge()
        for _, bundle in self._folder.entries(0, self._edge.size, self._edge.size):
            edge, files = edge.grow(bundle)
            self._folder.write(self._wrong([file for file in files if file.tile.full]))
        self._folder.write(self._wrong(_partial_tiles(edge)))

    def _close(self, leaves: list[bytes]) -> None:
        number, first = self._newest.number + 1, self._edge.size
        try:
            for leaf in leaves:
                check_entry(leaf)
            mark = check_round(leaves, number, first, self._newest.closed_at_s)
        except MalformedMessage as error:
            raise FatalError(
                f"round {number} in {self._folder.path} is damaged ({error.reason}); run mixmint board repair"
            ) from None
        self._edge, _ = self._edge.grow(leaves)
        added = self._index.add_round(self._connection, number, first, leaves[:-1])
        totals = self._newest.totals.plus(added)
        index.note_changes(self._connection, number, leaves)
        void = bank_keys.voided_by(self._connection, number, first, leaves)
        totals = totals.plus(self._index.void(self._connection, first, leaves, void))
        root = self._edge.root()
        self._newest = ClosedRound(number, first, len(leaves) - 1, root, mark.closed_at_s, totals)
        journal.insert_round(self._connection, self._newest)
        notable.add_round(self._connection, number, first, leaves)

    def _wrong(self, files: list[File]) -> list[File]:
        """Those of the hash tiles that aren't there as they must be: a whole folder stays untouched."""
        hashes = [file for file in files if file.tile.level != ENTRIES]
        return [file for file in hashes if self._folder.read(file.tile.path()) != file.data]


def _partial_tiles(edge: Edge) -> list[File]:
    """The hash tiles at the edge."""
    return [
        File(tile_at(level, (edge.size >> HEIGHT * level) // WIDTH, edge.size), b"".join(hashes))
        for level, hashes in enumerate(edge.levels)
        if hashes
    ]
