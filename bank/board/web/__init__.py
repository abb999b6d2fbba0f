"""
The board on the web, for programs: JSON, the log's files, the live feed, and their description. Pages for
people are in ``bank.board.pages``.
"""
