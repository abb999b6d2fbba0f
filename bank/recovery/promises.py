"""
What the log has of the bank's terms, by which a successor is bound. Pure.

Who had stolen the key may have published some below the cut. Honest ones are numbered without gaps and take
nothing back, so what isn't like that is nobody's promise: else a number that nothing can follow, or a coin
epoch of another length, would keep the new bank from ever starting.

Source: docs/spec/terms.md, section 3; docs/spec/claim.md, section 6.
"""

from dataclasses import dataclass

from bank.formats.fields import Reader
from bank.formats.terms import PublishedTerms
from bank.ledger.terms import Terms
from bank.settings import MOST_EPOCHS


@dataclass(frozen=True, slots=True)
class Promised:
    """
    The newest terms, encoded (empty before the first); and the shortest life with grace (epochs) and time for
    an answer (rounds) that any had, 0 before the first.
    """

    terms: bytes = b""
    expiry_epochs: int = 0
    claim_rounds: int = 0

    def after(self, terms: PublishedTerms) -> "Promised | None":
        """With the next terms, signed by the bank; None when an honest bank publishes none like these."""
        told = Terms.of(terms)
        if not self.terms:
            follows = terms.number == 1
        else:
            before = PublishedTerms.read(Reader(self.terms))
            if terms == before:
                # A board's repetition takes nothing.
                return self
            follows = terms.number == before.number + 1 and told.objection_after(Terms.of(before)) is None
        if not follows or told.expiry_epochs > MOST_EPOCHS:
            return None
        return Promised(
            terms.encode(),
            min(self.expiry_epochs or told.expiry_epochs, told.expiry_epochs),
            min(self.claim_rounds or told.claim_rounds, told.claim_rounds),
        )

    def is_over(self, epoch: int, now_s: float) -> bool:
        """Whether a bank may have retired a coin's epoch by then (Unix seconds). Before any terms: yes."""
        if not self.terms:
            return True
        terms = Terms.of(PublishedTerms.read(Reader(self.terms)))
        return epoch < terms.epoch_at(now_s) - self.expiry_epochs
