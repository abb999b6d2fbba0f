"""
Which of two directories to believe. Pure.

A reader goes forward only. The chain of hashes shows him that each directory follows the one that he has; two
that can't both follow are proof that the authorities contradict themselves, since a threshold of them signed
each.

Source: docs/spec/directory.md, section 5.
"""

from dataclasses import dataclass
from enum import Enum

from mix.directory.document import Directory
from mix.directory.verify import directory_hash


@dataclass(frozen=True, slots=True)
class Belief:
    """A verified directory, and the signed bytes that it was read from."""

    directory: Directory
    signed: bytes

    @property
    def sequence(self) -> int:
        return self.directory.sequence

    def __repr__(self) -> str:
        return f"Belief({self.directory.network} {self.sequence})"


class News(Enum):
    """What a verified directory is to a reader who has another."""

    NOTHING = "nothing"
    """The same, or an older one."""
    NEXT = "next"
    """It follows ours."""
    LATER = "later"
    """It comes after ours, but not right after: those between decide whether it follows."""
    FORKED = "forked"
    """It has our number, or the next, and contradicts ours."""
    FOREIGN = "foreign"
    """It is another network's."""


def weigh(ours: Belief, other: Belief) -> News:
    """What ``other`` is to a reader of ``ours``; both verified."""
    if other.directory.network != ours.directory.network:
        return News.FOREIGN
    if other.sequence < ours.sequence:
        # It may be a fork of our past. We don't keep our past; whoever does, sees it.
        return News.NOTHING
    if other.sequence == ours.sequence:
        is_same = directory_hash(other.signed) == directory_hash(ours.signed)
        return News.NOTHING if is_same else News.FORKED
    if other.sequence > ours.sequence + 1:
        return News.LATER
    return News.NEXT if other.directory.previous == directory_hash(ours.signed) else News.FORKED
