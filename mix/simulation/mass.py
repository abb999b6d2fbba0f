"""
Where a packet may have come from, as probability: followed through pools exactly.

All three strategies let packets leave that are alike to whoever sees only how many came and went: a timed
pool and a threshold pool choose uniformly; exponential waits have no memory, so of those that a mix holds
each is as likely to go now. So if k of N packets leave, each of the N is any of the k with chance 1/N: what
leaves has the mean of all the origins held, and what stays has it too. Nothing is sampled or guessed.
(Waits are drawn in whole milliseconds: for `poisson` it is exact up to one millisecond in a tick.)

An origin is a *class*: packets that the adversary can't tell apart where they enter, such as all that a
gateway sent on in one tick.

Source: Serjantov and Danezis, "Towards an information theoretic metric for anonymity", 2002; Diaz, Seys,
Claessens and Preneel, "Towards measuring anonymity", 2002.
"""

import math
from collections.abc import Iterable, Mapping

NOBODY = -1
"""The class of mixes' own cover."""
LEAST = 1e-12
"""Shares below are dropped: together less than what rounding loses."""


class Mass:
    """One packet's origin: a share for each class, together 1. Compared by identity: packets share it."""

    __slots__ = ("shares",)

    def __init__(self, shares: Mapping[int, float]) -> None:
        self.shares = shares


class Pool:
    """What the adversary knows of an honest mix's pool: how many are held, and their origins' sum."""

    def __init__(self) -> None:
        self.held = 0
        self._sums: dict[int, float] = {}

    def add(self, count: int, mass: Mass) -> None:
        """As many packets of this origin have come."""
        self.held += count
        sums = self._sums
        for origin, share in mass.shares.items():
            sums[origin] = sums.get(origin, 0.0) + count * share

    def leave(self, count: int) -> Mass:
        """The origin of each of ``count`` that leave now. Raises ValueError if so many aren't held."""
        if not 0 < count <= self.held:
            raise ValueError("more leave than are held")
        each, stay = 1 / self.held, (self.held - count) / self.held
        self.held -= count
        gone = {origin: share for origin, total in self._sums.items() if (share := total * each) > LEAST}
        self._sums = {origin: share * stay / each for origin, share in gone.items()} if self.held else {}
        return Mass(gone)


def by_sender(mass: Mass, entrants: Mapping[int, Mapping[int, int]]) -> dict[int, float]:
    """
    Each member's chance to be the sender, together 1, given that the packet is a member's.

    ``entrants``: how many packets each sender has in a class; senders below 0 are nodes. A member's cover
    counts like what he says: nobody can tell. Empty when it can be nobody's.
    """
    chances: dict[int, float] = {}
    for origin, share in mass.shares.items():
        if origin == NOBODY:
            continue
        inside = entrants[origin]
        each = share / sum(inside.values())
        for sender, count in inside.items():
            if sender >= 0:
                chances[sender] = chances.get(sender, 0.0) + count * each
    total = sum(chances.values())
    return {sender: chance / total for sender, chance in chances.items()}


def entropy_bits(chances: Iterable[float]) -> float:
    """What is not known, in bits; the chances sum to 1."""
    return max(0.0, -sum(each * math.log2(each) for each in chances if each > 0))


def normalised(bits: float, users: int) -> float:
    """Diaz: 1 when everybody is as likely, 0 when one is certain."""
    return bits / math.log2(users) if users > 1 else 0.0
