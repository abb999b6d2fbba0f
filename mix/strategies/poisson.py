"""
Delays that senders choose: each packet waits at each mix for an exponential time, rounded up to a tick.

An exponential wait has no memory: however long a packet has waited, what is left is like the whole. So of the
packets that a mix holds, each is as likely to leave next, whoever came first; and a restart may draw the
delays of what it holds anew, so that no file needs to keep times.

Source: docs/spec/mixing-poisson.md (Piotrowska, Hayes, Elahi, Meiser and Danezis, "The Loopix Anonymity
System", 2017; Kesdogan, Egner and Bueschkes, "Stop-and-Go MIXes", 1998).
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mix.directory.document import Mixing
from mix.strategies.strategy import Randomness, counted, shuffled

T = TypeVar("T")


@dataclass
class Poisson(Generic[T]):
    """
    Releases each packet at the first tick after its delay is over; those of one tick in random order.

    ``tick_ms``: the network's tick. ``mixing``: the delays that the mix draws itself, for its cover and after
    a restart. ``rng`` as in TimedPool.
    """

    rng: Randomness
    tick_ms: int
    mixing: Mixing
    _due: dict[int, list[T]] = field(default_factory=lambda: defaultdict(list), repr=False)
    _now: int = 0
    _count: int = 0

    def add(self, packets: Sequence[T], delays_ms: Sequence[int] | None = None) -> None:
        added = counted(packets, delays_ms)
        if delays_ms is None:
            delays_ms = [self.mixing.draw_delay_ms(self.rng) for _ in added]
        for packet, delay_ms in zip(added, delays_ms, strict=True):
            self._due[self._now + ticks_of(delay_ms, self.tick_ms)].append(packet)
        self._count += len(added)

    def tick(self) -> list[T]:
        self._now += 1
        gone = self._due.pop(self._now, [])
        shuffled(gone, self.rng)
        self._count -= len(gone)
        return gone

    def __len__(self) -> int:
        return self._count


def ticks_of(delay_ms: int, tick_ms: int) -> int:
    """A delay in whole ticks, at least one: nothing leaves between ticks."""
    return max(1, math.ceil(delay_ms / tick_ms)) if tick_ms else 1


def tail_ms(quantile: float, pools: int, mean_ms: int, most_ms: int, tick_ms: int) -> float:
    """
    Within which time a packet has left ``pools`` mixes in a row, with probability ``quantile``.

    The sum of as many exponential waits (Erlang's distribution), by bisection, and a tick more for each. At
    most all the longest delays.
    """
    if not 0 < quantile < 1:
        raise ValueError("a quantile lies between 0 and 1")
    low, high = 0.0, float(pools * mean_ms)
    while _erlang(high / mean_ms, pools) < quantile:
        high *= 2
    while high - low > mean_ms / 1000:
        middle = (low + high) / 2
        low, high = (middle, high) if _erlang(middle / mean_ms, pools) < quantile else (low, middle)
    return min(high, float(pools * most_ms)) + pools * tick_ms


def _erlang(x: float, waits: int) -> float:
    """The chance that the sum of ``waits`` exponential waits of mean 1 is at most x."""
    term, left = math.exp(-x), 0.0
    for number in range(waits):
        left += term
        term *= x / (number + 1)
    return 1 - left
