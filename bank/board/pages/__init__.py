"""
The board for people: made on the server, loading nothing from anywhere else, readable without scripts.

    site.py         which pages there are, and what each asks the board for
    render.py       templates, and how an answer goes out
    static.py       style, scripts, icon
    rounds.py       the newest rounds, and where in the log's files one stands
    lines.py        what a round's table says of an entry
    coins.py        a coin's page
    supply.py       the plots: supply and entries over time
    statements.py   the bank's statement, as a table
    sets.py         how many coins look alike
    checkpoints.py  signed checkpoints and who saw them
    accusations.py  an accusation's page
"""

from bank.board.pages.site import Pages as Pages
