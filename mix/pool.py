"""
Pools: when a mix lets which of its packets go. Pure: a tick comes in, packets go out.

What an observer sees at a tick is how many packets leave; which of those that came they are, the rest of the
pool hides. `TimedPool` is the default strategy; others fit `Strategy`.

Source: docs/spec/mixing.md, section 2 (Mixmaster's timed dynamic pool; Serjantov, Dingledine and Syverson,
"From a trickle to a flood", 2002).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")

MINIMUM = 8
FRACTION = 0.65


class Randomness(Protocol):
    """The part of `random.Random` that pools need; outside tests a `SystemRandom`."""

    def randbytes(self, n: int, /) -> bytes:
        """n random bytes."""


class Strategy(Protocol[T]):
    """What holds a mix's packets, or rather its references to them."""

    def add(self, packets: Iterable[T]) -> None:
        """Packets that are recorded, and may be released from now on."""

    def tick(self) -> list[T]:
        """A tick has come: the packets to release now, in the order in which to send them."""

    def __len__(self) -> int:
        """How many are held."""


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

    def add(self, packets: Iterable[T]) -> None:
        self._held.extend(packets)

    def tick(self) -> list[T]:
        shuffled(self._held, self.rng)
        keep = len(self._held) - released(len(self._held), self.minimum, self.fraction)
        leaving = self._held[keep:]
        del self._held[keep:]
        return leaving

    def __len__(self) -> int:
        return len(self._held)


def shuffled(packets: list[T], rng: Randomness) -> None:
    """Bring ``packets`` into a random order, in place, with one call for randomness."""
    numbers = rng.randbytes(8 * len(packets))
    order = sorted(range(len(packets)), key=lambda place: numbers[8 * place : 8 * place + 8])
    packets[:] = [packets[place] for place in order]


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

    The sum of as many geometric waits (a negative binomial), in ticks; at least one is spent in each pool.
    Conversations send again only after this: earlier would cost packets, and tell that two of them belong
    together.

    Raises ValueError if nothing comes (then there is no such number), or for a quantile outside 0 to 1.
    """
    if not 0 < quantile < 1:
        raise ValueError("a quantile lies between 0 and 1")
    leaves = chance(arriving, minimum, fraction)
    if not leaves:
        raise ValueError("packets never leave a pool where none come")
    ticks, inside = pools, leaves**pools
    term = inside
    # The second condition: a quantile so close to 1 that rounding would never let the sum reach it.
    while inside < quantile and inside + term != inside:
        # P(t + 1) / P(t) of the negative binomial: no factorials, no overflow.
        term *= ticks / (ticks + 1 - pools) * (1 - leaves)
        ticks += 1
        inside += term
    return ticks


def _check(minimum: int, fraction: float) -> None:
    if minimum < 0 or not 0 < fraction <= 1:
        raise ValueError("a pool has a minimum of at least 0, and a fraction above 0 and at most 1")
