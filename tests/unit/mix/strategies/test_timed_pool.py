"""The timed pool, and what senders compute from it."""

import math
from collections import Counter
from random import Random

import pytest

from mix.strategies.strategy import shuffled
from mix.strategies.timed_pool import TimedPool, chance, expected_ticks, released, tail_ticks


def pool_of(count: int, seed: int = 1) -> TimedPool[int]:
    pool: TimedPool[int] = TimedPool(Random(seed))
    pool.add(range(count))
    return pool


@pytest.mark.parametrize(
    ("held", "leaving"),
    [(0, 0), (7, 0), (8, 0), (9, 1), (20, 12), (22, 14), (23, 14), (24, 15), (100, 65), (1000, 650)],
)
def test_a_tick_releases_what_both_bounds_allow(held: int, leaving: int) -> None:
    """min(N - 8, floor(0.65 N)), never below zero."""
    pool = pool_of(held)
    assert len(pool.tick()) == released(held) == leaving
    assert len(pool) == held - leaving


def test_packets_leave_once_and_none_is_lost() -> None:
    """What was released and what is held add up to what came, at each tick."""
    pool = pool_of(0)
    gone: list[int] = []
    for tick in range(50):
        pool.add(range(tick * 10, tick * 10 + 10))
        gone += pool.tick()
        assert len(gone) + len(pool) == (tick + 1) * 10
    assert len(set(gone)) == len(gone)


def test_the_choice_is_the_generators_alone() -> None:
    """A seed replays it; another seed gives another order."""
    assert pool_of(50, seed=1).tick() == pool_of(50, seed=1).tick()
    assert pool_of(50, seed=1).tick() != pool_of(50, seed=2).tick()


def test_who_came_first_does_not_leave_first() -> None:
    """Every place of arrival leaves with the same chance, and at every place of the order."""
    leaves, leads = Counter[int](), Counter[int]()
    rng = Random(3)
    for _ in range(4000):
        pool: TimedPool[int] = TimedPool(rng)
        pool.add(range(16))
        out = pool.tick()
        leaves.update(out)
        leads[out[0]] += 1
    # 8 of 16 leave: 2000 of 4000 expected, standard deviation 32; 250 of 4000 lead, deviation 15.
    assert all(abs(leaves[one] - 2000) < 160 for one in range(16))
    assert all(abs(leads[one] - 250) < 80 for one in range(16))


def test_an_attacker_cannot_flush_the_pool() -> None:
    """However many of his own he sends, at least the minimum stays, so ours may have stayed too."""
    pool = pool_of(8)
    pool.add(range(100, 10_100))
    for _ in range(30):
        pool.tick()
    assert len(pool) == 8


@pytest.mark.parametrize(("minimum", "fraction"), [(-1, 0.5), (8, 0.0), (8, 1.01)])
def test_pools_that_make_no_sense_are_refused(minimum: int, fraction: float) -> None:
    with pytest.raises(ValueError, match="a pool has"):
        TimedPool[int](Random(1), minimum=minimum, fraction=fraction)


def test_shuffling_keeps_every_packet() -> None:
    packets = list(range(100))
    shuffled(packets, Random(1))
    assert packets != sorted(packets) == list(range(100))


def test_chance_is_bounded_by_minimum_or_fraction() -> None:
    """Few packets: the minimum holds them back. Many: the fraction does."""
    assert chance(8) == 0.5
    assert chance(1000) == 0.65
    assert chance(0) == 0.0
    assert expected_ticks(8) == 2
    assert expected_ticks(0) == math.inf


def test_computed_waits_are_those_of_a_simulated_pool() -> None:
    """Mean and 99 % tail over 20,000 packets, with 10 arriving per tick."""
    pool: TimedPool[int] = TimedPool(Random(5))
    waits = []
    for tick in range(2000):
        pool.add([tick] * 10)
        waits += [tick - came + 1 for came in pool.tick()]
    assert sum(waits) / len(waits) == pytest.approx(expected_ticks(10), rel=0.05)
    late = sum(wait > tail_ticks(0.99, 10) for wait in waits) / len(waits)
    assert late < 0.015


def test_the_tail_of_several_pools_is_that_of_the_sum() -> None:
    """Exact for a fair coin; more pools or a higher quantile take longer."""
    # One pool with chance 1/2: 1 - 2^-n >= q.
    assert tail_ticks(0.5, 8) == 1
    assert tail_ticks(0.99, 8) == 7
    # Two pools: P(sum <= 3) = 1/4 + 1/4 = 1/2.
    assert tail_ticks(0.5, 8, pools=2) == 3
    assert tail_ticks(0.99, 8, pools=3) > tail_ticks(0.99, 8, pools=2) > tail_ticks(0.9, 8, pools=2)


def test_a_quantile_next_to_one_still_ends() -> None:
    """Rounding must not keep the sum below it for ever."""
    assert tail_ticks(1 - 2**-53, 8) < 100


def test_there_is_no_tail_without_traffic() -> None:
    """Nothing comes, nothing leaves; and a quantile of 1 is never reached."""
    with pytest.raises(ValueError, match="never leave"):
        tail_ticks(0.99, 0)
    for quantile in (0, 1, 1.5):
        with pytest.raises(ValueError, match="between 0 and 1"):
            tail_ticks(quantile, 8)
    with pytest.raises(ValueError, match="negative"):
        chance(-1)
