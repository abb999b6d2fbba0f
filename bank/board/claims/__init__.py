"""
What anyone may put on the board, besides the bank: claims, answers, certificates, accusations.

    rules.py      what verifies, and what counts as the same again; pure
    limits.py     who has to wait: buckets; pure
    index.py      what is on the board already, in its database
    desk.py       takes submissions: each once, verified, in bounds
    doors.py      the ways in: HTTP, and the mixes
    parts.py      what is too long for one packet
    client.py     the customer's end of both ways

Source: docs/spec/claim.md.
"""
