"""Delays that senders choose: their distribution, ticks, restarts, and what senders compute."""

import math
from random import Random

import pytest

from mix.directory.document import Mixing
from mix.strategies import Poisson, make, tail_s
from mix.strategies.poisson import tail_ms, ticks_of

MIXING = Mixing("poisson", 0, 0, 0, 0, 2_000, 60_000)


def mix(seed: int = 1, tick_ms: int = 250) -> Poisson[int]:
    return Poisson(Random(seed), tick_ms, MIXING)


@pytest.mark.parametrize(("delay_ms", "ticks"), [(0, 1), (1, 1), (250, 1), (251, 2), (1_000, 4)])
def test_a_packet_leaves_at_the_first_tick_after_its_delay(delay_ms: int, ticks: int) -> None:
    held = mix()
    held.tick()
    held.add([7], [delay_ms])
    assert [held.tick() for _ in range(ticks)] == [[]] * (ticks - 1) + [[7]]
    assert len(held) == 0
    assert ticks_of(delay_ms, 250) == ticks


def test_those_of_one_tick_leave_in_random_order() -> None:
    """Else the order would tell who came first, or who asked for more."""
    orders = set()
    for seed in range(20):
        held = mix(seed)
        held.add(range(8), [200] * 8)
        orders.add(tuple(held.tick()))
    assert len(orders) == 20


def test_drawn_delays_are_exponential_and_bounded() -> None:
    """The mean, the share beyond the mean (1/e), and none beyond the longest."""
    rng = Random(2)
    drawn = [MIXING.draw_delay_ms(rng) for _ in range(20_000)]
    assert abs(sum(drawn) / len(drawn) - 2_000) < 60
    assert abs(sum(one > 2_000 for one in drawn) / len(drawn) - math.exp(-1)) < 0.014
    short = Mixing("poisson", 0, 0, 0, 0, 2_000, 3_000)
    assert max(short.draw_delay_ms(rng) for _ in range(1_000)) == 3_000


def test_a_restart_draws_anew_and_keeps_the_distribution() -> None:
    """
    What a mix holds leaves after the same kind of wait, whoever waited before: exponential waits have no
    memory. Compared: the mean wait of fresh packets, and of some that a restart finds.
    """

    def waits(held: Poisson[int]) -> float:
        total, count, ticks = 0, len(held), 0
        while len(held):
            ticks += 1
            total += ticks * len(held.tick())
        return total / count

    fresh, found = mix(3), mix(4)
    rng = Random(5)
    fresh.add(range(4_000), [MIXING.draw_delay_ms(rng) for _ in range(4_000)])
    found.add(range(4_000))
    # 8.5 ticks on average: 2,000 ms, and half a tick for rounding up.
    assert abs(waits(fresh) - 8.5) < 0.5
    assert abs(waits(found) - 8.5) < 0.5


def test_none_is_lost() -> None:
    held, rng, gone = mix(), Random(6), []
    for start in range(0, 1_000, 10):
        held.add(range(start, start + 10), [MIXING.draw_delay_ms(rng) for _ in range(10)])
        gone += held.tick()
    while len(held):
        gone += held.tick()
    assert sorted(gone) == list(range(1_000))


@pytest.mark.parametrize("mixes", [1, 3, 6])
def test_the_computed_tail_is_that_of_sums_of_delays(mixes: int) -> None:
    """About 1 % of the sums are above the computed 99 %, which counts a whole tick of rounding each."""
    rng, limit = Random(7), tail_ms(0.99, mixes, 2_000, 60_000, 0)
    sums = [sum(MIXING.draw_delay_ms(rng) for _ in range(mixes)) for _ in range(10_000)]
    assert 60 < sum(one > limit for one in sums) < 140
    assert tail_s(MIXING, 250, 8, 0.99, mixes) == pytest.approx((limit + mixes * 250) / 1000)


def test_the_longest_delays_bound_the_tail() -> None:
    assert tail_ms(0.9999, 3, 2_000, 2_500, 100) == 3 * 2_500 + 3 * 100


def test_each_strategy_of_a_directory_is_made() -> None:
    """With the network's numbers; with a tick of 0 all that came leaves at once."""
    held = make(Mixing("threshold", 2, 0, 5, 1_000, 0, 0), 250, Random(1))
    held.add(range(7))
    assert len(held.tick()) == 5
    assert isinstance(make(MIXING, 250, Random(1)), Poisson)
    for mixing in (
        Mixing("timed-pool", 0, 650, 0, 0, 0, 0),
        Mixing("threshold", 0, 0, 5, 1_000, 0, 0),
        MIXING,
    ):
        at_once = make(mixing, 0, Random(1))
        at_once.add(range(3), [0] * 3)
        assert sorted(at_once.tick()) == [0, 1, 2]
