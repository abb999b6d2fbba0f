"""Reading the account's statements from the bank, as evidence."""

from bank.formats.account import SignedStatement
from bank.formats.answer import MOST_STATEMENTS, Answer, Statements
from bank.formats.request import decode_request, encode_request, sign_read, subject_of
from mixmint.errors import MalformedMessage, UserError
from wallet.answers import Bank
from wallet.purse import Purse
from wallet.statements import keep_statement, kept_statements
from wallet.teller import Teller


async def read_statements(teller: Teller) -> None:
    """
    Ask the bank for the statements that aren't kept yet, and keep what it signed, whatever that says: it is
    evidence. What the wallet believes (the chain's head) comes of its operations alone.

    Raises Unavailable, PendingError: no answer came; UserError: the answer is no statement of this account's.
    """
    purse, bank = teller.purse, teller.books.bank
    account = purse.account()
    since = _first_missing(purse)
    while True:
        body = encode_request(sign_read(account, bank.id, since))
        found = _read(await teller.question(body), body, bank, account.public)
        with purse.transaction():
            for each in found:
                keep_statement(purse, each.encode())
        if len(found) < MOST_STATEMENTS:
            return
        since = found[-1].statement.sequence + 1


def _first_missing(purse: Purse) -> int:
    numbers = {each.statement.sequence for each in kept_statements(purse)}
    return next(number for number in range(1, len(numbers) + 2) if number not in numbers)


def _read(data: bytes, body: bytes, bank: Bank, account: bytes) -> list[SignedStatement]:
    try:
        answer = Answer.decode(data)
    except MalformedMessage:
        raise UserError("the bank's answer can't be read") from None
    if answer.subject != subject_of(decode_request(body)) or not answer.holds(bank.key, bank.id):
        raise UserError("the answer isn't the bank's")
    if not isinstance(answer.body, Statements):
        raise UserError("the bank knows no such account; its operator opens it: mixmint bank account open")
    found = list(answer.body.statements)
    for each in found:
        if each.statement.account != account or not any(each.holds(key) for key in bank.keys.all):
            raise UserError("a statement in the bank's answer isn't signed by it, or is of another account")
    return found
