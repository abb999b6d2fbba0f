"""
The bank's side of claims: customers whom it left without an answer show their orders on the board.

    truth.py      what an answer may say of a claim: one function for bank, wallets and judges. Pure
    answering.py  a claim through the ledger, like any request; what goes on the board. Pure
    reading.py    which of the board's claims the bank owes an answer. Pure
    clerk.py      the task that answers what is open

Source: docs/spec/claim.md.
"""
