"""What an operation remembers of its claim."""

import msgspec


class ClaimRecord(msgspec.Struct, frozen=True):
    """
    ``asked``: the board's newest round when the wait for the bank began, 0 while it doesn't wait. ``entry``:
    the CLAIM entry's bytes, empty before there is one. ``posted``: the board has taken it. ``round``: the one
    that shows it, 0 before. ``planned``: it is due, and waits for this round, so that claims that were due
    together don't leave together; 0 before. ``changed``: the newest round that changed the bank's key beside
    it. ``void``: that was the round that shows it or a later one, so nobody answers it there any more; it
    waits, and is claimed, anew.
    """

    asked: int = 0
    entry: bytes = b""
    posted: bool = False
    round: int = 0
    planned: int = 0
    void: bool = False
    changed: int = 0

    @property
    def is_made(self) -> bool:
        """Whether there is a claim that somebody may still answer."""
        return bool(self.entry) and not self.void

    def shown_in(self, round_: int) -> "ClaimRecord":
        """The board's round ``round_`` has it. Of one that is void, another copy may have claimed anew."""
        first = self.round if self.round and not self.void else round_
        return msgspec.structs.replace(self, posted=True, round=first, void=False)._checked()

    def after_change(self, round_: int) -> "ClaimRecord":
        """Once ``round_`` of the board has changed the bank's key; the successor answers later claims."""
        return msgspec.structs.replace(self, changed=round_)._checked() if self.entry else self

    def _checked(self) -> "ClaimRecord":
        if not 0 < self.round <= self.changed:
            return self
        # The bytes stay: they say that everyone has seen what they show.
        return msgspec.structs.replace(self, void=True, asked=0, planned=0)

    def __repr__(self) -> str:
        return f"ClaimRecord(asked={self.asked}, posted={self.posted}, round={self.round})"
