"""What the simulation measures is what can be computed by hand."""

import math
from collections.abc import Sequence
from random import Random

import pytest

from mix.directory.document import TIMED_POOL, Cover, Mixing
from mix.simulation.mass import by_sender, entropy_bits
from mix.simulation.network import Network, Packets
from mix.simulation.running import simulate
from mix.simulation.scenario import Scenario
from mix.simulation.traffic import Posted
from mix.strategies.timed_pool import expected_ticks

NO_COVER = Cover(0, 0, 0)
ONE_HONEST = frozenset({"2", "3"})
"""Corrupt mixes after the first: what is measured is one mix."""


class Steady:
    """At each tick one packet of each of so many senders, whom nobody has seen before."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._next = 0

    def until(self, now_s: float) -> list[Posted]:
        first, self._next = self._next, self._next + self._count
        return [Posted(sender, now_s) for sender in range(first, self._next)]


def last_bits(scenario: Scenario, arriving: int, rounds: int) -> list[float]:
    """The sender's entropy of all batches in the last half."""
    packets, found = Packets(), []

    def deliver(now_s: float, gone: Sequence[int]) -> None:
        if now_s > rounds / 2 * scenario.tick_s:
            found.append(entropy_bits(by_sender(packets.origin[gone[0]], packets.entrants).values()))

    network = Network(scenario, [Steady(arriving)], Random(1), packets, deliver)
    for number in range(rounds):
        network.round(number)
    assert found
    return found


def test_a_timed_pool_hides_as_its_geometric_wait_says() -> None:
    """Eight come, eight of sixteen leave: log2 8 bits in a tick, and 2 bits of a fair coin's wait."""
    assert last_bits(Scenario(corrupt=ONE_HONEST, cover=NO_COVER), 8, 200) == pytest.approx([5.0] * 100)


def test_three_pools_add_their_waits() -> None:
    """The wait in three is the negative binomial of three fair coins."""
    shares = [math.comb(n - 1, 2) / 2**n for n in range(3, 80)]
    expected = 3 + entropy_bits(shares)
    assert last_bits(Scenario(cover=NO_COVER), 8, 200)[-1] == pytest.approx(expected, abs=1e-6)


def test_a_threshold_mix_without_a_pool_hides_among_what_it_took() -> None:
    """log2 n; what came in earlier firings is out for certain."""
    mixing = Mixing("threshold", 0, 0, 16, 3_600_000, 0, 0)
    scenario = Scenario(mixing=mixing, corrupt=ONE_HONEST, cover=NO_COVER)
    assert last_bits(scenario, 4, 100) == pytest.approx([4.0] * len(last_bits(scenario, 4, 100)))


def test_a_gateway_alone_hides_among_its_tick() -> None:
    """With all mixes corrupt what remains is what an honest gateway sent on together."""
    scenario = Scenario(corrupt=frozenset({"1", "2", "3"}), cover=NO_COVER)
    assert last_bits(scenario, 32, 100)[-1] == pytest.approx(5.0)


def test_a_poisson_mix_holds_what_a_queue_with_endless_servers_does() -> None:
    """M/M/infinity: the mean time is the mean delay, whatever the load; and half a tick of rounding."""
    mixing = Mixing("poisson", 0, 0, 0, 0, 20_000, 600_000)
    result = simulate(Scenario(users=400, mixing=mixing, tick_ms=1000, cover=NO_COVER, messages=1500))
    # Rounding adds half a tick to a delay, and the first tick is only half a tick away; so is the gateway's.
    assert result.latency_s == pytest.approx(3 * 20 + 0.5, rel=0.06)


def test_latency_of_pools_is_the_waits_that_senders_compute() -> None:
    """The first tick comes after half a tick; later mixes have the cover of those before, too."""
    result = simulate(Scenario(users=10, mixing=TIMED_POOL, messages=150))
    ticks = sum(expected_ticks(cover) - 0.5 for cover in (8, 16, 24))
    assert result.latency_s == pytest.approx(10 * (ticks + 0.5), rel=0.08)
