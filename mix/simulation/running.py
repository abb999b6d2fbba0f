"""A simulation from its scenario to its figures; the same for the same seed. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, takewhile
from random import Random

from mix.simulation.mass import NOBODY, Mass, by_sender, entropy_bits, normalised
from mix.simulation.network import Network, Packets
from mix.simulation.scenario import Scenario
from mix.simulation.traffic import Members
from mixmint.errors import UserError

MEASURED = 150
"""For about so many batches the origin is computed; the rest only for their time."""
SURE = 0.95
"""The anonymity set is those who together are the sender with this chance."""


@dataclass(frozen=True)
class Result:
    """
    What was measured, of packets that a receiver has and that are no cover.

    ``bits``: the entropy of the sender (Serjantov and Danezis), mean; ``worst_bits``: what 95 in 100 exceed.
    ``normalised``: Diaz. ``members``: the anonymity set, the fewest of whom one is it, 95 % sure;
    ``guess``: the likeliest sender's chance. Latencies in seconds, from when there was something to say
    until it lies in its mailbox. ``packets_per_message``: packets on all links for each message, five being
    what it takes alone; ``slots_per_message``: the same with the frames' filling, which is what lines carry.
    ``packets``: all that were made. ``delays``: shares of the time in the mixes, by ticks.
    """

    bits: float
    worst_bits: float
    normalised: float
    members: float
    guess: float
    latency_s: float
    latency_p50_s: float
    latency_p95_s: float
    latency_p99_s: float
    packets_per_message: float
    slots_per_message: float
    delivered: int
    packets: int
    delays: tuple[float, ...] = ()

    @property
    def effective(self) -> float:
        """Of how many equally likely senders one knows as little."""
        return float(2**self.bits)


@dataclass
class Watch:
    """Takes what is delivered, from when pools have filled."""

    scenario: Scenario
    packets: Packets
    is_measuring: bool = False
    latencies_s: list[float] = field(default_factory=list)
    batches: list[tuple[int, float, float, int]] = field(default_factory=list)
    ages: dict[int, float] = field(default_factory=dict)
    _seen: int = 0

    def deliver(self, now_s: float, gone: Sequence[int]) -> None:
        if not self.is_measuring:
            return
        since = self.packets.since_s
        said = [packet for packet in gone if since[packet] is not None]
        self.latencies_s += [now_s - at_s for packet in said if (at_s := since[packet]) is not None]
        if not said:
            return
        self._seen += 1
        batches = min(self.scenario.measured_rounds * self.scenario.cascades, self.scenario.messages)
        if self._seen % max(1, batches // MEASURED) == 0:
            for mass, count in Counter(map(self.packets.origin.__getitem__, said)).items():
                self._measure(now_s, mass, count)

    def _measure(self, now_s: float, mass: Mass, count: int) -> None:
        chances = by_sender(mass, self.packets.entrants).values()
        self.batches.append((count, entropy_bits(chances), max(chances), set_size(chances)))
        for origin, share in mass.shares.items():
            if origin != NOBODY:
                age = round((now_s - self.packets.entered[origin]) / self.scenario.tick_s)
                self.ages[age] = self.ages.get(age, 0.0) + share


def simulate(scenario: Scenario) -> Result:
    """Run it. Raises UserError when in all that time nothing was delivered."""
    rng = Random(scenario.seed)  # noqa: S311 - it hides nothing, and must replay
    packets = Packets()
    watch = Watch(scenario, packets)
    traffic = [Members(scenario, gateway, rng) for gateway in range(scenario.gateways)]
    network = Network(scenario, traffic, rng, packets, watch.deliver)
    for number in range(scenario.warm_rounds):
        network.round(number)
    watch.is_measuring = True
    sent, slots = packets.sent, packets.slots
    for number in range(scenario.warm_rounds, scenario.rounds):
        network.round(number)
    return _result(watch, packets.sent - sent, packets.slots - slots)


def _result(watch: Watch, sent: int, slots: int) -> Result:
    times, batches = sorted(watch.latencies_s), watch.batches
    if not batches:
        raise UserError("nothing was delivered in that time; simulate more messages")
    weight = sum(count for count, *_ in batches)
    bits, guess, members = (sum(one[0] * one[at] for one in batches) / weight for at in (1, 2, 3))
    whole = sum(watch.ages.values())
    return Result(
        bits=bits,
        worst_bits=_worst(batches, weight),
        normalised=normalised(bits, watch.scenario.users),
        members=members,
        guess=guess,
        latency_s=sum(times) / len(times),
        latency_p50_s=_quantile(times, 0.5),
        latency_p95_s=_quantile(times, 0.95),
        latency_p99_s=_quantile(times, 0.99),
        packets_per_message=sent / len(times),
        slots_per_message=slots / len(times),
        delivered=len(times),
        packets=len(watch.packets.sender),
        delays=tuple(watch.ages.get(age, 0.0) / whole for age in range(max(watch.ages) + 1)),
    )


def set_size(chances: Iterable[float]) -> int:
    """How many of the likeliest are together the sender with a chance of 95 %."""
    # Less a hair, so that rounding doesn't ask for one more.
    reached = accumulate(sorted(chances, reverse=True))
    return 1 + sum(1 for _ in takewhile(lambda sum_: sum_ < SURE - 1e-9, reached))


def _worst(batches: Sequence[tuple[int, float, float, int]], weight: int) -> float:
    """The entropy that 95 in 100 messages exceed."""
    below = 0
    for count, bits, *_ in sorted(batches, key=lambda one: one[1]):
        below += count
        if below >= 0.05 * weight:
            return bits
    return 0.0


def _quantile(ordered: Sequence[float], level: float) -> float:
    return ordered[min(len(ordered) - 1, math.floor(level * len(ordered)))]
