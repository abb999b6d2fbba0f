"""
How well coins hide, as numbers, and the exchanges that hide them better. Pure.

    crowd.py    how many coins a coin could be, for the public
    figures.py  the two figures of each coin, and what they are summed up to
    churn.py    which coins are exchanged once more, and when
    stock.py    which standard exchanges keep a stock that pays without change

What the figures mean, and what they don't: docs/anonymity.md.
"""
