"""
Making the bank's statements: what it certified and what was spent, and how far it has read the board.

One transaction reads the tallies and the newest confirmed place, signs and numbers the statement, and puts it
into the outbox. So there is never a second statement with a number that was given: after a crash the first
one is in the outbox, or the number wasn't given. And whatever was confirmed had been counted before.

Source: docs/spec/statement.md.
"""

from dataclasses import dataclass

from bank.formats.entry import StatementEntry
from bank.formats.statement import MOST_ROWS, BankStatement, sign_statement, units_of
from bank.ledger import Signer
from bank.outbox import read_cursor
from bank.store import SqliteBook
from mixmint.errors import FatalError

EARLY_ROWS = MOST_ROWS // 4
"""With so many rows changed a statement is made before its time: all of them must fit into one."""


@dataclass(frozen=True, slots=True)
class Statements:
    """
    The bank's hand for statements: one at the end of each period of ``every_rounds`` rounds, if there is
    anything new to say. Long periods, because counts over a short one would label single coins.
    """

    signer: Signer
    every_rounds: int

    def publish_due(self, book: SqliteBook) -> BankStatement | None:
        """
        Sign and publish a statement, if one is due, inside the book's transaction.

        Only after the board was asked: a store restored from a backup must not use a number twice.
        """
        execute = book.connection.execute
        closed, stated, stated_at, unstated = execute(
            "SELECT newest_closed, stated, stated_at, unstated FROM state"
        ).fetchone()
        (changed,) = execute("SELECT count(*) FROM tally WHERE changed").fetchone()
        is_over = closed >= stated_at + self.every_rounds
        if is_over and not (changed or unstated):
            # A new period begins: else the first order after a quiet time would be stated at once, all alone.
            execute("UPDATE state SET stated_at = ?", (closed,))
            return None
        if not is_over and changed < EARLY_ROWS:
            return None
        rows = book.tallies(only_changed=True)
        if len(rows) > MOST_ROWS:
            # The settings' limit on a coin's life rules it out; the board would take no such entry.
            raise FatalError(f"{len(rows)} values changed since statement {stated}; one holds {MOST_ROWS}")
        frontier = read_cursor(book.connection).frontier
        statement = sign_statement(
            self.signer.key,
            self.signer.bank,
            stated + 1,
            frontier.size,
            frontier.root(),
            units_of(book.tallies()),
            rows,
        )
        book.publish([StatementEntry(statement).encode()])
        execute("UPDATE state SET stated = ?, stated_at = ?, unstated = 0", (stated + 1, closed))
        execute("UPDATE tally SET changed = 0 WHERE changed")
        return statement
