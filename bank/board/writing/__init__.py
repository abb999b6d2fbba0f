"""
How the board writes: what came, the rounds that are made of it, and the log that shows them.

    journal.py       the transactions: entries wait, leaves are fixed, a checkpoint becomes the newest
    publisher.py     a round becomes public, in six steps that are each safe to repeat
    store.py         the database and the log's files, with their threads
    start.py         before anything is signed: is this the newest that was ever signed, and whole?
    recovery.py      the database, made again from the log's files
    coins.py         where each coin was certified and spent
    notable.py       where the rare entries stand
    map_rounds.py    the map's root becomes an entry, every so many rounds
    sampling.py      spot checks of what the bank feeds
    checkpoints.py   SQLite's write-ahead log, copied beside the writer
"""
