"""
What becomes of an operation: state and event in, new state and effects out. Pure.

    steps.py      the events and effects that all of them share
    order.py      an order: exchange, stock, payment
    account/      a withdrawal or a deposit, along the account's chain of statements
    claim.py      a claim on the board, beside an order or an account's request; record.py what it remembers
    succession.py what becomes of any of them when the bank's key was changed
    invoice.py    a payment request that waits to be paid
    promised.py   an order of ours that its payee carries out: a hold, a sealed payment
    foreign.py    the same, on the payee's side

The rule over all of them: only two things end an operation, an answer that the bank signed and the board.
Time never does. A state is on disk before its effects are carried out, so whatever a crash forgot is done
again. And should a refusal have been false, or overtaken: what the board shows comes before it.
"""
