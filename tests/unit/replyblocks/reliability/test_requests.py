"""Requests through a network that loses frames, or whose mixes drop packets: all answered, each done once."""

import os
from pathlib import Path
from random import Random

import pytest

from replyblocks.post import Post
from replyblocks.service import ServiceHost
from tests.unit.replyblocks.fake_network import FakeNetwork
from tests.unit.replyblocks.long.test_asking import now_s, run
from tests.unit.replyblocks.reliability.paper_packets import on_paper
from tests.unit.replyblocks.reliability.town import PACKETS_NEEDED, Town

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


def test_the_same_with_real_packets(tmp_path: Path) -> None:
    """As many are dropped as three mixes drop: what paper packets show holds for encrypted ones."""
    rng = Random(1)

    def drop(_: bytes) -> int:
        return int(rng.random() < 0.95**3)

    bodies = [b"request %d" % number for number in range(40)]

    async def ask(post: Post, _: ServiceHost) -> None:
        for body in bodies:
            expires_s = int(now_s() + post.lifetime_s)
            answer = await post.ask("echo", os.urandom(16), body, expires_s, post.lifetime_s)
            assert answer == 2 * body

    network = FakeNetwork(tick_ms=1000, weather=drop)
    assert run(tmp_path, network, ask) == bodies
    # Forty requests are few: 1.4 is the mean of many.
    assert 1.1 <= network.submitted / (PACKETS_NEEDED * len(bodies)) <= 1.7


def test_the_test_sees_a_request_that_is_given_up(tmp_path: Path) -> None:
    """Where every packet is dropped nothing succeeds, and each request costs all its sendings."""
    with on_paper():
        town = Town(tmp_path, drop=1.0)
        town.run(1, 4, at_once=2)
    assert (town.answered, town.failures) == (0, 4)
    assert town.network.cascade.submitted == 4 * 8
    assert not town.executed
