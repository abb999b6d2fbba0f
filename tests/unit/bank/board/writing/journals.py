"""A database and files, written in transactions as store and publisher make them; a reader checks them."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from bank.board.feed import Batch
from bank.board.log.folder import TileFolder
from bank.board.log.tree import leaf_hash, root_of
from bank.board.rounds import check_round, is_mark
from bank.board.totals import Totals
from bank.board.writing import journal as written
from bank.board.writing.coins import CoinIndex
from bank.board.writing.journal import MIGRATIONS, Sequenced, Taken
from mixmint.database import open_database

NOTE = b"a note"
T = TypeVar("T")


class Journal:
    """A database and files, with transactions as store and publisher make them."""

    def __init__(self, folder: Path, round_entries: int = 1000) -> None:
        folder.mkdir(exist_ok=True)
        self.connection = open_database(folder / "board.db", MIGRATIONS, durable=False)
        self.folder = TileFolder(folder / "log")
        self.round_entries = round_entries
        self.index = CoinIndex(lambda first, stop: self.folder.entries(first, stop, stop))
        self.index.load(self.connection, self.head.number, self.head.size)

    @property
    def head(self) -> written.ClosedRound:
        return written.head(self.connection)[0]

    def take(self, first: int, groups: Sequence[Sequence[bytes]]) -> Taken:
        batch = Batch(first, groups)
        return self.run(lambda db: written.take_batch(db, batch, self.round_entries, self.head.number))

    def sequence(self, now_s: float = 200.0) -> Sequenced:
        return self.run(lambda db: self._sequence(db, now_s))

    def _sequence(self, db: sqlite3.Connection, now_s: float) -> Sequenced:
        edge_at = lambda closed: self.folder.edge(closed.size)  # noqa: E731 - as short as it is
        return written.sequence(db, self.index, edge_at, self.head.number, now_s)

    def close_round(self, now_s: float = 200.0) -> None:
        sequenced = self.sequence(now_s)
        self.folder.write(sequenced.files)
        self.run(lambda db: written.commit(db, sequenced.closed, NOTE))

    def fail_to_sequence(self) -> None:
        """As when the disk is full at COMMIT: all was done, and nothing of it lasts."""
        self.connection.execute("BEGIN IMMEDIATE")
        self._sequence(self.connection, 300.0)
        self.connection.execute("ROLLBACK")

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(self.connection)
        except BaseException:
            # SQLite ends the transaction itself when the disk is full.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        return result

    def rounds(self) -> list[list[bytes]]:
        """Every round's entries, after all checks that a reader makes, and some more."""
        head, found, leaves, first, closed_s = self.head, [], [], 0, 0
        for _, part in self.folder.entries(0, head.size, head.size):
            for leaf in part:
                leaves.append(leaf)
                if is_mark(leaf):
                    found.append(leaves[first:])
                    mark = check_round(found[-1], len(found), first, closed_s)
                    row = self.connection.execute("SELECT * FROM rounds WHERE round = ?", (len(found),))
                    closed = written.read_round(row.fetchone())
                    assert (closed.first, closed.size, closed.closed_at_s) == (
                        first,
                        len(leaves),
                        mark.closed_at_s,
                    )
                    assert closed.root == root_of([leaf_hash(leaf) for leaf in leaves])
                    first, closed_s = len(leaves), mark.closed_at_s
        assert first == head.size
        return [entries[:-1] for entries in found]

    def find(self, coin: bytes) -> list[int]:
        return self.index.find(self.connection, coin)

    @property
    def totals(self) -> Totals:
        return self.head.totals
