"""
Which operations are claimed on the board, and when: the wallet's part in Simon's forced exchange.

    due     it has waited for the bank for so many rounds
    made    the claim is on file, before anyone is shown it
    posted  the board has taken it, and answers for it with a receipt

A claim opens an order to everyone. So it is the last resort: its coins count as recognisable from then on,
and what comes of it is exchanged once more (``Books``).
"""

from wallet.books import Books
from wallet.claiming import claim_of
from wallet.machines.account import AccountState
from wallet.machines.claim import is_due, is_waiting, may_claim
from wallet.machines.order import OrderState
from wallet.machines.steps import Claimed, Posted


class OpenClaims:
    """Over one wallet's books. ``after_rounds``: how long the bank may leave a question unanswered."""

    def __init__(self, books: Books, after_rounds: int) -> None:
        self._books = books
        self._purse = books.purse
        self._after_rounds = after_rounds

    def due(self) -> list[int]:
        """The operations that are to be claimed now, by row."""
        cursor = self._books.cursor()
        closed = cursor.round if cursor else 0
        return [row for row, state in self._open().items() if is_due(state, closed, self._after_rounds)]

    def make(self, row: int) -> bytes | None:
        """
        Write an operation's claim to disk; its entry for the board. None when the bank owes it nothing that
        can be claimed.
        """
        state = self._open().get(row)
        if state is None or not is_waiting(state):
            return None
        if state.claim.entry:
            return state.claim.entry
        claim = claim_of(self._purse, state)
        if claim is None:
            return None
        entry = claim.entry().encode()
        self._books.feed(row, Claimed(entry))
        return entry

    def unposted(self) -> dict[int, bytes]:
        """Claims on file that the board hasn't taken yet, as far as is known: entries by row."""
        found = {row: state.claim for row, state in self._open().items()}
        return {row: claim.entry for row, claim in found.items() if claim.entry and not claim.posted}

    def note_posted(self, row: int) -> None:
        """The board has taken it."""
        self._books.feed(row, Posted())

    def overdue(self) -> dict[int, int]:
        """Claims on the board that the bank hasn't answered by its terms: the round by which, by row."""
        cursor, terms = self._books.cursor(), self._books.terms()
        if cursor is None or terms is None:
            return {}
        claims = {row: state.claim for row, state in self._open().items() if is_waiting(state)}
        due = {row: claim.round + terms.claim_rounds for row, claim in claims.items() if claim.round}
        return {row: round_ for row, round_ in due.items() if round_ <= cursor.round}

    def _open(self) -> dict[int, OrderState | AccountState]:
        return {
            row: stored.state
            for row, stored in self._purse.open_operations().items()
            if isinstance(stored.state, OrderState | AccountState) and may_claim(stored.state)
        }
