"""
Accounts: withdraw, deposit, statements; and what the operator does, open and credit.

An account is a chain of statements. A request names the statement it wants to follow (sequence and head), so
it is executed at most once, and the statement names the request (its digest), so that the same request again
gets the same answer for as long as the account exists.

The operator's statements put no coins on the board, so they promise no round: theirs is 0.
"""

from bank.formats.account import NO_HEAD, AccountRequest, Operation, Statement, sign_statement
from bank.formats.answer import (
    MOST_STATEMENTS,
    Body,
    Certificates,
    Credited,
    Refusal,
    Refused,
    Statements,
    Withdrawn,
)
from bank.formats.coin import total_units
from bank.formats.entry import SpentEntry
from bank.formats.order import NOTHING, SignedOrder, input_ids
from bank.formats.request import Deposit, ReadAccount, Withdraw
from bank.ledger.book import Account, Book, Count, Value
from bank.ledger.orders import certify_all, enter, units_of, values_of
from bank.ledger.prepare import certified_entries
from bank.ledger.successor import FROM_THE_BOARD, enter_answered, owes_credit
from bank.ledger.terms import MOST_BALANCE, Age, Moment, Signer
from mixmint.errors import FatalError, UserError

DEPOSITABLE = frozenset({Age.GOOD, Age.LAST})
"""In its grace a coin can only be exchanged."""
NO_ROUND = 0


def withdraw(request: Withdraw, digest: bytes, signer: Signer, book: Book, moment: Moment) -> Body:
    """Certify coins and debit the account (Simon's "withdrawal by i")."""
    asked = request.signed.request
    account = account_for(asked, digest, signer, book, moment)
    if not isinstance(account, Account):
        return account
    units = total_units(output.exponent for output in asked.outputs)
    if units > account.balance:
        return Refused(Refusal.BALANCE)
    taken = certify_all(asked.outputs, digest, signer, book, moment)
    if taken is not None:
        return taken
    round_ = signer.promised_round(moment)
    statement = next_statement(asked, digest, account, -units, round_)
    append(book, statement, moment.epoch)
    certificates = signer.certificates(asked.outputs, moment.epoch, round_)
    book.publish(certified_entries(asked.outputs, certificates))
    return Withdrawn(sign_statement(signer.key, statement), certificates)


def deposit(request: Deposit, digest: bytes, signer: Signer, book: Book, moment: Moment) -> Body:
    """Spend coins and credit the account (Simon's "deposit by i")."""
    asked, order = request.signed.request, request.order
    account = account_for(asked, digest, signer, book, moment)
    if not isinstance(account, Account):
        return account
    if moment.closed < signer.answers_until and owes_credit(order, book):
        return _credit_inherited(asked, digest, account, order, signer, book, moment)
    coins = input_ids(order.order)
    values = values_of(order, coins, signer, book, moment, DEPOSITABLE)
    if not isinstance(values, list):
        return values
    worth = units_of(values)
    if account.balance + worth > MOST_BALANCE:
        return Refused(Refusal.BALANCE)
    round_ = signer.promised_round(moment)
    obstacle = enter(order, coins, values, round_, signer, book, moment)
    if obstacle is not None:
        return obstacle
    statement = next_statement(asked, digest, account, worth, round_)
    append(book, statement, moment.epoch)
    book.publish(
        [
            SpentEntry(key, order.seal, signature).encode()
            for key, signature in zip(order.order.inputs, order.signatures, strict=True)
        ]
    )
    return Credited(sign_statement(signer.key, statement))


def _credit_inherited(
    asked: AccountRequest,
    digest: bytes,
    account: Account,
    order: SignedOrder,
    signer: Signer,
    book: Book,
    moment: Moment,
) -> Body:
    """
    The predecessor took a deposit's coins, as the board shows, and the balances that this bank took over
    don't have it. The holder asks for it by a new request, since the chain went on.
    """
    found = [book.value(coin) for coin in input_ids(order.order)]
    values = [value for value in found if value is not None]
    if len(values) < len(found):
        return Refused(Refusal.UNKNOWN_CERTIFICATE, found.index(None))
    worth = units_of(values)
    if account.balance + worth > MOST_BALANCE:
        return Refused(Refusal.BALANCE)
    round_ = signer.promised_round(moment)
    enter_answered(order, round_, book)
    statement = next_statement(asked, digest, account, worth, round_)
    append(book, statement, moment.epoch)
    book.publish(())
    return Credited(sign_statement(signer.key, statement))


def recovered(bank: bytes, key: bytes, balance: int, sequence: int, head: bytes) -> Statement:
    """
    A successor's first statement of an account: its balance, in units, after statement ``sequence`` with this
    head (32 bytes; NO_HEAD where that isn't known).
    """
    return Statement(bank, key, sequence + 1, Operation.RECOVERED, 0, balance, NOTHING, head, NO_ROUND)


