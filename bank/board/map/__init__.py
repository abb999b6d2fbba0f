"""
The authenticated map: coin id -> certified, spent or replaced, under one root that the board logs.

It is derived from the log's leaves alone, so anyone can recompute it, and nothing is lost when it is.
"""
