"""
The wallet as a program uses it. Commands, and later a web page, call nothing else.

    wishes.py     what the member asks for: withdraw, pay, ask, take, prove, deposit
    work.py       what goes on by itself, and how each wish is carried to its end
"""

from wallet.cashier.wishes import Cashier

__all__ = ["Cashier"]
