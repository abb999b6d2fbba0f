"""The bank's books in PostgreSQL, read: each question is answered from what was read, or asks for it."""

from collections.abc import Generator
from typing import Any

from bank.board.feed import FeedReceipt
from bank.formats.account import Statement
from bank.formats.fields import Reader
from bank.formats.statement import Row, Tally
from bank.ledger.book import Account
from bank.stores.interface import KeptClaim, KeptReceipt, Retirement, State
from bank.stores.postgres.known import CHAIN, MOST_BIGINT, Known, NotRead, Wants

_FIRST_ROWS = 16
"""Of the outbox, read at a time at first; then twice as many each time: the rules run again each time."""
STATE = """
    SELECT next_group, newest_closed, confirmed_group, cursor, unnumbered, stated, stated_at, unstated,
        terms, retired, due, due_since, swept, sweep_key
    FROM state
"""


class PostgresView:
    """``bank.stores.interface.View`` over what was read. Any method may raise NotRead."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def rows(self, sql: str, *arguments: object) -> list[Any]:
        """What this query finds."""
        rows = self._known.queries.get((sql, arguments))
        if rows is None:
            raise NotRead(Wants(queries=[(sql, arguments)]))
        return rows

    def state(self) -> State:
        (row,) = self.rows(STATE)
        next_group, closed, confirmed, cursor, unnumbered, stated, stated_at, unstated = row[:8]
        return State(
            next_group, closed, confirmed, cursor, bool(unnumbered), stated, stated_at, bool(unstated)
        )

    def terms(self) -> bytes:
        ((*_, terms, _, _, _, _, _),) = self.rows(STATE)
        return bytes(terms)

    def retirement(self) -> Retirement:
        ((*_, retired, due, since, swept, _),) = self.rows(STATE)
        return Retirement(retired, due, since, swept)

    def claim_rounds(self) -> int:
        ((rounds,),) = self.rows("SELECT claim_rounds FROM state")
        return int(rounds)

    def open_claims(self, closed: int, most: int) -> list[KeptClaim]:
        rows = self.rows(
            "SELECT subject, round, body, closed_at_s FROM claim WHERE group_number IS NULL AND round <= $1"
            " ORDER BY due, round, subject LIMIT $2",
            *(closed, most),
        )
        return [KeptClaim(*row) for row in rows]

    def count_open_claims(self) -> tuple[int, int]:
        ((count, oldest),) = self.rows(
            "SELECT count(*), coalesce(min(round), 0) FROM claim WHERE group_number IS NULL"
        )
        return int(count), int(oldest)

    def owes_by(self, round_: int) -> bool:
        return bool(self.rows("SELECT 1 FROM claim WHERE due <= $1 LIMIT 1", round_))

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

    def receipts(self) -> list[KeptReceipt]:
        rows = self.rows(
            "SELECT first, groups, digest, next_group, round, newest_closed, signature FROM receipt"
            " ORDER BY next_group"
        )
        return [
            KeptReceipt(first, groups, digest, FeedReceipt(*receipt))
            for first, groups, digest, *receipt in rows
        ]

    def signed_for(self) -> int:
        ((group,),) = self.rows("SELECT coalesce(max(next_group), 0) FROM receipt")
        return int(group)

    def owed(self, group: int, closed: int) -> int:
        ((owed,),) = self.rows(
            "SELECT coalesce(max(receipt.next_group), 0) FROM receipt, state"
            " WHERE receipt.next_group <= $1 AND round <= least($2::bigint, state.newest_closed)",
            *(group, closed),
        )
        return int(owed)

    def account(self, key: bytes) -> Account | None:
        accounts = self._known.accounts
        if key not in accounts:
            raise NotRead(Wants(accounts={key}))
        return accounts[key]

    def statements(self, account: bytes, sequence: int, most: int) -> list[Statement]:
        rows = self.rows(CHAIN, account, min(sequence, MOST_BIGINT), most)
        return [Statement.read(Reader(body)) for (body,) in rows]

    def accounts(self) -> list[tuple[bytes, int, int]]:
        return [tuple(row) for row in self.rows("SELECT key, sequence, balance FROM account ORDER BY key")]

    def tallies(self, *, only_changed: bool = False) -> list[Row]:
        rows = self.rows(
            "SELECT exponent, epoch, withdrawn, exchanged, spent, deposited, replaced FROM tally"
            " WHERE changed >= $1 ORDER BY exponent, epoch",
            int(only_changed),
        )
        return [Row(exponent, epoch, Tally(*counts)) for exponent, epoch, *counts in rows]

    def accepted(self, account: bytes) -> bytes:
        rows = self.rows("SELECT request FROM accepted WHERE account = $1", account)
        return bytes(rows[0][0]) if rows else b""

    def unpublished(self, most: int) -> list[bytes]:
        return [key for (key,) in self.rows("SELECT key FROM account WHERE published = 0 LIMIT $1", most)]
