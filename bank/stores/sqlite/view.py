"""The bank's books in SQLite, read: on a connection of its own, or as part of a transaction that writes."""

import sqlite3
from collections.abc import Generator
from contextlib import closing
from typing import Any

from bank.stores.reading import Reading


class SqliteView(Reading):
    """``bank.stores.interface.View`` on one connection, within a transaction that somebody else began."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._execute = connection.execute

    def rows(self, sql: str, *arguments: object) -> list[Any]:
        return self._execute(sql.replace("$", "?"), arguments).fetchall()

    def outbox(self, group: int) -> Generator[tuple[int, bytes]]:
        # Rows are in order of both columns, and only the first has an index.
        rows = self._execute(
            "SELECT first, batch FROM outbox WHERE next > ?1 AND first >="
            " coalesce((SELECT max(first) FROM outbox WHERE first <= ?1), 0) ORDER BY first",
            (group,),
        )
        with closing(rows):
            yield from rows
