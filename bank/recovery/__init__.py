"""
When a bank must be replaced: a change of its key, and a successor's books made from the board alone.

    change.py     what the authorities sign: drafted from the board, signed, checked, said in words
    balances.py   the list of accounts that a living bank writes and a successor reads
    rebuild.py    the pass over the log: its rounds become books. Pure but for the store
    learnt.py     what that pass learns beside. Pure
    reckoning.py  how much was withdrawn after the list was made. Pure
    opening.py    the last transaction: accounts, counts, what the list has and the board hasn't
    promises.py   what the log has of the bank's terms, by which the successor is bound. Pure
    record.py     the file in a successor's folder that says which keys came before his
    run.py        the work of ``mixmint bank recover``
    telling.py    what it says when it is done
    endpoint.py   the successor's descriptor, for a new directory
    commands.py   ``mixmint bank recover`` and ``bank balances``
    changing.py   ``mixmint bank change ...``
    options.py    options that several of them have

Source: docs/spec/succession.md; Simon, definition 6.
"""
