"""Over weeks a member's friends are found by when she writes; unless she always seems to."""

from dataclasses import replace

from mix.directory.document import Cover
from mix.simulation.disclosure import Habits, disclose
from mix.simulation.scenario import Scenario

PEOPLE = Scenario(users=60, per_hour=0.1, tick_ms=60_000, cover=Cover(8, 0, 0))
DELAYS = (0.0, 0.5, 0.3, 0.2)
"""In ticks of a minute."""
WEEKS = Habits(weeks=2, targets=4)


def test_without_cover_friends_are_found() -> None:
    """All of them after two weeks of a letter every ten hours."""
    linkage = disclose(PEOPLE, DELAYS, WEEKS)
    assert linkage.found[-1] == 1
    assert linkage.found == disclose(PEOPLE, DELAYS, WEEKS).found
    assert linkage.chance == 3 / 60


def test_cover_of_members_keeps_them_hidden() -> None:
    """A packet every ten seconds, whether or not there is something to say: hardly better than a guess."""
    covered = disclose(replace(PEOPLE, cover=Cover(8, 0, 10_000)), DELAYS, replace(WEEKS, targets=3))
    assert covered.found[-1] < 0.4


def test_more_weeks_tell_more() -> None:
    """Where one week isn't enough."""
    slow = (*[0.0] * 10, *[1 / 60] * 60)
    linkage = disclose(replace(PEOPLE, per_hour=0.04), slow, Habits(weeks=6, targets=4))
    assert linkage.found[0] < linkage.found[-1]
