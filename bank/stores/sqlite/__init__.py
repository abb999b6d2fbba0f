"""
The bank's store in SQLite: one file on this machine, for everything up to some thousand orders a second.

    schema.py   the tables, and how the file is opened
    keeping.py  the file as a whole: copied before its tables change, marked when it has moved
    view.py     reading
    coins.py    a transaction that writes: coins
    book.py     and all the rest
    store.py    the daemon's: one writer thread, checkpoints beside it
    once.py     the operator's commands'
"""

from bank.stores.sqlite.book import SqliteBook
from bank.stores.sqlite.once import SqliteCommandStore, run_once
from bank.stores.sqlite.schema import open_books
from bank.stores.sqlite.store import SqliteStore
from bank.stores.sqlite.view import SqliteView

__all__ = ["SqliteBook", "SqliteCommandStore", "SqliteStore", "SqliteView", "open_books", "run_once"]
