"""
Replacement: withdrawn coins that were never spent go back to their account, long after they expired.

So a secret that was lost, or a wallet that lay in a drawer, costs time and not money. The holder shows the
receipt of the withdrawal; who exchanged a coin once is anonymous, so nobody can have such a coin replaced.

A coin is worth something in one place only. It can be replaced when its epoch is *swept*: retired, so that no
order, hold or claim can use the coin any more, whatever any clock says; and how each of its coins ended is in
the coin's own row, which this rule writes last. So of spending and replacing one comes first and is final.

Source: docs/spec/account.md, section 3; docs/spec/terms.md, section 5; docs/adr/0023.
"""

from bank.formats.account import sign_statement
from bank.formats.answer import Body, Credited, Refusal, Refused
from bank.formats.coin import total_units
from bank.formats.entry import make_replaced_entry
from bank.formats.request import Replace
from bank.formats.statement import EARLY_ROWS
from bank.ledger.accounts import account_for, append, next_statement
from bank.ledger.book import Account, Book, Count, Value
from bank.ledger.terms import MOST_BALANCE, Moment, Signer
from mixmint.errors import FatalError


def replace(request: Replace, digest: bytes, signer: Signer, book: Book, moment: Moment) -> Body:
    """Credit the account with coins of a withdrawal of its own; ``request.fits()``, its signatures hold."""
    asked = request.signed.request
    account = account_for(asked, digest, signer, book, moment)
    if not isinstance(account, Account):
        return account
    values: list[Value] = []
    for index, output in enumerate(asked.outputs):
        value = book.value(output.coin)
        if value is None or value.exponent != output.exponent:
            return Refused(Refusal.UNKNOWN_CERTIFICATE, index)
        # A hold lasts rounds, not days: if the board stood still for long, one may be live even now.
        if value.epoch >= book.swept() or book.hold_on(output.coin, moment.closed) is not None:
            return Refused(Refusal.NOT_YET, index)
        if book.has_ended(output.coin):
            return Refused(Refusal.ENDED_COIN, index)
        values.append(value)
    if book.unstated() >= EARLY_ROWS:
        # Counts of epochs long past have no room in the next statement: it is due, and then they have.
        return Refused(Refusal.NOT_YET)
    units = total_units(output.exponent for output in asked.outputs)
    if account.balance + units > MOST_BALANCE:
        return Refused(Refusal.BALANCE)
    for output in asked.outputs:
        if not book.end(output.coin):
            raise FatalError("a coin ended while it was replaced; restore or recover the store")
    book.count(Count.REPLACED, values)
    statement = next_statement(asked, digest, account, units, signer.promised_round(moment))
    append(book, statement, moment.epoch)
    book.publish(
        [
            make_replaced_entry(signer.key, signer.bank, output.coin, output.exponent, value.epoch).encode()
            for output, value in zip(asked.outputs, values, strict=True)
        ]
    )
    return Credited(sign_statement(signer.key, statement))
