"""
The bank's store in PostgreSQL, through asyncpg: for banks whose database shall be on another machine, or kept
by people who run PostgreSQL anyway.

    schema.py       the tables
    connection.py   reaching the server; what its errors mean
    opening.py      whose books these are, their version, that nobody else runs them
    known.py        what a transaction has read, and how more is read
    view.py         reading
    coins.py        what a transaction changes, in memory: coins
    book.py         and all the rest
    writing.py      writing that, in a few statements
    store.py        the daemon's: isolation, lock order, lost connections
    once.py         the operator's commands'
"""

from bank.stores.postgres.connection import Place
from bank.stores.postgres.once import PostgresCommandStore
from bank.stores.postgres.store import PostgresStore

__all__ = ["Place", "PostgresCommandStore", "PostgresStore"]
