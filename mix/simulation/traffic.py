"""
What comes to one gateway: members' packets, their cover, loops of nodes. Pure.

All are Poisson processes, so those of many members are one of the summed rate, each event of which is
anybody's.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Protocol

from mix.directory.document import CASCADE_LENGTH
from mix.simulation.scenario import Scenario

NODE = -1
"""The sender of a loop."""
ATTACKER = -2
"""The sender of packets that the adversary knows again wherever he sees them."""


@dataclass(frozen=True, slots=True)
class Posted:
    """``since_s``: when there was something to say; None for cover and loops."""

    sender: int
    since_s: float | None


class Traffic(Protocol):
    """What a gateway takes in."""

    def until(self, now_s: float) -> list[Posted]:
        """What has been posted since it was asked last."""


class _Events:
    """The times of one Poisson process; ``rate`` per second, 0 for none."""

    def __init__(self, rate: float, rng: Random) -> None:
        self._rate = rate
        self._rng = rng
        self._next = rng.expovariate(rate) if rate else float("inf")

    def until(self, now_s: float) -> Iterator[float]:
        while self._next < now_s:
            yield self._next
            self._next += self._rng.expovariate(self._rate)


class Members:
    """
    The members of one gateway, and its part of the nodes' loops.

    Without cover of theirs members send at once. With it they send at its pace and at no other: something to
    say waits for the next packet, which would have been cover otherwise.
    """

    def __init__(self, scenario: Scenario, gateway: int, rng: Random) -> None:
        self._rng = rng
        self._members = range(gateway, scenario.users, scenario.gateways)
        count, cover = len(self._members), scenario.cover
        self._said = _Events(count * scenario.per_hour / 3600, rng)
        self._paced = _Events(1000 * count / cover.client_ms, rng) if cover.client_ms else None
        nodes = scenario.cascades * CASCADE_LENGTH + scenario.gateways
        self._loops = _Events(1000 * nodes / scenario.gateways / cover.loop_ms if cover.loop_ms else 0.0, rng)
        self._waiting: dict[int, deque[float]] = {}

    def until(self, now_s: float) -> list[Posted]:
        anybody, members = self._rng.random, self._members
        count = len(members)
        said = [(at_s, members[int(anybody() * count)]) for at_s in self._said.until(now_s)]
        loops = [Posted(NODE, None) for _ in self._loops.until(now_s)]
        if self._paced is None:
            return [Posted(member, at_s) for at_s, member in said] + loops
        paced = [(at_s, members[int(anybody() * count)]) for at_s in self._paced.until(now_s)]
        return self._carried(said, paced) + loops

    def _carried(self, said: list[tuple[float, int]], paced: list[tuple[float, int]]) -> list[Posted]:
        """The packets of a pace, with what has come to be said before each."""
        sent, rest = [], deque(said)
        for at_s, member in paced:
            while rest and rest[0][0] <= at_s:
                since_s, who = rest.popleft()
                self._waiting.setdefault(who, deque()).append(since_s)
            waiting = self._waiting.get(member)
            sent.append(Posted(member, waiting.popleft() if waiting else None))
        for since_s, who in rest:
            self._waiting.setdefault(who, deque()).append(since_s)
        return sent
