"""
The ledger's rules: what the bank answers, given what is on its books. Pure.

    terms.py      the bank's fixed terms, and the moment by which a batch of requests is judged
    book.py       what the rules ask of a store: one protocol, every method with its contract
    prepare.py    everything that needs no book: reading, signatures, the answers of the good case
    orders.py     exchange, hold, execute (Simon's "coin exchange", in one step and in two)
    accounts.py   withdraw, deposit, statements, and the operator's open and credit
    replacing.py  withdrawn coins that were never spent, back to their account
    successor.py  what a bank's successor answers to what its predecessor left behind

A request is *prepared* outside any transaction (that is where the time goes) and *settled* inside one. The
store's primary keys decide who was first; the rules only read the outcome.

Source: docs/spec/order.md, docs/spec/account.md; docs/spec/simon.md for where each rule comes from.
"""

from bank.ledger.book import Book
from bank.ledger.prepare import Prepared, prepare
from bank.ledger.settle import settle
from bank.ledger.terms import Moment, Signer, Terms

__all__ = ["Book", "Moment", "Prepared", "Signer", "Terms", "prepare", "settle"]
