"""Answering a prepared request from the books: the one way in, for live requests and for repeated ones."""

from bank.formats.account import Statement
from bank.formats.answer import NO_SUCH_HOLD, Body, Credited, Withdrawn
from bank.formats.order import SignedOrder
from bank.formats.request import Deposit, Execute, ReadAccount, Replace, Withdraw, subject_of
from bank.ledger.accounts import deposit, read_statements, withdraw
from bank.ledger.book import Book
from bank.ledger.orders import exchange, execute, hold
from bank.ledger.prepare import Asking, Exchange, Prepared
from bank.ledger.replacing import replace
from bank.ledger.terms import Moment, Signer


def settle(prepared: Prepared, signer: Signer, book: Book, moment: Moment) -> bytes:
    """
    Decide a request inside the book's transaction; the signed answer's bytes.

    ``moment`` is the one that it was prepared with, or a later round of the same epoch. The request happens
    whole or not at all, and whatever it is, the requests beside it in the transaction are not touched. Raises
    FatalError when the books contradict themselves.
    """
    if isinstance(prepared, Exchange):
        return exchange(prepared, signer, book, moment)
    if isinstance(prepared, Asking):
        body = _body(prepared, signer, book, moment)
        is_unknown = isinstance(prepared.request, Execute) and body == NO_SUCH_HOLD
        subject = subject_of(prepared.request, unknown=True) if is_unknown else prepared.subject
        return signer.answer(subject, body)
    return prepared.answer


def _body(asking: Asking, signer: Signer, book: Book, moment: Moment) -> Body:
    request, subject = asking.request, asking.subject
    if isinstance(request, SignedOrder):
        return hold(request, signer, book, moment)
    if isinstance(request, Execute):
        return execute(request, signer, book, moment)
    if isinstance(request, ReadAccount):
        return read_statements(request, signer, book)
    body = _of_account(request, subject, signer, book, moment)
    if isinstance(body, Withdrawn | Credited):
        _keep_his_word(request, body.statement.statement, book)
    return body


def _of_account(
    request: Withdraw | Deposit | Replace, subject: bytes, signer: Signer, book: Book, moment: Moment
) -> Body:
    if isinstance(request, Withdraw):
        return withdraw(request, subject, signer, book, moment)
    if isinstance(request, Deposit):
        return deposit(request, subject, signer, book, moment)
    return replace(request, subject, signer, book, moment)


def _keep_his_word(request: Withdraw | Deposit | Replace, booked: Statement, book: Book) -> None:
    """
    The holder's newest request stays on file, signed: it names the head before it, so it is his word for the
    whole chain, and the bank needs no older one to prove what he denies.
    """
    account = book.account(booked.account)
    if account is not None and account.sequence == booked.sequence:
        book.accept(booked.account, request.signed.encode())
