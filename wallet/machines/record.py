"""What an operation remembers of its claim."""

import msgspec


class ClaimRecord(msgspec.Struct, frozen=True):
    """
    ``asked``: the board's newest round when the wait for the bank began, 0 while it doesn't wait. ``entry``:
    the CLAIM entry's bytes, empty before there is one. ``posted``: the board has taken it. ``round``: the one
    that shows it, 0 before. ``planned``: it is due, and waits for this round, so that claims that were due
    together don't leave together; 0 before. ``void``: the bank's key was changed behind the round that shows
    it, so nobody answers it there any more.
    """

    asked: int = 0
    entry: bytes = b""
    posted: bool = False
    round: int = 0
    planned: int = 0
    void: bool = False

    def after_change(self, round_: int) -> "ClaimRecord":
        """Once ``round_`` of the board has changed the bank's key; the successor answers later claims."""
        return msgspec.structs.replace(self, void=True) if 0 < self.round <= round_ else self

    def __repr__(self) -> str:
        return f"ClaimRecord(asked={self.asked}, posted={self.posted}, round={self.round})"
