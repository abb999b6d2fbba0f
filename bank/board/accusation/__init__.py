"""
Accusations: self-contained files that prove a cheat to anyone, offline. Pure.

    verdict.py    kinds, whom they accuse, what a check comes to
    evidence.py   leaves with their proof; a log that the board signed, or that the bank confirmed
    books.py      the bank: certificates, statements, coins that end twice
    answers.py    the bank: two answers that give one coin to two orders
    claims.py     the bank, or its board: claims that were not answered in time
    lies.py       the bank: false answers, forked accounts
    denied.py     the bank: an order that was executed by one answer, and wasn't by the next
    log.py        the board: two logs, broken rules, a false map
    receipts.py   the board: receipts that it didn't honour
    standing.py   where an accused key stands among its bank's keys
    successor.py  the bank, when its key was changed: what shows whose key it is
    file.py       the text file around all of them, and the check

Source: docs/spec/accusation.md.
"""
