"""
A withdrawal, a deposit or a replacement, along the account's chain of statements.

    state.py      what is on file of one
    machine.py    the table: events and what follows
    asking.py     the questions, and the requests that are signed
    answers.py    what each answer leads to
"""

from wallet.machines.account.machine import advance
from wallet.machines.account.state import AccountState

__all__ = ["AccountState", "advance"]
