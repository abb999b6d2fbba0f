"""
Plans carried to their end: pay, hand over, receive, exchange, deposit.

A plan is a wish on file. Each pass looks at the coins that are there now, starts the next orders, and waits
until they are settled. So a crash anywhere leaves a wish and some orders, and the next process goes on.

    carrying.py     the loop: one step of a plan, then its orders, until it is over
    desk.py         what each step works with: coins in hand, orders of a plan, its next state
    paying.py       a payment request: by one order, or
    apart.py        coin by coin, an order for each
    handing.py      bearer files, written and received
    exchanging.py   exchanges for their own sake, deposits

A step is a function of the desk, the plan's row and its state. It either ends the plan, or starts orders and
returns their rows.
"""

from wallet.errands.carrying import Errands

__all__ = ["Errands"]
