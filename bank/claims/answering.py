"""
A claim through the ledger: like any request, but that its answer is public. Pure.

The ledger's rules make it idempotent: an order that was executed long ago gets its certificates again, one
whose coins another order spent gets that order's proof.
"""

from bank.formats.account import AccountRequest, sign_statement
from bank.formats.answer import Answer, Body, Certificates, Refusal, Refused, Statements
from bank.formats.claim import Claim
from bank.formats.entry import AnswerEntry
from bank.formats.order import NOTHING
from bank.formats.request import encode_request
from bank.ledger import Book, Moment, Prepared, Signer, prepare, settle


def answer_claim(claim: Claim, round_: int, signer: Signer, book: Book, moment: Moment) -> bytes | None:
    """
    Decide a true claim of the board's round ``round_``, which is closed; the ANSWER entry (its bytes) that
    the board must be given, or None when the order was executed just now: then its certificates, which go
    there as always, are the answer.

    Raises FatalError when the books contradict themselves.
    """
    prepared = prepare(encode_request(claim.request), signer, moment)
    return answer_prepared(claim, prepared, round_, signer, book, moment)


def answer_prepared(
    claim: Claim, prepared: Prepared, round_: int, signer: Signer, book: Book, moment: Moment
) -> bytes | None:
    """As ``answer_claim``; its request was prepared at this moment."""
    if claim.order is None or claim.order.order.tau == NOTHING:
        # A hold begins now, and none may begin behind its end.
        moment = Moment(moment.closed, moment.epoch, asked=round_ - 1)
    is_new = claim.account is None and not _is_begun(claim, book)
    body = Answer.decode(settle(prepared, signer, book, moment)).body
    if isinstance(body, Certificates) and is_new:
        return None
    if claim.account is not None and isinstance(body, Refused) and body.reason is Refusal.SEQUENCE:
        body = _in_the_way(claim.account.request, signer, book) or body
    return AnswerEntry(signer.answer(claim.answer_subject, body)).encode()


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
