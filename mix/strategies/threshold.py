"""
A pool that fires when enough packets have come, or when the first of them has waited for too long.

How well a packet is hidden doesn't depend on the load: each firing has ``threshold`` new packets among which
it leaves, as long as that many come within the longest wait. What depends on the load is the wait. Without
the longest wait, the last packets of the day would stay till the next.

Source: docs/spec/mixing-threshold.md (the threshold-or-timed pool mix of Serjantov, Dingledine and Syverson,
"From a trickle to a flood", 2002).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mix.strategies.strategy import Randomness, counted, leaving, sum_of_geometric

T = TypeVar("T")


@dataclass
class Threshold(Generic[T]):
    """
    Fires at the tick after ``threshold`` packets have come since the last firing, or ``longest_ticks`` ticks
    after the first of them: all leave but ``minimum``, which stay whatever happens.

    It fires at ticks only, so the time of a firing doesn't tell which packet was the last that it took.
    ``rng`` as in TimedPool.
    """

    rng: Randomness
    threshold: int
    longest_ticks: int
    minimum: int = 0
    _held: list[T] = field(default_factory=list, repr=False)
    _came: int = 0
    _waited: int = 0

    def __post_init__(self) -> None:
        if self.threshold < 1 or self.longest_ticks < 1 or self.minimum < 0:
            raise ValueError("a threshold and a longest wait are at least 1, and a minimum at least 0")

    def add(self, packets: Sequence[T], delays_ms: Sequence[int] | None = None) -> None:
        """Delays play no part here; packets that bring any are refused before."""
        added = counted(packets, delays_ms)
        self._held += added
        self._came += len(added)

    def tick(self) -> list[T]:
        if not self._came:
            return []
        self._waited += 1
        if self._came < self.threshold and self._waited < self.longest_ticks:
            return []
        self._came = self._waited = 0
        return leaving(self._held, max(0, len(self._held) - self.minimum), self.rng)

    def __len__(self) -> int:
        return len(self._held)


def firing_ticks(arriving: float, threshold: int, longest_ticks: int) -> int:
    """How many ticks lie between two firings, when ``arriving`` packets come per tick."""
    return max(1, min(longest_ticks, math.ceil(threshold / arriving) if arriving > 0 else longest_ticks))


def tail_ticks(
    quantile: float, arriving: float, pools: int, threshold: int, longest_ticks: int, minimum: int
) -> int:
    """
    Within how many ticks a packet has left ``pools`` of these in a row, with probability ``quantile``.

    A packet leaves at each firing with chance a / (a + minimum), a being what came for it. Raises ValueError
    as `sum_of_geometric`.
    """
    period = firing_ticks(arriving, threshold, longest_ticks)
    came = arriving * period
    chance = came / (came + minimum) if came else 0.0
    return period * sum_of_geometric(quantile, chance, pools)
