"""
When a bank must be replaced: a change of its key, and a successor's books made from the board alone.

    change.py     what the authorities sign: drafted from the board, signed, checked, said in words
    balances.py   the list of accounts that a living bank writes and a successor reads
    rebuild.py    the pass over the log: its rounds become books. Pure but for the store
    promises.py   what the log has of the bank's terms, by which the successor is bound. Pure
    record.py     the file in a successor's folder that says which keys came before his
    run.py        the work of ``mixmint bank recover``
    commands.py   ``mixmint bank recover``, ``bank balances`` and ``bank change ...``

Source: docs/spec/succession.md; Simon, definition 6.
"""
