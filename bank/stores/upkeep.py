"""
What is written of the books beside orders and accounts: terms, retirement, claims, receipts, rounds, periods.

As the readings (bank/stores/reading.py), it is the same SQL for every engine; an engine says when it is
written: at once, or at the transaction's end.
"""

from abc import abstractmethod
from dataclasses import replace

from bank.stores.interface import KeptClaim, KeptReceipt, Retirement
from bank.stores.reading import Reading


class Upkeep(Reading):
    """This part of ``bank.stores.interface.Books``."""

    _retirement: Retirement | None = None
    """As this transaction found or made it, once it was asked for: each order asks."""

    @abstractmethod
    def write(self, sql: str, *arguments: object, must: int | None = None) -> None:
        """
        Write this, now or at the transaction's end. FatalError, then, when it touches another number of rows
        than it ``must``.
        """

    @abstractmethod
    def newest_group(self) -> int:
        """The number of the group published last."""

    def retirement(self) -> Retirement:
        if self._retirement is None:
            self._retirement = super().retirement()
        return self._retirement

    def retired(self) -> int:
        return self.retirement().retired

    def swept(self) -> int:
        return self.retirement().swept

    def note_due(self, due: int, since: int) -> None:
        self._retirement = replace(self.retirement(), due=due, since=since)
        self.write("UPDATE state SET due = $1, due_since = $2", due, since)

    def retire(self, before: int) -> None:
        self._retirement = Retirement(before, 0, 0, self.swept())
        self.write(
            "UPDATE state SET retired = $1, due = 0, due_since = 0, sweep_key = $2"
            " WHERE retired < $1 AND swept = retired",
            *(before, b""),
            must=1,
        )

    def mark_swept(self, key: bytes) -> None:
        """Spent coins up to this key (32 bytes) were looked at; empty: all of them."""
        if key:
            self.write("UPDATE state SET sweep_key = $1", key)
        else:
            self._retirement = replace(self.retirement(), swept=self.retired())
            self.write("UPDATE state SET swept = retired, sweep_key = $1", key)

    def publish_later(self) -> None:
        self.write("UPDATE state SET unnumbered = 1")

    def mark_numbered(self) -> None:
        self.write("UPDATE state SET unnumbered = 0")

    def mark_published(self, account: bytes) -> None:
        self.write("UPDATE account SET published = 1 WHERE key = $1", account, must=1)

    def accept(self, account: bytes, request: bytes) -> None:
        self.write(
            "INSERT INTO accepted VALUES ($1, $2) ON CONFLICT (account) DO UPDATE SET request = $2",
            *(account, request),
        )

    def put_terms(self, terms: bytes) -> None:
        self.write("UPDATE state SET terms = $1", terms)

    def note_claim_rounds(self, rounds: int) -> None:
        self.write("UPDATE state SET claim_rounds = $1", rounds)

    def note_claim(self, kept: KeptClaim, due: int) -> None:
        self.write(
            "INSERT INTO claim (subject, round, due, body, closed_at_s) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT DO NOTHING",
            *(kept.subject, kept.round, due, kept.claim, kept.closed_at_s),
        )

    def answer_claim(self, subject: bytes) -> None:
        self.write(
            "UPDATE claim SET group_number = $1 WHERE subject = $2", self.newest_group(), subject, must=1
        )

    def keep_receipt(self, kept: KeptReceipt) -> None:
        receipt = kept.receipt
        self.write(
            "INSERT INTO receipt (next_group, first, groups, digest, round, newest_closed, signature)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7)",
            *(receipt.next_group, kept.first, kept.groups, kept.digest),
            *(receipt.round, receipt.newest_closed, receipt.signature),
            must=1,
        )

    def forget_receipts(self, group: int) -> int:
        ((number,),) = self.rows("SELECT count(*) FROM receipt WHERE next_group > $1", group)
        if number:
            self.write("DELETE FROM receipt WHERE next_group > $1", group, must=number)
        return int(number)

    def close_rounds(self, closed: int) -> None:
        self.write("UPDATE state SET newest_closed = $1", closed)
        self.write("DELETE FROM held_coin WHERE to_round <= $1", closed)
        self.write("DELETE FROM promised WHERE to_round <= $1", closed)
        self.write("DELETE FROM held_order WHERE group_number IS NULL AND keep_round <= $1", closed)

    def confirm(self, group: int, cursor: bytes, *, news: bool) -> None:
        self.write(
            "UPDATE state SET confirmed_group = $1, cursor = $2,"
            " unstated = CASE WHEN $3 <> 0 THEN 1 ELSE unstated END",
            *(group, cursor, int(news)),
        )
        self.write("DELETE FROM outbox WHERE next <= $1", group)
        # The newest of the receipts for what was read stays: it says from which round on the next may stand.
        self.write(
            "DELETE FROM receipt"
            " WHERE next_group < (SELECT max(next_group) FROM receipt WHERE next_group <= $1)",
            group,
        )
        self.write("DELETE FROM claim WHERE group_number < $1", group)
        self.write(
            "UPDATE held_order SET signed = NULL WHERE signed IS NOT NULL AND group_number < $1", group
        )

    def begin_period(self, closed: int) -> None:
        self.write("UPDATE state SET stated_at = $1", closed)

    def mark_stated(self, sequence: int, closed: int) -> None:
        self.write("UPDATE state SET stated = $1, stated_at = $2, unstated = 0", sequence, closed)
        self.write("UPDATE tally SET changed = 0 WHERE changed <> 0")
