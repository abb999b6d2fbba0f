"""When a request is sent again."""

from random import Random

from mix.strategies import TimedPool
from replyblocks.timing import GATEWAY_TICKS, POOLS, SLACK_S, WAITS, RoundTrip


def simulate(rng: Random, cover: int) -> int:
    """Ticks that one packet spends in the pools of a round trip with nothing but cover."""
    ticks = 0
    for _ in range(POOLS):
        pool: TimedPool[int] = TimedPool(rng)
        for _ in range(20):
            pool.add([0] * cover)
            pool.tick()
        pool.add([1])
        while True:
            ticks += 1
            pool.add([0] * cover)
            if 1 in pool.tick():
                break
    return ticks


def test_the_tail_is_that_of_real_pools() -> None:
    """At most 1 % of simulated trips are longer than the computed 99 %."""
    rng = Random(1)
    trip = RoundTrip(1000, 8)
    limit = trip.quantile_s(0.99) - SLACK_S - GATEWAY_TICKS
    late = sum(simulate(rng, 8) > limit for _ in range(1000))
    assert late <= 15


def test_waits_are_drawn_beyond_the_tail() -> None:
    """No two alike, each at least the 99 % trip, so that what is sent again is really lost."""
    rng = Random(2)
    trip = RoundTrip(250, 8)
    for sending, factor in enumerate(WAITS):
        waits = [trip.wait_s(sending, rng) for _ in range(50)]
        assert min(waits) >= trip.quantile_s(0.99) * factor >= trip.quantile_s(0.99)
        assert max(waits) <= (trip.quantile_s(0.9999) + 0.25) * factor
        assert len(set(waits)) == 50


def test_a_lifetime_covers_all_resends() -> None:
    """The last resend's answer still finds the request alive."""
    rng = Random(3)
    trip = RoundTrip(250, 8)
    for _ in range(50):
        waits = sum(trip.wait_s(sending, rng) for sending in range(len(WAITS)))
        assert waits + trip.quantile_s(0.9999) <= trip.lifetime_s()


def test_a_network_that_sends_at_once_has_no_pools_to_wait_for() -> None:
    """Tick 0, for measuring; and a pool without cover still has a finite tail."""
    assert RoundTrip(0, 0).quantile_s(0.99) == SLACK_S
    assert RoundTrip(250, 0).quantile_s(0.99) > RoundTrip(250, 8).quantile_s(0.99)
