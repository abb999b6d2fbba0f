"""
Can an observer tell? Features of views, labels that the observer should not know, and a permutation test.

A feature is anything that a view shows. The observer's best rule for one feature guesses, at each of its
values, the label that was more frequent there; of a number, the best cut: one label below it, the other
above. The rule's *score* is how often that is right. By chance alone the score has a distribution that
shuffled labels show; only a score that fewer than ``LEVEL`` of the shuffles reach is a leak.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from random import Random

LEVEL = 0.001
SHUFFLES = 2000
Features = Mapping[str, Hashable]


def score(values: Sequence[Hashable], labels: Sequence[Hashable]) -> int:
    """How many labels the best rule gets right. Two labels."""
    if all(type(value) is int for value in values):
        return _best_cut(values, labels)
    seen: dict[Hashable, Counter[Hashable]] = defaultdict(Counter)
    for value, label in zip(values, labels, strict=True):
        seen[value][label] += 1
    return sum(max(counts.values()) for counts in seen.values())


def _best_cut(values: Sequence[Hashable], labels: Sequence[Hashable]) -> int:
    one = labels[0]
    total = sum(label == one for label in labels)
    best = max(total, len(labels) - total)
    below: Counter[Hashable] = Counter()
    pairs = sorted(zip(values, labels, strict=True), key=lambda pair: pair[0])  # type: ignore[arg-type,return-value]  # numbers, as asked above
    for index, (value, label) in enumerate(pairs):
        below[label == one] += 1
        if index + 1 == len(pairs) or pairs[index + 1][0] != value:
            right = below[True] + (len(labels) - total - below[False])
            best = max(best, right, len(labels) - right)
    return best


def is_leak(values: Sequence[Hashable], labels: Sequence[Hashable], rng: Random) -> bool:
    """Whether fewer than ``LEVEL`` of the shuffled labels are told as well as the true ones."""
    true = score(values, labels)
    shuffled = list(labels)
    as_well = 0
    for _ in range(SHUFFLES):
        rng.shuffle(shuffled)
        as_well += score(values, shuffled) >= true
        if as_well >= LEVEL * SHUFFLES:
            return False
    return True


def leaks(views: Sequence[Features], labels: Sequence[Hashable], seed: int = 0) -> list[str]:
    """The features that tell the label better than chance."""
    rng = Random(seed)
    names = sorted(views[0])
    return [name for name in names if is_leak([view[name] for view in views], labels, rng)]
