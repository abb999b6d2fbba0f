"""
Which of the board's claims the bank owes an answer, and by when. Pure.

The board checks claims before it takes them; the bank checks again, since what isn't true it can't answer,
and a board that puts in false ones must not make it look silent.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from bank.board.reading.client import VerifiedRound
from bank.formats.claim import Claim
from bank.formats.entry import ClaimEntry, TermsEntry
from bank.ledger import Signer
from bank.stores.interface import Books, KeptClaim
from mixmint.errors import MalformedMessage


@dataclass(frozen=True, slots=True)
class Noticed:
    """
    What some rounds have of claims: the true ones; the times for an answer in the bank's terms there (in
    rounds); and the time that the bank's settings name, which counts before any terms are public.
    """

    claims: tuple[KeptClaim, ...] = ()
    promised: tuple[int, ...] = ()
    claim_rounds: int = 0


NOTHING_NOTICED = Noticed()

Look = Callable[[Sequence[VerifiedRound]], Noticed]


def look_for(signer: Signer, earlier: Sequence[bytes] = ()) -> Look:
    """
    What looks through rounds for this bank, in a thread; up to 0.7 ms for a claim. ``earlier``: keys that the
    bank signed with before, whose certificates are still good.
    """
    keys = (signer.key.public, *earlier)

    def look(rounds: Sequence[VerifiedRound]) -> Noticed:
        claims: list[KeptClaim] = []
        promised: list[int] = []
        for round_ in rounds:
            for entry in round_.entries:
                if isinstance(entry, ClaimEntry):
                    kept = owed(entry, round_, keys, signer.bank)
                    if kept is not None:
                        claims.append(kept)
                elif isinstance(entry, TermsEntry) and entry.terms.bank == signer.bank:
                    promised.append(entry.terms.claim_rounds)
        return Noticed(tuple(claims), tuple(promised), signer.terms.claim_rounds)

    return look


def owed(entry: ClaimEntry, round_: VerifiedRound, keys: Collection[bytes], bank: bytes) -> KeptClaim | None:
    """The claim of this round, if it is true for the bank with this id and these keys (32 bytes each)."""
    try:
        claim = Claim.decode(entry.body)
    except MalformedMessage:
        return None
    if claim.objection(keys, bank) is not None:
        return None
    return KeptClaim(claim.answer_subject, round_.number, entry.body, round_.closed_at_s)


def note(book: Books, noticed: Noticed) -> None:
    """
    Put claims on the books, inside the transaction that says how far the board was read. Each is due by the
    shortest time that the bank ever published: a judge may be shown any of its terms.
    """
    times = [book.claim_rounds(), *noticed.promised]
    shortest = min((time for time in times if time), default=0)
    if noticed.promised:
        book.note_claim_rounds(shortest)
    for kept in noticed.claims:
        book.note_claim(kept, kept.round + (shortest or noticed.claim_rounds))
