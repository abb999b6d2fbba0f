"""The bank's books in PostgreSQL, read: each question is answered from what was read, or asks for it."""

from collections.abc import Generator
from typing import Any

from bank.ledger.book import Account
from bank.stores.postgres.known import Known, NotRead, Wants
from bank.stores.reading import Reading

_FIRST_ROWS = 16
"""Of the outbox, read at a time at first; then twice as many each time: the rules run again each time."""


class PostgresView(Reading):
    """``bank.stores.interface.View`` over what was read. Any method may raise NotRead."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def rows(self, sql: str, *arguments: object) -> list[Any]:
        rows = self._known.queries.get((sql, arguments))
        if rows is None:
            raise NotRead(Wants(queries=[(sql, arguments)]))
        return rows

    def outbox(self, group: int) -> Generator[tuple[int, bytes]]:
        sql = "SELECT first, next, batch FROM outbox WHERE first >= $1 ORDER BY first LIMIT $2"
        ((first,),) = self.rows("SELECT coalesce(max(first), 0) FROM outbox WHERE first <= $1", group)
        most = _FIRST_ROWS
        while True:
            rows = self.rows(sql, first, most)
            for found, following, batch in rows:
                if following > group:
                    yield found, batch
                first = found + 1
            if len(rows) < most:
                return
            most *= 2

    def account(self, key: bytes) -> Account | None:
        accounts = self._known.accounts
        if key not in accounts:
            raise NotRead(Wants(accounts={key}))
        return accounts[key]
