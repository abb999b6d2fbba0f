"""The threshold pool: when it fires, what stays, and what senders compute from it."""

from collections import Counter
from random import Random

import pytest

from mix.strategies.threshold import Threshold, firing_ticks, tail_ticks


def pool(threshold: int = 10, longest: int = 5, minimum: int = 0, seed: int = 1) -> Threshold[int]:
    return Threshold(Random(seed), threshold, longest, minimum)


def test_it_fires_at_the_tick_after_enough_have_come() -> None:
    """9 of 10 stay; the tenth releases them all, at a tick and not before."""
    held = pool()
    held.add(range(9))
    assert held.tick() == []
    held.add([9])
    assert sorted(held.tick()) == list(range(10))
    assert len(held) == 0


def test_the_first_waits_no_longer_than_the_longest() -> None:
    """Counted from the first packet after a firing; ticks without any packet don't count."""
    held = pool(longest=3)
    assert [held.tick() for _ in range(9)] == [[]] * 9
    held.add([1])
    assert [len(held.tick()) for _ in range(4)] == [0, 0, 1, 0]
    held.add([2])
    assert [len(held.tick()) for _ in range(3)] == [0, 0, 1]


def test_a_minimum_stays_whatever_happens() -> None:
    """An attacker who fires it with packets of his own doesn't flush ours for sure."""
    stays = 0
    for seed in range(600):
        held = pool(threshold=10, minimum=5, seed=seed)
        held.add([-1])
        held.add(range(10))
        gone = held.tick()
        assert len(gone) == 6
        assert len(held) == 5
        stays += -1 not in gone
    # 5 of 11 stay: 273 of 600 expected, standard deviation 12.
    assert 213 < stays < 333


def test_what_stayed_alone_doesnt_fire_it() -> None:
    """The minimum of one firing isn't counted for the next, or the pool would fire without traffic."""
    held = pool(threshold=4, longest=3, minimum=4)
    held.add(range(8))
    assert len(held.tick()) == 4
    assert [held.tick() for _ in range(9)] == [[]] * 9
    held.add([8])
    assert [len(held.tick()) for _ in range(3)] == [0, 0, 1]


def test_who_came_first_does_not_leave_first() -> None:
    leads = Counter[int]()
    rng = Random(3)
    for _ in range(4000):
        held: Threshold[int] = Threshold(rng, 8, 5)
        held.add(range(8))
        leads[held.tick()[0]] += 1
    # 500 expected each, standard deviation 21.
    assert all(abs(leads[one] - 500) < 110 for one in range(8))


def test_none_is_lost_and_none_leaves_twice() -> None:
    held, gone, rng = pool(minimum=3), [], Random(4)
    for tick in range(200):
        held.add(range(tick * 10, tick * 10 + rng.randrange(10)))
        gone += held.tick()
    assert len(set(gone)) == len(gone)
    held.add([-1])
    for _ in range(5):
        gone += held.tick()
    assert len(held) == 3


@pytest.mark.parametrize(("arriving", "ticks"), [(10, 1), (3, 4), (1, 5), (0, 5), (0.1, 5), (100, 1)])
def test_the_time_between_firings(arriving: float, ticks: int) -> None:
    """As many ticks as it takes for the threshold, and never more than the longest."""
    assert firing_ticks(arriving, 10, 5) == ticks


@pytest.mark.parametrize(("arriving", "minimum"), [(8, 0), (8, 8), (2, 8)])
def test_the_computed_tail_is_that_of_real_pools(arriving: int, minimum: int) -> None:
    """At most 1 % of a packet's ways through three pools take longer than the computed 99 %."""
    limit, rng, late = tail_ticks(0.99, arriving, 3, 20, 30, minimum), Random(5), 0
    for _ in range(600):
        ticks = 0
        for _ in range(3):
            held: Threshold[int] = Threshold(rng, 20, 30, minimum)
            for _ in range(rng.randrange(40, 80)):
                held.add([0] * arriving)
                held.tick()
            held.add([1])
            while True:
                ticks += 1
                held.add([0] * arriving)
                if 1 in held.tick():
                    break
        late += ticks > limit
    assert late <= 12


def test_numbers_that_make_no_sense_are_refused() -> None:
    for wrong in ({"threshold": 0}, {"longest": 0}, {"minimum": -1}):
        with pytest.raises(ValueError, match="at least"):
            pool(**wrong)
    with pytest.raises(ValueError, match="one delay"):
        pool().add([1, 2], [0])
