"""
How long a round trip takes, computed from the directory's parameters; resends are drawn from its tail.

We assume the least traffic that there can be, each mix's own cover. Then the computed trip is longer than the
real one, and a resend is hardly ever sent for a packet that is only late.

Source: docs/spec/conversation.md, section 4; mix/strategies for the mixes.
"""

from dataclasses import dataclass
from random import Random

from mix.directory import Directory
from mix.directory.document import TIMED_POOL, Mixing
from mix.strategies import tail_s

POOLS = 6
"""Three mixes on the way there, three on the way back."""

GATEWAY_TICKS = 4
"""At most one tick of waiting in each of the two gateways on each of the two ways."""

LEAST_LEVEL = 0.99
MOST_LEVEL = 0.9999
SLACK_S = 1.0
"""For what isn't a pool: connections, the service's work, a busy machine."""

WAITS = (1, 2, 4, 2, 4, 1, 1)
"""
How many round trips a sending is waited for before the next one: longer at first, because what lost one
packet may not be over yet; at the end short, because it has had its time. Never less than one: a packet that
is sent while the answer is on its way is a packet too many.
"""


@dataclass(frozen=True)
class RoundTrip:
    """
    ``cover_packets``: what each mix adds to its pool per tick; ``tick_ms`` 0 means that mixes send at once.
    """

    tick_ms: int
    cover_packets: int
    mixing: Mixing = TIMED_POOL

    @classmethod
    def of(cls, directory: Directory) -> "RoundTrip":
        """The round trip of this network."""
        return cls(directory.tick_ms, directory.cover.packets, directory.mixing)

    @property
    def tick_s(self) -> float:
        return self.tick_ms / 1000

    def quantile_s(self, level: float) -> float:
        """The time, in seconds, within which this part (0 to 1) of all round trips ends; slack included."""
        if self.tick_ms == 0:
            return SLACK_S
        mixes_s = tail_s(self.mixing, self.tick_ms, self.cover_packets, level, POOLS)
        return mixes_s + GATEWAY_TICKS * self.tick_s + SLACK_S

    def wait_s(self, sending: int, rng: Random) -> float:
        """
        How long to wait for an answer after this sending (0 is the first), in seconds.

        Drawn from the tail, so that a resend's time says little about when the request was sent.
        """
        level = rng.uniform(LEAST_LEVEL, MOST_LEVEL)
        return (self.quantile_s(level) + rng.random() * self.tick_s) * WAITS[sending]

    def gap_s(self, rng: Random) -> float:
        """How long until what was sent has arrived, one way, in seconds; drawn from the tail."""
        if self.tick_ms == 0:
            return SLACK_S
        level = rng.uniform(LEAST_LEVEL, MOST_LEVEL)
        mixes_s = tail_s(self.mixing, self.tick_ms, self.cover_packets, level, POOLS // 2)
        return mixes_s + (GATEWAY_TICKS // 2 + rng.random()) * self.tick_s + SLACK_S

    def lifetime_s(self) -> float:
        """
        How long a request must live to get all its resends, and an answer to the last of them, in seconds.
        """
        longest = self.quantile_s(MOST_LEVEL) + self.tick_s
        return longest * (sum(WAITS) + 1)
