"""What a mix asks of a strategy, and what strategies share. Pure."""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Randomness(Protocol):
    """The part of `random.Random` that strategies need; outside tests a `SystemRandom`."""

    def randbytes(self, n: int, /) -> bytes:
        """n random bytes."""

    def expovariate(self, lambd: float, /) -> float:
        """An exponentially distributed number of mean 1 / lambd."""


class Strategy(Protocol[T]):
    """
    What holds a mix's packets, or rather its references to them, and says when each leaves.

    It knows no clock: `tick` is one of the network's ticks.
    """

    def add(self, packets: Sequence[T], delays_ms: Sequence[int] | None = None) -> None:
        """
        Packets that are recorded, and may be released from now on.

        ``delays_ms``: what their senders chose, one each; None for the mix's own cover, and for what a
        restart finds in the pool, whose times nobody kept.
        """

    def tick(self) -> list[T]:
        """A tick has come: the packets to release now, in the order in which to send them."""

    def __len__(self) -> int:
        """How many are held."""


def shuffled(packets: list[T], rng: Randomness) -> None:
    """Bring ``packets`` into a random order, in place, with one call for randomness."""
    numbers = rng.randbytes(8 * len(packets))
    order = sorted(range(len(packets)), key=lambda place: numbers[8 * place : 8 * place + 8])
    packets[:] = [packets[place] for place in order]


def sum_of_geometric(quantile: float, leaves: float, waits: int) -> int:
    """
    Within how many trials ``waits`` successes have come, with probability ``quantile``, at a chance of
    ``leaves`` each: the negative binomial.

    Raises ValueError when there is no such number.
    """
    if not 0 < quantile < 1:
        raise ValueError("a quantile lies between 0 and 1")
    if not 0 < leaves <= 1:
        raise ValueError("packets never leave a pool where none come")
    trials, inside = waits, leaves**waits
    term = inside
    # The second condition: a quantile so close to 1 that rounding would never let the sum reach it.
    while inside < quantile and inside + term != inside:
        # P(t + 1) / P(t) of the negative binomial: no factorials, no overflow.
        term *= trials / (trials + 1 - waits) * (1 - leaves)
        trials += 1
        inside += term
    return trials


def leaving(held: list[T], count: int, rng: Randomness) -> list[T]:
    """Take ``count`` of ``held`` out of it, any of them, in any order."""
    shuffled(held, rng)
    keep = len(held) - count
    gone = held[keep:]
    del held[keep:]
    return gone


def counted(packets: Iterable[T], delays_ms: Sequence[int] | None) -> list[T]:
    """The packets as a list; raises ValueError when there is another number of delays."""
    listed = list(packets)
    if delays_ms is not None and len(delays_ms) != len(listed):
        raise ValueError("one delay for each packet")
    return listed
