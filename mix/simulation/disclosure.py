"""
Who writes to whom, over weeks: the statistical disclosure attack. Pure.

One packet may be hidden among thousands. A member who writes to the same few again and again is not: where
packets arrive when she has sent, and more rarely when she hasn't, her friends are. The adversary sees when
each member sends and what each mailbox gets; what he gives to each arrival is the chance that it is hers,
from the time that packets spend in the mixes (measured by `simulate`).

Cover of members counts: who sends all the time, at one pace, gives him no times to compare. Who is away at
times does, cover or not: hours online are part of the scenario.

Source: Danezis, "Statistical disclosure attacks", 2003; Mathewson and Dingledine, "Practical traffic
analysis: extending and resisting statistical disclosure", 2004.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from mix.simulation.scenario import Scenario

DAY_S = 86_400
WEEK_S = 7 * DAY_S


@dataclass(frozen=True)
class Habits:
    """
    ``friends``: to how many the target writes, each as often; everybody else writes to anybody. ``targets``:
    members attacked, for a mean. ``online_hours`` a day: when one sends, at the same hours every day, which
    begin at random; messages a day are the scenario's for all 24.
    """

    weeks: int = 4
    friends: int = 3
    targets: int = 12
    online_hours: float = 24.0


@dataclass(frozen=True)
class Linkage:
    """``found``: which part of her friends the adversary's list has, after each week; ``chance``: a guess."""

    found: tuple[float, ...]
    chance: float


def disclose(scenario: Scenario, delays: Sequence[float], habits: Habits) -> Linkage:
    """``delays``: shares of packets by the ticks that they spend in the mixes, as in a `Result`."""
    found = [0.0] * habits.weeks
    for target in range(habits.targets):
        rng = Random(f"{scenario.seed} {target}")  # noqa: S311 - it hides nothing, and must replay
        for week, share in enumerate(_Target(scenario, delays, habits, rng).found()):
            found[week] += share / habits.targets
    return Linkage(tuple(found), habits.friends / scenario.users)


class _Target:
    """One target's weeks; members are numbers, she is 0."""

    def __init__(self, scenario: Scenario, delays: Sequence[float], habits: Habits, rng: Random) -> None:
        self._scenario = scenario
        self._delays = [(age, share) for age, share in enumerate(delays) if share]
        self._habits = habits
        self._rng = rng
        self._online_s = DAY_S * habits.online_hours / 24
        self._starts_s = [rng.random() * DAY_S for _ in range(scenario.users)]
        self._friends = rng.sample(range(scenario.users), min(habits.friends, scenario.users))
        # Cover packets that come from members in a tick, all of it when all are online.
        self._paced = 1000 * scenario.tick_s / scenario.cover.client_ms if scenario.cover.client_ms else 0.0
        self._covering = [self._paced * self._online(minute) for minute in range(DAY_S // 60)]

    def _online(self, minute: int) -> int:
        return sum((60 * minute - start_s) % DAY_S < self._online_s for start_s in self._starts_s)

    def found(self) -> list[float]:
        """The share of friends found after each week."""
        evidence, arrived = dict[int, float](), Counter[int]()
        shares = []
        for week in range(self._habits.weeks):
            arrivals, chances = self._week(week)
            for tick, receiver in arrivals:
                arrived[receiver] += 1
                evidence[receiver] = evidence.get(receiver, 0.0) + chances(tick)
            shares.append(self._share(evidence, arrived))
        return shares

    def _share(self, evidence: Mapping[int, float], arrived: Mapping[int, int]) -> float:
        """Of her friends, how many are among as many mailboxes that get most beyond their part."""
        each = sum(evidence.values()) / max(1, sum(arrived.values()))
        # Arrivals by chance spread like the root of their number.
        beyond = {
            who: (found - each * arrived[who]) / math.sqrt(arrived[who]) for who, found in evidence.items()
        }
        listed = sorted(beyond, key=lambda who: beyond[who], reverse=True)[: len(self._friends)]
        return len(set(listed) & set(self._friends)) / len(self._friends)

    def _week(self, week: int) -> "tuple[list[tuple[int, int]], Callable[[int], float]]":
        """What arrives, by tick and mailbox; and how likely an arrival of a tick is hers."""
        rng, tick_s = self._rng, self._scenario.tick_s
        said = self._said(week)
        paced = self._own_pace(week) if self._paced else []
        hers, all_sent = Counter(paced), Counter[int]()
        arrivals = []
        for at_s, sender in said:
            tick = int(at_s / tick_s)
            if self._paced and sender == 0:
                place = bisect_left(paced, tick)
                if place == len(paced):
                    continue
                tick = paced.pop(place)
            elif sender == 0:
                hers[tick] += 1
            all_sent[tick] += 1
            receiver = rng.choice(self._friends) if sender == 0 else rng.randrange(self._scenario.users)
            arrivals.append((tick, receiver))
        late = rng.choices(
            [age for age, _ in self._delays], [share for _, share in self._delays], k=len(arrivals)
        )
        arrived = [(tick + age, receiver) for (tick, receiver), age in zip(arrivals, late, strict=True)]
        known: dict[int, float] = {}

        def chance(tick: int) -> float:
            if tick not in known:
                mine = sum(share * hers[tick - age] for age, share in self._delays)
                known[tick] = mine and min(1.0, mine / (self._around(tick, all_sent) or mine))
            return known[tick]

        return arrived, chance

    def _around(self, tick: int, all_sent: Mapping[int, int]) -> float:
        """How many packets of a tick's arrivals are anybody's."""
        if self._paced:
            return self._covering[int(tick * self._scenario.tick_s % DAY_S / 60)]
        return sum(share * all_sent.get(tick - age, 0) for age, share in self._delays)

    def _said(self, week: int) -> list[tuple[float, int]]:
        """When who has something to say, while online."""
        rng, users = self._rng, self._scenario.users
        rate = users * self._scenario.per_hour / 3600
        said, at_s = [], week * WEEK_S + rng.expovariate(rate)
        while at_s < (week + 1) * WEEK_S:
            sender = rng.randrange(users)
            midnight_s = at_s - at_s % DAY_S
            said.append((midnight_s + self._starts_s[sender] + rng.random() * self._online_s, sender))
            at_s += rng.expovariate(rate)
        return sorted(said)

    def _own_pace(self, week: int) -> list[int]:
        """The ticks of her packets, cover or not."""
        ticks, at_s = [], float(week * WEEK_S)
        mean_s = self._scenario.tick_s / self._paced
        while (at_s := at_s + self._rng.expovariate(1 / mean_s)) < (week + 1) * WEEK_S + DAY_S:
            if (at_s - self._starts_s[0]) % DAY_S < self._online_s:
                ticks.append(int(at_s / self._scenario.tick_s))
        return ticks
