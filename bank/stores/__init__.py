"""
The bank's store: everything of the bank that speaks SQL, behind one interface.

    interface.py   what a store promises: durability, concurrency, retries; and what a transaction may do
    opening.py     the store that the settings name
    sqlite/        one file on this machine

Nothing outside this folder holds a connection. What the bank decides (bank/ledger, bank/outbox.py,
bank/confirmer.py, bank/statements.py) is written once, as functions over ``Books`` and ``View``.
"""
