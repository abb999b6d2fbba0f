"""The attacker has teeth where nothing protects, and loses them where something does."""

from dataclasses import replace

import pytest

from mix.directory.document import TIMED_POOL, Cover
from mix.simulation.attack import n_minus_1
from mix.simulation.scenario import LOOPIX, Scenario

QUIET = Scenario(users=50, messages=100, cover=Cover(0, 0, 0))


def test_without_cover_an_n_minus_1_attack_names_the_target() -> None:
    """Whatever the pool keeps back is the adversary's: the packet that isn't is ours, for certain."""
    for mixing in (TIMED_POOL, LOOPIX):
        named = n_minus_1(replace(QUIET, mixing=mixing), targets=8)
        assert named.delivered == named.tried
        assert (named.watching, named.receiving) == pytest.approx((1, 1), abs=0.01)


def test_cover_of_mixes_hides_the_exit_from_who_sees_only_links() -> None:
    """Not from who runs the receiver's gateway as well: there cover is seen to end."""
    named = n_minus_1(replace(QUIET, cover=Cover(8, 0, 0), gateways=2), targets=8)
    assert named.watching < 0.03
    assert named.receiving > 0.9


def test_somebody_must_be_attacked() -> None:
    with pytest.raises(ValueError, match="attacked"):
        n_minus_1(QUIET, targets=0)
