"""What an operation remembers of its claim."""

import msgspec


class ClaimRecord(msgspec.Struct, frozen=True):
    """
    ``asked``: the board's newest round when the wait for the bank began, 0 while it doesn't wait. ``entry``:
    the CLAIM entry's bytes, empty before there is one. ``posted``: the board has taken it. ``round``: the one
    that shows it, 0 before. ``planned``: it is due, and waits for this round, so that claims that were due
    together don't leave together; 0 before.
    """

    asked: int = 0
    entry: bytes = b""
    posted: bool = False
    round: int = 0
    planned: int = 0

    def __repr__(self) -> str:
        return f"ClaimRecord(asked={self.asked}, posted={self.posted}, round={self.round})"
