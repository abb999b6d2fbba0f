"""Requests through a network that loses frames, or whose mixes drop packets: all answered, each done once."""

from pathlib import Path

import pytest

from tests.unit.replyblocks.reliability.paper_packets import on_paper
from tests.unit.replyblocks.reliability.town import Town

MEMBERS = 25
EACH = 60
"""`make bench` does it with 400 each."""


@pytest.mark.parametrize(
    ("drop", "loss", "most"), [(0.0, 0.05, 1.05), (0.05, 0.0, 1.4)], ids=["frames-lost", "mixes-drop"]
)
def test_every_request_is_answered_and_few_packets_are_too_many(
    tmp_path: Path, drop: float, loss: float, most: float
) -> None:
    """
    5 % of the frames of every link are lost, or each mix drops 5 % of its packets: every request succeeds
    within its lifetime, none is worked on twice, and the packets sent for it stay below the goal.
    """
    with on_paper():
        town = Town(tmp_path, drop=drop, loss=loss)
        town.run(MEMBERS, EACH)
    cascade = town.network.cascade
    assert (town.answered, town.failures) == (MEMBERS * EACH, 0)
    assert (len(town.executed), set(town.executed.values())) == (MEMBERS * EACH, {1})
    assert town.packets_per_needed <= most
    assert (cascade.frames_lost > 0, cascade.dropped > 0) == (loss > 0, drop > 0)


def test_the_test_sees_a_request_that_is_given_up(tmp_path: Path) -> None:
    """Where every packet is dropped nothing succeeds, and each request costs all its sendings."""
    with on_paper():
        town = Town(tmp_path, drop=1.0)
        town.run(1, 4, at_once=2)
    assert (town.answered, town.failures) == (0, 4)
    assert town.network.cascade.submitted == 4 * 8
    assert not town.executed
