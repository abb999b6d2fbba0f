"""
The auditor: a board's log recomputed by somebody who believes neither board nor bank.

    audit.py        the checks, in their order
    replay.py       the first pass, driven: leaves through processes, in order again
    chunk.py        what a process does with a piece of the log
    spill.py        what is kept on disk between the passes
    shard.py        the second pass: coins sorted, counted, their part of the map grown
    counting.py     the shards' counts and roots, put together
    statements.py   the bank's statements against each other and against the log
    maps.py         the board's map entries
    promises.py     receipts that the auditor was shown
    fed.py          receipts for what a bank fed
    shown.py        proofs about coins that the auditor was shown
    convict.py      from what is wrong to a file that proves it
    finding.py      what is found, for workers and for people
    run.py, told.py, commands.py    the command line

Source: docs/spec/accusation.md, section 6.
"""
