"""
How the board is read by somebody who doesn't trust it: whole rounds, each proved, and what convicts a liar.

    client.py        whole rounds from a cursor, under the log's checkpoint
    cursor.py        how far a reader has come; leaves cut into rounds
    retry.py         one lost connection is no reason to give up
    fork.py          two checkpoints that can't both be true
    conviction.py    a fork as an accusation file
"""
