"""What becomes of a forked log: an accusation file, which convinces anyone who knows the board's key."""

from bank.board.accusation.evidence import SignedLog
from bank.board.accusation.file import encode_accusation
from bank.board.accusation.log import BoardEquivocation, Difference
from bank.board.reading.fork import ForkedLog


def accusation_of(error: ForkedLog) -> bytes:
    """The file's bytes, for ``mixmint board check-accusation``."""
    one, other = SignedLog.of(error.fork.older, error.log), SignedLog.of(error.fork.newer, error.log)
    difference = Difference(error.fork.root, error.fork.proof)
    if one.size == other.size and one.root > other.root:
        # Ordered, so that there is one file for one pair.
        one, other, difference = other, one, Difference(one.root, ())
    return encode_accusation(BoardEquivocation(one, other, difference))
