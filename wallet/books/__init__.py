"""
The purse's books: all that the wallet writes down.

    knowledge.py  what it knows of account, bank and board
    book.py       events in, states written, effects carried out; whole rounds of the board
    effects.py    what effects do to coins
    signing.py    orders signed with the purse's coins
    evidence.py   files that convict somebody
"""

from wallet.books.book import Books, Outward
from wallet.books.knowledge import FORGOTTEN_ROUNDS

__all__ = ["FORGOTTEN_ROUNDS", "Books", "Outward"]
