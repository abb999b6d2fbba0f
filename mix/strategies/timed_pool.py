"""
The default: a pool that at each tick lets a random part of its packets go, and never all.

What an observer sees at a tick is how many packets leave; which of those that came they are, the rest of the
pool hides.

Source: docs/spec/mixing-timed-pool.md (Mixmaster's timed dynamic pool; Serjantov, Dingledine and Syverson,
"From a trickle to a flood", 2002).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mix.strategies.strategy import Randomness, counted, leaving, sum_of_geometric

T = TypeVar("T")

MINIMUM = 8
FRACTION = 0.65


@dataclass
class TimedPool(Generic[T]):
    """
    Holds N packets; at each tick releases min(N - minimum, floor(fraction * N)) of them, or none.

    ``rng`` must be cryptographic (SystemRandom) outside tests: whoever can guess its choice can follow a
    packet. The minimum stays in the pool for ever, so that an attacker who fills the mix with packets of his
    own (and then waits for one of ours to come out among them) can never be sure to have flushed it.
    """

    rng: Randomness
    minimum: int = MINIMUM
    fraction: float = FRACTION
    _held: list[T] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        _check(self.minimum, self.fraction)

    def add(self, packets: Sequence[T], delays_ms: Sequence[int] | None = None) -> None:
        """Delays play no part here; packets that bring any are refused before."""
        self._held += counted(packets, delays_ms)

    def tick(self) -> list[T]:
        return leaving(self._held, released(len(self._held), self.minimum, self.fraction), self.rng)

    def __len__(self) -> int:
        return len(self._held)


def released(held: int, minimum: int = MINIMUM, fraction: float = FRACTION) -> int:
    """How many of ``held`` packets leave at a tick."""
    return max(0, min(held - minimum, math.floor(fraction * held)))


def chance(arriving: float, minimum: int = MINIMUM, fraction: float = FRACTION) -> float:
    """
    The chance (0 to 1) that a packet in a pool leaves at a tick, when ``arriving`` packets come per tick.

    In the long run as many leave as come. With few coming, the minimum decides: N - minimum = arriving of N
    leave. With many, the fraction does.
    """
    _check(minimum, fraction)
    if arriving < 0:
        raise ValueError("packets per tick can't be negative")
    return min(arriving / (arriving + minimum), fraction) if arriving else 0.0


def expected_ticks(arriving: float, minimum: int = MINIMUM, fraction: float = FRACTION) -> float:
    """
    The mean number of ticks that a packet waits for in one pool; infinite in one where nothing else comes.

    ``arriving``: packets per tick, cover included. Ticks survived are geometric, each with `chance`; the
    first comes half a tick after arrival, on average, which isn't counted here.
    """
    leaves = chance(arriving, minimum, fraction)
    return 1 / leaves if leaves else math.inf


def tail_ticks(
    quantile: float, arriving: float, pools: int = 1, minimum: int = MINIMUM, fraction: float = FRACTION
) -> int:
    """
    Within how many ticks a packet has left ``pools`` pools in a row, with probability ``quantile``.

    The sum of as many geometric waits, in ticks; at least one is spent in each pool. Conversations send again
    only after this: earlier would cost packets, and tell that two of them belong together.

    Raises ValueError if nothing comes (then there is no such number), or for a quantile outside 0 to 1.
    """
    return sum_of_geometric(quantile, chance(arriving, minimum, fraction), pools)


def _check(minimum: int, fraction: float) -> None:
    if minimum < 0 or not 0 < fraction <= 1:
        raise ValueError("a pool has a minimum of at least 0, and a fraction above 0 and at most 1")
