"""Probability goes where packets go, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mix.simulation.mass import NOBODY, Mass, Pool, by_sender, entropy_bits, normalised
from mix.simulation.running import set_size

STEPS = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=40)


@given(STEPS)
def test_mass_sums_to_one_and_is_kept(steps: list[tuple[int, int]]) -> None:
    """What leaves is somebody's packet for certain; what has left in the end is what came."""
    pool, out = Pool(), dict[int, float]()
    came = {number: count for number, (count, _) in enumerate(steps)}
    for number, (count, wanted) in enumerate([*steps, (0, 10_000)]):
        if count:
            pool.add(count, Mass({number: 1.0}))
        if leaving := min(wanted, pool.held):
            shares = pool.leave(leaving).shares
            assert sum(shares.values()) == pytest.approx(1)
            for origin, share in shares.items():
                out[origin] = out.get(origin, 0.0) + leaving * share
    assert pool.held == 0
    assert out == pytest.approx(came, abs=1e-6)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=8), st.integers(1, 4))
def test_a_packet_more_from_everybody_never_lowers_entropy(sent: list[int], cover: int) -> None:
    """The mean with an even distribution knows less, not more: entropy is concave."""
    if not sum(sent):
        return
    found = []
    for extra in (0, cover):
        entrants = {0: {who: count + extra for who, count in enumerate(sent) if count + extra}}
        pool = Pool()
        pool.add(sum(entrants[0].values()), Mass({0: 1.0}))
        found.append(entropy_bits(by_sender(pool.leave(1), entrants).values()))
    assert found[1] >= found[0] - 1e-9


def test_more_cannot_leave_than_is_held() -> None:
    pool = Pool()
    pool.add(2, Mass({0: 1.0}))
    with pytest.raises(ValueError, match="held"):
        pool.leave(3)


def test_cover_of_mixes_is_no_ones_message() -> None:
    """Who has the packet knows that it is no cover; nodes' loops are none either."""
    entrants = {0: {7: 3, -1: 5}, 1: {8: 1}}
    chances = by_sender(Mass({NOBODY: 0.5, 0: 0.4, 1: 0.1}), entrants)
    assert chances == pytest.approx({7: 0.15 / 0.25, 8: 0.1 / 0.25})
    assert by_sender(Mass({NOBODY: 1.0}), entrants) == {}


def test_measures_of_what_is_not_known() -> None:
    """Eight alike are three bits, all that there is among eight, and eight are needed to be 95 % sure."""
    assert entropy_bits([1 / 8] * 8) == 3
    assert normalised(3, 8) == 1
    assert normalised(0, 1) == 0
    assert set_size([1 / 8] * 8) == 8
    assert set_size([0.96, 0.04]) == 1
    assert entropy_bits([1.0]) == 0
