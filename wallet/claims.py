"""
Which operations are claimed on the board, and when: the wallet's part in Simon's forced exchange.

    due      it has waited for the bank for so many rounds
    planned  of several that are due each has a round of its own, drawn at random and kept on file
    made     the claim is on file, before anyone is shown it
    posted   the board has taken it, and answers for it with a receipt

A claim opens an order to everyone. So it is the last resort: its coins count as recognisable from then on,
and what comes of it is exchanged once more (``Books``). And it is posted by nobody in particular, so claims
of one member must not come as one burst: a bank that was away for an hour makes all that he had open due at
once, and so does a wallet that was.
"""

from random import Random, SystemRandom

import msgspec

from wallet.books import Books
from wallet.claiming import claim_of
from wallet.machines.account import AccountState
from wallet.machines.claim import AHEAD_ROUNDS, is_due, is_waiting, last_round, may_claim
from wallet.machines.order import OrderState
from wallet.machines.steps import Claimed, Planned, Posted
from wallet.operations import PlanState

_CLAIMED_IN = "claimed-in"
"""The purse's fact: the newest round of the board when the last claim left."""
_EXCHANGED_IN = "opened-exchanged-in"
"""The same of the last second exchange that began."""


class OpenClaims:
    """
    Over one wallet's books. ``after_rounds``: how long the bank may leave a question unanswered; over half as
    many rounds claims are spread that are due together. ``rng`` draws when.
    """

    def __init__(self, books: Books, after_rounds: int, rng: Random | None = None) -> None:
        self._books = books
        self._purse = books.purse
        self._after_rounds = after_rounds
        self._rng = rng or SystemRandom()
        self._made: set[int] = set()
        """Claims that this process has written."""

    def due(self) -> list[int]:
        """
        The operations that are to be claimed now, by row: one in each round, and whatever can't wait any
        longer. The others' rounds are on file.
        """
        closed = self._books.closed
        due = {row: state for row, state in self._open().items() if is_due(state, closed, self._after_rounds)}
        urgent = [row for row, state in due.items() if self._latest(state, closed) <= closed]
        planned = {row: state.claim.planned for row, state in due.items() if row not in urgent}
        for row, round_ in planned.items():
            if not round_:
                # One alone shows nothing by leaving at once.
                planned[row] = closed if len(due) == 1 else self._draw(due[row], closed, closed)
        ready = [row for row, round_ in planned.items() if round_ <= closed]
        first = self._rng.choice(ready) if ready and not self._has_left(closed) else 0
        for row in ready:
            if row != first:
                # Ready together, they would leave one after another as soon as they may.
                planned[row] = self._draw(due[row], closed + 1, closed)
        for row, round_ in planned.items():
            if round_ != due[row].claim.planned:
                self._books.feed(row, Planned(round_))
        return [*urgent, first] if first else urgent

    def _draw(self, state: OrderState | AccountState, first: int, closed: int) -> int:
        return self._rng.randint(first, max(first, self._latest(state, closed)))

    def _latest(self, state: OrderState | AccountState, closed: int) -> int:
        """The round behind which its claim leaves at the latest: by its own end, when that is still ahead."""
        end, latest = last_round(state), closed + max(1, self._after_rounds // 2)
        return min(latest, end - AHEAD_ROUNDS) if end > closed else latest

    def _has_left(self, closed: int) -> bool:
        """Whether a claim has left since the board's newest round."""
        return self._is_same_round(_CLAIMED_IN, closed)

    def _is_same_round(self, fact: str, closed: int) -> bool:
        last = self._purse.fact(fact)
        return last is not None and int.from_bytes(last) == closed

    def rests(self, row: int) -> bool:
        """
        Whether this is the second exchange of what a claim has shown, and its round hasn't come. It is drawn
        when that is asked first; and of several, as of claims, one begins in each round.
        """
        plan, closed = self._purse.operation(row), self._books.closed
        if not isinstance(plan, PlanState) or not plan.opened or self._has_begun(row):
            return False
        if 0 < plan.from_round <= closed and not self._is_same_round(_EXCHANGED_IN, closed):
            with self._purse.transaction():
                self._purse.set_fact(_EXCHANGED_IN, closed.to_bytes(4))
            return False
        if plan.from_round <= closed:
            first = closed + 1 if plan.from_round else closed
            round_ = self._rng.randint(first, closed + max(1, self._after_rounds // 2))
            with self._purse.transaction():
                self._purse.set_operation(row, msgspec.structs.replace(plan, from_round=max(1, round_)))
            return self.rests(row) if round_ <= closed else True
        return True

    def _has_begun(self, row: int) -> bool:
        """Whether the plan has orders."""
        stored = self._purse.operations().values()
        return any(isinstance(each.state, OrderState) and each.state.parent == row for each in stored)

    def make(self, row: int) -> bytes | None:
        """
        Write an operation's claim to disk; its entry for the board. None when the bank owes it nothing that
        can be claimed.
        """
        state = self._open().get(row)
        if state is None or not is_waiting(state):
            return None
        if state.claim.is_made:
            return state.claim.entry
        claim = claim_of(self._purse, state)
        if claim is None:
            return None
        entry = claim.entry().encode()
        self._books.feed(row, Claimed(entry))
        self._made.add(row)
        with self._purse.transaction():
            self._purse.set_fact(_CLAIMED_IN, self._books.closed.to_bytes(4))
        return entry

    def unposted(self) -> dict[int, bytes]:
        """
        Claims on file that the board hasn't taken yet, as far as is known: entries by row. Of those that an
        earlier process had no luck with, one in each round.
        """
        found = {row: state.claim for row, state in self._open().items()}
        open_ = {row: claim.entry for row, claim in found.items() if claim.entry and not claim.posted}
        mine = {row: entry for row, entry in open_.items() if row in self._made}
        if mine or self._has_left(self._books.closed):
            return mine
        return dict(list(open_.items())[:1])

    def note_posted(self, row: int) -> None:
        """The board has taken it."""
        self._books.feed(row, Posted())
        with self._purse.transaction():
            self._purse.set_fact(_CLAIMED_IN, self._books.closed.to_bytes(4))

    def overdue(self) -> dict[int, int]:
        """Claims on the board that the bank hasn't answered by its terms: the round by which, by row."""
        cursor, terms = self._books.cursor(), self._books.terms()
        if cursor is None or terms is None:
            return {}
        claims = {row: state.claim for row, state in self._open().items() if is_waiting(state)}
        due = {
            row: claim.round + terms.claim_rounds
            for row, claim in claims.items()
            if claim.round and not claim.void
        }
        return {row: round_ for row, round_ in due.items() if round_ <= cursor.round}

    def _open(self) -> dict[int, OrderState | AccountState]:
        return {
            row: stored.state
            for row, stored in self._purse.open_operations().items()
            if isinstance(stored.state, OrderState | AccountState) and may_claim(stored.state)
        }
