"""
A month in a community of fifty, and what its bank and its board give away. No network, no real time.

    bank.py       the real ledger rules on the real books; what the bank sees of it, as a log
    people.py     members who withdraw, pay, are paid and deposit, by the wallet's own plans
    watching.py   two watchers: the bank, and somebody who reads the board
    shown.py      the table and the plot of docs/anonymity.md

Everything is drawn from one seed, so a month can be had again.
"""
