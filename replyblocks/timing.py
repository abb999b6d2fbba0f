"""
How long a round trip takes, computed from the directory's parameters; resends are drawn from its tail.

In a timed pool with steady traffic a packet leaves at each tick with the same chance, so its stay is
geometric and the round trip is a sum of geometric stays. We assume the least traffic there can be, the
mix's own cover: then the computed trip is longer than the real one, and a resend is never sent for a packet
that is only late.

Source: docs/spec/conversation.md, section 4.
"""

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from mix.directory import Directory
from replyblocks.formats import MOST_ATTEMPT

POOL_FRACTION = 0.65
MIXES = 6
"""Three on the way there, three on the way back."""

GATEWAY_TICKS = 4
"""A tick in each gateway and to each endpoint's mailbox, both ways."""

LEAST_LEVEL = 0.99
MOST_LEVEL = 0.9999
SLACK_S = 1.0
"""For what isn't a pool: connections, the service's work, a busy machine."""


def leave_chance(cover_packets: int, minimum: int, fraction: float = POOL_FRACTION) -> float:
    """
    The chance, 0 to 1, that a packet in a timed pool leaves at a tick, when only cover comes in.

    In the steady state as many leave as come: the pool's size n before a release is the smallest with
    min(n - minimum, floor(fraction * n)) >= what comes. A pool without cover needs at least our own packet.
    """
    coming = max(cover_packets, 1)
    n = coming + minimum
    while int(fraction * n) < coming:
        n += 1
    return coming / n


@dataclass(frozen=True)
class RoundTrip:
    """``reached[n]``: the probability that a round trip takes at most n ticks of ``tick_s`` seconds."""

    tick_s: float
    reached: tuple[float, ...]

    @classmethod
    def of(cls, directory: Directory) -> "RoundTrip":
        """The round trip of this network."""
        chance = leave_chance(directory.cover_packets, directory.pool_minimum)
        if directory.tick_ms == 0:
            return cls(0.0, (1.0,))
        return cls(directory.tick_ms / 1000, _sum_of_stays(chance, MIXES, GATEWAY_TICKS))

    def quantile_s(self, level: float) -> float:
        """The time, in seconds, within which this part (0 to 1) of all round trips ends; slack included."""
        return bisect_left(self.reached, level) * self.tick_s + SLACK_S

    def wait_s(self, attempt: int, rng: Random) -> float:
        """
        How long to wait for an answer after sending ``attempt`` (0 is the first), in seconds.

        Drawn from the tail, so that a resend's time says little about when the request was sent; doubled at
        each attempt, because what lost one packet may not be over yet.
        """
        level = rng.uniform(LEAST_LEVEL, MOST_LEVEL)
        return (self.quantile_s(level) + rng.random() * self.tick_s) * (1 << attempt)

    def lifetime_s(self) -> float:
        """
        How long a request must live to get all its resends, and an answer to the last of them, in seconds.
        """
        longest = self.quantile_s(MOST_LEVEL) + self.tick_s
        return longest * (sum(1 << attempt for attempt in range(MOST_ATTEMPT)) + 1)


def _sum_of_stays(chance: float, stays: int, fixed: int) -> tuple[float, ...]:
    """
    The distribution function of ``fixed`` plus ``stays`` geometric variables (1, 2, ... with ``chance``).

    The number of failures before the ``stays``-th success is negative binomial: its terms follow one
    another by a quotient, so nothing is convolved.
    """
    term = chance**stays
    terms = [0.0] * (fixed + stays) + [term]
    total, failures = term, 0
    while total < MOST_LEVEL:
        failures += 1
        term *= (1 - chance) * (failures + stays - 1) / failures
        terms.append(term)
        total += term
    return tuple(accumulate(terms))
