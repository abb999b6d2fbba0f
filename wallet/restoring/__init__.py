"""
A wallet from its seed's words and the board alone; and copies of a wallet, which share a seed.

    words.py        the seed as 24 words
    deriving.py     coin ids by the hundred thousand, in processes of their own
    worker.py       such a process
    reading.py      the board's log as bare leaves, each page proved
    memory.py       which ids may be on the board, in a memory that doesn't grow
    table.py        ids that may be ours next, by their beginnings
    scan.py         reads the log, finds our coins, writes them down
"""
