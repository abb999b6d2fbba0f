"""
Rounds: which leaves belong together, and in which order. Pure.

A round is a run of the log's leaves: its entries, ascending by their bytes, and the mark that ends it. The
order tells nothing about who came with whom, and the mark sorts last by itself, being of the highest kind.

Source: docs/spec/board.md, section 2.
"""

from collections.abc import Sequence
from itertools import pairwise

from bank.formats.entry import Kind, RoundEntry, decode_entry
from mixmint.errors import MalformedMessage

MOST_ROUND_ENTRIES = 16_384
"""No round is larger, so a reader knows how much memory one can cost him: about 2 MiB of coins."""
MOST_GROUP_ENTRIES = 255
FULL_ROUND_BYTES = 1 << 24
"""
16 MiB close a round, too, after the group that reached them (1 MiB at most): readers hold 64 MiB of a round
and refuse a longer one for ever, so a bank that feeds long answers must not get one into the log.
"""


def leaves_of(number: int, closed_at_s: int, first: int, entries: Sequence[bytes]) -> list[bytes]:
    """A round's leaves, the mark last; ``first`` is the index in the log of the first of them."""
    return [*sorted(entries), RoundEntry(number, closed_at_s, first).encode()]


def is_sorted(entries: Sequence[bytes]) -> bool:
    """Ascending by bytes. Equal neighbours are allowed: a repeated entry is shown, not hidden."""
    return all(a <= b for a, b in pairwise(entries))


def check_round(leaves: Sequence[bytes], number: int, first: int, not_before_s: int) -> RoundEntry:
    """
    Everything that can be checked of a round's leaves by themselves; that they are the log's is for proofs.

    Returns the mark. Raises MalformedMessage: ``count``, ``mark`` (none at the end, one elsewhere, or not
    that of round ``number`` with leaves from ``first`` on, closed at ``not_before_s`` or later), ``sorted``.
    """
    if not 1 <= len(leaves) <= MOST_ROUND_ENTRIES + 1:
        raise MalformedMessage("count")
    mark = decode_entry(leaves[-1])
    if not isinstance(mark, RoundEntry) or (mark.number, mark.first) != (number, first):
        raise MalformedMessage("mark")
    if mark.closed_at_s < not_before_s or (len(leaves) > 1 and leaves[-2][:1] == leaves[-1][:1]):
        raise MalformedMessage("mark")
    # Sorted, only the leaf before the last could be a second mark.
    if not is_sorted(leaves):
        raise MalformedMessage("sorted")
    return mark


def is_mark(leaf: bytes) -> bool:
    """Whether a round ends with this leaf."""
    return leaf[:1] == _MARK


_MARK = Kind.ROUND.to_bytes(1)
