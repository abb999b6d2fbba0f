"""
Receipts: a payer proves what he paid, to whom he chooses. Nobody else can, and it can't be shown on as one's
own.

    receipt.py    the file
    making.py     from the purse and the board's log
    executed.py   what makes an order executed, on the board
    checking.py   offline, by whoever knows the log's key
"""
