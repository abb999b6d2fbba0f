"""
When a mix lets which of its packets go. Pure: packets and ticks come in, packets go out.

    strategy.py     what a mix asks of a strategy
    timed_pool.py   the default: at each tick a random part
    threshold.py    when enough have come, or after a longest wait
    poisson.py      after a delay that the sender chose

The network's directory says which one all its mixes use, and its numbers.
"""

import math
from typing import TypeVar

from mix.directory.document import Mixing
from mix.strategies import poisson, threshold, timed_pool
from mix.strategies.poisson import Poisson
from mix.strategies.strategy import Randomness, Strategy
from mix.strategies.threshold import Threshold
from mix.strategies.timed_pool import TimedPool

__all__ = ["Poisson", "Strategy", "Threshold", "TimedPool", "make", "tail_s"]

T = TypeVar("T")


def make(mixing: Mixing, tick_ms: int, rng: Randomness) -> Strategy[T]:
    """
    An empty strategy, as the directory wants it. ``tick_ms`` 0: everything leaves as soon as it has come,
    but for a pool's minimum.
    """
    if mixing.strategy == "threshold":
        return Threshold(rng, mixing.threshold, longest_ticks(mixing, tick_ms), mixing.pool_minimum)
    if mixing.strategy == "poisson":
        return Poisson(rng, tick_ms, mixing)
    return TimedPool(rng, mixing.pool_minimum, mixing.pool_permille / 1000 if tick_ms else 1.0)


def longest_ticks(mixing: Mixing, tick_ms: int) -> int:
    """A threshold's longest wait, in ticks."""
    return max(1, math.ceil(mixing.longest_ms / tick_ms)) if tick_ms else 1


def tail_s(mixing: Mixing, tick_ms: int, cover_packets: int, quantile: float, mixes: int) -> float:
    """
    Within which time, in seconds, a packet has left ``mixes`` mixes in a row, with probability ``quantile``.

    ``cover_packets``: the least that comes to each mix per tick. Raises ValueError for a quantile outside
    0 to 1.
    """
    # Without cover a pool moves only when others send: then at least our own packet comes.
    arriving = max(cover_packets, 1)
    if mixing.strategy == "poisson":
        return poisson.tail_ms(quantile, mixes, mixing.delay_ms, mixing.most_delay_ms, tick_ms) / 1000
    if mixing.strategy == "threshold":
        longest = longest_ticks(mixing, tick_ms)
        ticks = threshold.tail_ticks(
            quantile, arriving, mixes, mixing.threshold, longest, mixing.pool_minimum
        )
    else:
        ticks = timed_pool.tail_ticks(
            quantile, arriving, mixes, mixing.pool_minimum, mixing.pool_permille / 1000
        )
    return ticks * tick_ms / 1000
