"""
A claim through the ledger: like any request, but that its answer is public. Pure.

The ledger's rules make it idempotent: an order that was executed long ago gets its certificates again, one
whose coins another order spent gets that order's proof.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bank.formats.account import AccountRequest, sign_statement
from bank.formats.answer import Answer, Body, Certificates, Hold, Refusal, Refused, Statements
from bank.formats.claim import Claim
from bank.formats.entry import AnswerEntry
from bank.formats.request import Execute, encode_request
from bank.ledger import Book, Moment, Prepared, Signer, Terms, prepare, settle
from bank.ledger.prepare import Asking, certify_ahead
from bank.stores.interface import KeptClaim


@dataclass(frozen=True, slots=True)
class Posted:
    """
    When a claim was on the board: its round, and the coin epoch in which that closed by the board's clock
    (None: not known, so its coins are as old as they are now).
    """

    round: int
    epoch: int | None = None

    @classmethod
    def of(cls, kept: KeptClaim, terms: Terms) -> "Posted":
        """As the books have it."""
        return cls(kept.round, terms.epoch_at(kept.closed_at_s) if kept.closed_at_s else None)


def answer_claim(claim: Claim, posted: Posted, signer: Signer, book: Book, moment: Moment) -> bytes | None:
    """
    Decide a true claim of a round that is closed; the ANSWER entry (its bytes) that the board must be given,
    or None when the order was executed just now: then its certificates, which go there as always, are the
    answer.

    Raises FatalError when the books contradict themselves.
    """
    prepared = prepare_claim(claim, signer, moment)
    return answer_prepared(claim, prepared, posted, signer, book, moment)


def prepare_claim(claim: Claim, signer: Signer, moment: Moment) -> tuple[Prepared, ...]:
    """
    What the ledger may be asked for a true claim. Of an order in two steps there are two: its hold, or the
    execution of that; and the order as one that is whole in one step (see ``_chosen``).
    """
    if claim.h and claim.order is not None:
        execute = Asking(Execute(claim.order.seal, claim.h), claim.order.seal)
        return execute, certify_ahead(claim.order, signer, moment)
    asked = prepare(encode_request(claim.request), signer, moment)
    if claim.asks_for_hold and claim.order is not None:
        return asked, certify_ahead(claim.order, signer, moment)
    return (asked,)


def answer_prepared(
    claim: Claim, choice: Sequence[Prepared], posted: Posted, signer: Signer, book: Book, moment: Moment
) -> bytes | None:
    """As ``answer_claim``; what may be asked was prepared at this moment."""
    prepared = _chosen(claim, choice, book)
    if not claim.asks_for_hold:
        # A hold begins now, and none may begin behind its end.
        epoch = 0 if _is_under_hold(claim, posted) else posted.epoch
        moment = Moment(moment.closed, moment.epoch, asked=posted.round - 1, asked_epoch=epoch)
    is_new = claim.account is None and not _is_begun(claim, book)
    body = Answer.decode(settle(prepared, signer, book, moment)).body
    if isinstance(body, Certificates) and is_new:
        return None
    if claim.account is not None and isinstance(body, Refused) and body.reason is Refusal.SEQUENCE:
        body = _in_the_way(claim.account.request, signer, book) or body
    return AnswerEntry(signer.answer(claim.answer_subject, body)).encode()


def _chosen(claim: Claim, choice: Sequence[Prepared], book: Book) -> Prepared:
    """
    Whoever shows the h of an order that isn't on the books as a hold, or not any more, shows all that its
    execution needs. And of a hold that was executed its certificates are shown: that the bank has executed it
    it can't say here and deny there (``bank/board/accusation/denied.py``).
    """
    order = claim.order
    if len(choice) == 1 or order is None:
        return choice[0]
    if claim.h:
        held = book.held(order.seal)
        return choice[0] if held is not None and held.order is not None else choice[1]
    spent = book.spent(order.order.inputs[0])
    return choice[1] if spent is not None and spent.seal == order.seal else choice[0]


def _is_under_hold(claim: Claim, posted: Posted) -> bool:
    """
    Whether the claim was there while the hold that it shows lasted. Then no coin of it is too old: it wasn't
    when it was held, and rounds may stand still for longer than coins live.
    """
    hold = None if claim.hold is None else claim.hold.body
    return isinstance(hold, Hold) and posted.round <= hold.to_round


def _is_begun(claim: Claim, book: Book) -> bool:
    """Whether any of its coins is spent: a predecessor may have left out the first, and certified all."""
    keys = claim.order.order.inputs if claim.order is not None else ()
    return any(book.spent(key) is not None for key in keys)


def _in_the_way(asked: AccountRequest, signer: Signer, book: Book) -> Body | None:
    """
    The statement that stands where the request's was to stand, or the newest when none does.

    *Sequence* alone is the bank's bare word; this is what anyone can check.
    """
    account = book.account(asked.account)
    if account is None:
        return None
    found = book.statements(asked.account, min(asked.sequence, account.sequence), 1)
    return Statements(tuple(sign_statement(signer.key, statement) for statement in found))
