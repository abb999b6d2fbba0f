"""
Making the bank's statements: what it certified and what was spent, and how far it has read the board.

One transaction reads the tallies and the newest confirmed place, signs and numbers the statement, and puts it
into the outbox. So there is never a second statement with a number that was given: after a crash the first
one is in the outbox, or the number wasn't given. And whatever was confirmed had been counted before.

Source: docs/spec/statement.md.
"""

from dataclasses import dataclass

from bank.formats.entry import StatementEntry
from bank.formats.statement import EARLY_ROWS, MOST_ROWS, BankStatement, sign_statement, units_of
from bank.ledger import Signer
from bank.outbox import cursor_of
from bank.stores.interface import Books
from mixmint.errors import FatalError


@dataclass(frozen=True, slots=True)
class Statements:
    """
    The bank's hand for statements: one at the end of each period of ``every_rounds`` rounds, if there is
    anything new to say. Long periods, because counts over a short one would label single coins.
    """

    signer: Signer
    every_rounds: int

    def publish_due(self, book: Books) -> BankStatement | None:
        """
        Sign and publish a statement, if one is due, inside the book's transaction.

        Only after the board was asked: a store restored from a backup must not use a number twice.
        """
        state = book.state()
        closed = state.newest_closed
        rows = book.tallies(only_changed=True)
        is_over = closed >= state.stated_at + self.every_rounds
        if is_over and not (rows or state.unstated):
            # A new period begins: else the first order after a quiet time would be stated at once, all alone.
            book.begin_period(closed)
            return None
        if not is_over and len(rows) < EARLY_ROWS:
            return None
        frontier, read = cursor_of(state).frontier, cursor_of(state).round
        if book.owes_by(read):
            # What a statement confirms has every answer that was due in it: so a board that keeps answers
            # back can't have the bank confirm its silence (docs/spec/accusation.md, section 5).
            return None
        if len(rows) > MOST_ROWS:
            # The settings' limit on a coin's life rules it out; the board would take no such entry.
            raise FatalError(
                f"{len(rows)} values changed since statement {state.stated}; one holds {MOST_ROWS}"
            )
        statement = sign_statement(
            self.signer.key,
            self.signer.bank,
            state.stated + 1,
            frontier.size,
            frontier.root(),
            units_of(book.tallies()),
            rows,
        )
        book.publish([StatementEntry(statement).encode()])
        book.mark_stated(state.stated + 1, closed)
        return statement
