"""Buckets: a burst, then one at a time."""

from hypothesis import given
from hypothesis import strategies as st

from bank.board.claims.limits import Bucket


def test_a_burst_then_one_at_a_time() -> None:
    """And who comes too early is told when."""
    bucket = Bucket(100.0, most=3, every_s=5.0)
    assert [bucket.take(100.0) for _ in range(5)] == [0, 0, 0, 5, 5]
    assert bucket.take(103.0) == 2
    assert bucket.take(104.9) == 1
    assert bucket.take(105.0) == 0
    assert bucket.take(105.0) == 5
    # After a long rest no more than a burst.
    assert [bucket.take(10_000.0) for _ in range(4)] == [0, 0, 0, 5]


@given(st.lists(st.floats(0, 30), max_size=60))
def test_never_more_than_its_rate(steps: list[float]) -> None:
    """Over any stretch of time; and whoever comes when he was told gets one."""
    bucket, now_s, taken = Bucket(0.0, most=4, every_s=5.0), 0.0, []
    for step in steps:
        now_s += step
        wait_s = bucket.take(now_s)
        if not wait_s:
            taken.append(now_s)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= 4 + (taken[last] - start) / 5.0 + 1e-6
    wait_s = bucket.take(now_s)
    if wait_s:
        assert bucket.take(now_s + wait_s) == 0
