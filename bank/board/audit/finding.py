"""What an audit finds, as workers report it and as people read it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Fault(StrEnum):
    """What is wrong, before anyone is accused of it. The words are the JSON output's."""

    GROWTH = "growth"
    """The log doesn't begin with the one of an earlier checkpoint."""
    TREE = "tree"
    """The entries don't lead to the checkpoint's root."""
    MARK = "mark"
    ORDER = "order"
    MALFORMED = "malformed"
    UNFINISHED = "unfinished"
    """The log ends in the middle of a round."""
    FALSE = "false"
    """A signature is false."""
    VOID = "void"
    """A key signed it that another had replaced."""
    ENDED_TWICE = "ended-twice"
    """Spent by two orders, or spent and replaced."""
    REPEATED = "repeated"
    """The same entry again: it gives nothing out."""
    CERTIFIED_TWICE = "certified-twice"
    NEVER_CERTIFIED = "never-certified"
    STATEMENT = "statement"
    TWO_VIEWS = "two-views"
    VALUE = "value"
    """More certificates than stated."""
    OVERSTATED = "overstated"
    """Fewer certificates than stated, where all of them should be public."""
    MAP = "map"
    RECEIPT = "receipt"
    TERMS = "terms"
    """Terms that don't follow from the ones before, or take from coins that are out."""
    CLAIM = "claim"
    """A claim without a true answer."""


class Problem(NamedTuple):
    """Something wrong with one entry or two, by their indexes; the second is -1 when there is only one."""

    fault: Fault
    one: int
    other: int = -1


MOST_PROBLEMS = 64
"""Of one kind that one worker reports from one piece of work. A thousand false entries are one lie."""


@dataclass
class Problems:
    """What one piece of work found; of each kind the first few, and how many there were."""

    found: list[Problem] = field(default_factory=list)
    counts: dict[Fault, int] = field(default_factory=dict)

    def add(self, fault: Fault, one: int, other: int = -1) -> None:
        count = self.counts.get(fault, 0)
        self.counts[fault] = count + 1
        if count < MOST_PROBLEMS:
            self.found.append(Problem(fault, one, other))

    def join(self, others: "Problems") -> None:
        """Take over what another piece of work found."""
        for fault, count in others.counts.items():
            self.counts[fault] = self.counts.get(fault, 0) + count
        room = {
            fault: MOST_PROBLEMS - sum(one.fault is fault for one in self.found) for fault in others.counts
        }
        for problem in others.found:
            if room[problem.fault] > 0:
                room[problem.fault] -= 1
                self.found.append(problem)


class Weight(StrEnum):
    """How grave a finding is."""

    CHEAT = "cheat"
    """Somebody broke the rules: the audit fails."""
    LATE = "late"
    """A promise that isn't kept yet, while nothing shows that it won't be."""
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """
    One thing found, in a sentence. ``against``: whom it accuses, in words. ``accusation``: the file's bytes.
    """

    weight: Weight
    fault: str
    sentence: str
    against: str = ""
    accusation: bytes | None = None
