"""
Moving the write-ahead log into the database file, beside the writer instead of inside one of its commits.

SQLite by itself does this in whichever commit passes 1,000 pages, and that round then waits for thousands
of scattered writes. Here a thread of its own does it. Nothing depends on when: an uncopied log is as durable
as a copied one.
"""

import sqlite3
import threading
from pathlib import Path

_EVERY_S = 1.0
_LONGEST_LOG_PAGES = 16_384
"""A writer that never pauses never lets a passive pass reach the end. Past this length (64 MiB) it must
wait once, for the short rest of a pass; then the log begins at its front again, in the same disk blocks."""


class Checkpointer:
    """Runs from construction until ``close``. The writer's connection must have automatic passes off."""

    def __init__(self, path: Path, *, every_s: float = _EVERY_S) -> None:
        self._path = path
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop after the pass in hand. Closing the last connection does the final pass by itself."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=5)
        try:
            while not self._stop.wait(self._every_s):
                self._pass(connection)
        finally:
            connection.close()

    def _pass(self, connection: sqlite3.Connection) -> None:
        try:
            _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages > _LONGEST_LOG_PAGES:
                connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        except sqlite3.OperationalError:
            # A full disk: the writer's next commit tells the operator; this only tries again.
            return