def read_statements(request: ReadAccount, signer: Signer, book: Book) -> Body:
    """The account's statements from the sequence asked for on, at most six."""
    if book.account(request.account) is None:
        return Refused(Refusal.NO_ACCOUNT)
    found = book.statements(request.account, request.sequence, MOST_STATEMENTS)
    return Statements(tuple(sign_statement(signer.key, statement) for statement in found))


def open_account(bank: bytes, key: bytes, book: Book) -> Statement:
    """
    The operator opens an account with a balance of 0. Raises UserError when it is open already.
    """
    statement = Statement(bank, key, 1, Operation.OPENED, 0, 0, NOTHING, NO_HEAD, NO_ROUND)
    if not book.add_statement(statement, 0):
        raise UserError(f"account {key.hex()} is open already")
    return statement


def credit(bank: bytes, key: bytes, units: int, book: Book) -> Statement:
    """
    The operator books money that came in from outside. Raises UserError: no such account, or an amount that
    is not positive or too large.
    """
    account = book.account(key)
    if account is None:
        raise UserError(f"no account {key.hex()}; open it first: mixmint bank account open")
    if not 0 < units <= MOST_BALANCE - account.balance:
        raise UserError(f"an amount is between 1 and {MOST_BALANCE - account.balance} units here")
    statement = Statement(
        bank,
        key,
        account.sequence + 1,
        Operation.CREDIT,
        units,
        account.balance + units,
        NOTHING,
        account.head,
        NO_ROUND,
    )
    append(book, statement, 0)
    book.publish_later()
    return statement


def account_for(
    asked: AccountRequest, digest: bytes, signer: Signer, book: Book, moment: Moment
) -> Account | Body:
    """The account, when the request is its next; else the first answer again, or why it is refused."""
    account = book.account(asked.account)
    if account is None:
        return Refused(Refusal.NO_ACCOUNT)
    if asked.sequence <= account.sequence:
        return _answered_before(asked, digest, signer, book, moment) or Refused(Refusal.SEQUENCE)
    # The head is the holder's own word that he accepts every statement before.
    if asked.sequence != account.sequence + 1 or asked.head != account.head:
        return Refused(Refusal.SEQUENCE)
    if moment.is_past(asked.last_round):
        return Refused(Refusal.TOO_LATE)
    return account


def _answered_before(
    asked: AccountRequest, digest: bytes, signer: Signer, book: Book, moment: Moment
) -> Body | None:
    found = book.statement(asked.account, asked.sequence)
    if found is None or found[0].digest != digest:
        return None
    statement, epoch = found
    signed = sign_statement(signer.key, statement)
    if asked.operation is not Operation.WITHDRAW:
        return Credited(signed)
    if epoch == FROM_THE_BOARD:
        return _withdrawn_before(asked, digest, statement, signer, book, moment)
    certificates: Certificates = signer.certificates(asked.outputs, epoch, statement.round)
    return Withdrawn(signed, certificates)


def _withdrawn_before(
    asked: AccountRequest, digest: bytes, statement: Statement, signer: Signer, book: Book, moment: Moment
) -> Body | None:
    """
    A predecessor booked this withdrawal. Its certificates are those of the board; what the board doesn't show
    is certified now, since it was paid for.
    """
    values = [book.value(output.coin) for output in asked.outputs]
    missing = [output for output, value in zip(asked.outputs, values, strict=True) if value is None]
    epochs = {value.epoch for value in values if value is not None}
    round_ = signer.promised_round(moment) if missing else statement.round
    if len(epochs) > 1 or any(
        value is not None and value.exponent != output.exponent
        for output, value in zip(asked.outputs, values, strict=True)
    ):
        return None
    epoch = epochs.pop() if epochs else moment.epoch
    certificates = signer.certificates(asked.outputs, epoch, round_)
    made = [Value(output.exponent, epoch) for output in missing]
    for index, output in enumerate(missing):
        if not book.certify(output.coin, made[index], digest, moment.closed):
            book.take_back((), [each.coin for each in missing[:index]])
            return None
    if missing:
        book.count(Count.WITHDRAWN, made)
        entries = zip(asked.outputs, certified_entries(asked.outputs, certificates), strict=True)
        book.publish([entry for output, entry in entries if output in missing])
    return Withdrawn(sign_statement(signer.key, statement), certificates)


def next_statement(
    asked: AccountRequest, digest: bytes, account: Account, change: int, round_: int
) -> Statement:
    """The statement that books a request: ``change`` in units, the board shows its entries by ``round_``."""
    return Statement(
        asked.bank,
        asked.account,
        account.sequence + 1,
        asked.operation,
        abs(change),
        account.balance + change,
        digest,
        account.head,
        round_,
    )


def append(book: Book, statement: Statement, epoch: int) -> None:
    """
    Put a statement at the end of its account's chain; ``epoch``: of what was certified with it. Raises
    FatalError when the account goes on already.
    """
    # The sequence was read in this transaction, so only a damaged store has it already.
    if not book.add_statement(statement, epoch):
        raise FatalError("an account has a statement beyond its newest; restore or recover the store")
