"""
The books' readings that are one question for every engine, in SQL that SQLite and PostgreSQL both understand.

An argument's place is ``$1``, ``$2``, ... An engine says how a question is put (``rows``), and has ways of
its own for what is asked for each order, or is too large to be read at once.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from bank.board.feed import FeedReceipt
from bank.formats.account import Statement
from bank.formats.fields import Reader
from bank.formats.statement import Row, Tally
from bank.ledger.book import Account
from bank.stores.interface import KeptClaim, KeptReceipt, Retirement, State

MOST_BIGINT = 2**63 - 1
"""Both engines' numbers are signed; on the wire sequences are 64 bits wide."""
STATE = """
    SELECT next_group, newest_closed, confirmed_group, cursor, unnumbered, stated, stated_at, unstated,
        terms, retired, due, due_since, swept, sweep_key
    FROM state
"""
CHAIN = "SELECT body FROM statement WHERE account = $1 AND sequence >= $2 ORDER BY sequence LIMIT $3"


class Reading(ABC):
    """``bank.stores.interface.View``, but for the outbox."""

    @abstractmethod
    def rows(self, sql: str, *arguments: object) -> Sequence[Any]:
        """What this query finds."""

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
            " WHERE receipt.next_group <= $1 AND round <= $2 AND round <= state.newest_closed",
            *(group, closed),
        )
        return int(owed)

    def account(self, key: bytes) -> Account | None:
        rows = self.rows("SELECT sequence, balance, head FROM account WHERE key = $1", key)
        return Account._make(rows[0]) if rows else None

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
