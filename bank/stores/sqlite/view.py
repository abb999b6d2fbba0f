"""The bank's books in SQLite, read: on a connection of its own, or as part of a transaction that writes."""

import sqlite3
from collections.abc import Generator
from contextlib import closing

from bank.board.feed import FeedReceipt
from bank.formats.account import Statement
from bank.formats.fields import Reader
from bank.formats.statement import Row, Tally
from bank.ledger.book import Account
from bank.stores.interface import KeptClaim, KeptReceipt, Retirement, State


class SqliteView:
    """``bank.stores.interface.View`` on one connection, within a transaction that somebody else began."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._execute = connection.execute

    def state(self) -> State:
        row = self._execute(
            "SELECT next_group, newest_closed, confirmed_group, cursor, unnumbered, stated, stated_at,"
            " unstated FROM state"
        ).fetchone()
        next_group, closed, confirmed, cursor, unnumbered, stated, stated_at, unstated = row
        return State(
            next_group, closed, confirmed, cursor, bool(unnumbered), stated, stated_at, bool(unstated)
        )

    def terms(self) -> bytes:
        (terms,) = self._execute("SELECT terms FROM state").fetchone()
        return bytes(terms)

    def retirement(self) -> Retirement:
        row = self._execute("SELECT retired, due, due_since, swept FROM state").fetchone()
        return Retirement(*row)

    def claim_rounds(self) -> int:
        (rounds,) = self._execute("SELECT claim_rounds FROM state").fetchone()
        return int(rounds)

    def open_claims(self, closed: int, most: int) -> list[KeptClaim]:
        rows = self._execute(
            "SELECT subject, round, body, closed_at_s FROM claim WHERE group_number IS NULL AND round <= ?"
            " ORDER BY due, round, subject LIMIT ?",
            (closed, most),
        )
        return [KeptClaim(*row) for row in rows]

    def count_open_claims(self) -> tuple[int, int]:
        row = self._execute(
            "SELECT count(*), coalesce(min(round), 0) FROM claim WHERE group_number IS NULL"
        ).fetchone()
        return int(row[0]), int(row[1])

    def owes_by(self, round_: int) -> bool:
        return self._execute("SELECT 1 FROM claim WHERE due <= ? LIMIT 1", (round_,)).fetchone() is not None

    def outbox(self, group: int) -> Generator[tuple[int, bytes]]:
        # Rows are in order of both columns, and only the first has an index.
        rows = self._execute(
            "SELECT first, batch FROM outbox WHERE next > ?1 AND first >="
            " coalesce((SELECT max(first) FROM outbox WHERE first <= ?1), 0) ORDER BY first",
            (group,),
        )
        with closing(rows):
            yield from rows

    def receipts(self) -> list[KeptReceipt]:
        rows = self._execute(
            "SELECT first, groups, digest, next_group, round, newest_closed, signature FROM receipt"
            " ORDER BY next_group"
        )
        return [
            KeptReceipt(first, groups, digest, FeedReceipt(*receipt))
            for first, groups, digest, *receipt in rows
        ]

    def signed_for(self) -> int:
        (group,) = self._execute("SELECT coalesce(max(next_group), 0) FROM receipt").fetchone()
        return int(group)

    def owed(self, group: int, closed: int) -> int:
        (owed,) = self._execute(
            "SELECT coalesce(max(receipt.next_group), 0) FROM receipt, state"
            " WHERE receipt.next_group <= ? AND round <= min(?, state.newest_closed)",
            (group, closed),
        ).fetchone()
        return int(owed)

    def account(self, key: bytes) -> Account | None:
        row = self._execute("SELECT sequence, balance, head FROM account WHERE key = ?", (key,)).fetchone()
        return None if row is None else Account._make(row)

    def statements(self, account: bytes, sequence: int, most: int) -> list[Statement]:
        rows = self._execute(
            "SELECT body FROM statement WHERE account = ? AND sequence >= ? ORDER BY sequence LIMIT ?",
            (account, min(sequence, 2**63 - 1), most),
        )
        return [Statement.read(Reader(body)) for (body,) in rows]

    def accounts(self) -> list[tuple[bytes, int, int]]:
        return self._execute("SELECT key, sequence, balance FROM account ORDER BY key").fetchall()

    def tallies(self, *, only_changed: bool = False) -> list[Row]:
        rows = self._execute(
            "SELECT exponent, epoch, withdrawn, exchanged, spent, deposited, replaced FROM tally"
            " WHERE changed >= ?",
            (only_changed,),
        )
        return [Row(exponent, epoch, Tally(*counts)) for exponent, epoch, *counts in rows]

    def accepted(self, account: bytes) -> bytes:
        row = self._execute("SELECT request FROM accepted WHERE account = ?", (account,)).fetchone()
        return b"" if row is None else bytes(row[0])

    def unpublished(self, most: int) -> list[bytes]:
        rows = self._execute("SELECT key FROM account WHERE published = 0 LIMIT ?", (most,))
        return [key for (key,) in rows]
