"""
What a member does as a payee.

    asking.py     requests, what came of them, what their payers sent back
    taking.py     holds and sealed payments, which the payee carries out; cancelling
"""

from wallet.payee.taking import Payee

__all__ = ["Payee"]
