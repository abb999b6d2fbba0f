"""
The bank's store: everything of the bank that speaks SQL, behind one interface.

    interface.py   what a store promises: durability, concurrency, retries; and what a transaction may do
    opening.py     the store that the settings name
    moving.py      from one engine to the other
    reading.py, upkeep.py, gathering.py   what every engine asks, writes and gathers alike
    sqlite/        one file on this machine
    postgres/      a server's database

Nothing outside this folder holds a connection. What the bank decides (bank/ledger, bank/outbox.py,
bank/confirmer.py, bank/statements.py) is written once, as functions over ``Books`` and ``View``.
"""
