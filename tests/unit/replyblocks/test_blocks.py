"""Which reply blocks may be used now: whatever the length of the network's epochs."""

import os

import pytest
from msgspec.structs import replace

from mix.directory import Directory, SphinxKey
from replyblocks.blocks import SKEW_S, first_mix_keys
from tests.unit.mix.networks import NOW_S, make_network


def network(epoch_s: int) -> tuple[Directory, list[SphinxKey]]:
    """Every node with keys of four epochs; those of m1."""
    directory, current = make_network().directory, NOW_S // epoch_s
    made = {
        node.name: tuple(
            SphinxKey(os.urandom(16), bytes(32), epoch, epoch * epoch_s, (epoch + 1) * epoch_s)
            for epoch in range(current - 2, current + 2)
        )
        for node in directory.nodes
    }
    nodes = tuple(replace(node, sphinx_keys=made[node.name]) for node in directory.nodes)
    return replace(directory, nodes=nodes, epoch_s=epoch_s), list(made["m1"])


@pytest.mark.parametrize("epoch_s", [7 * 86_400, 3600, 60, 4])
def test_the_previous_current_and_next_keys_are_usable_but_near_their_ends(epoch_s: int) -> None:
    """In the middle of an epoch all three; a little before the previous one's end only two."""
    directory, keys = network(epoch_s)
    begin_s = NOW_S // epoch_s * epoch_s
    assert first_mix_keys(directory, begin_s + epoch_s / 2) == {key.key_id for key in keys[1:]}
    skew_s = min(SKEW_S, epoch_s / 4)
    assert first_mix_keys(directory, begin_s + epoch_s - skew_s / 2) == {key.key_id for key in keys[2:]}
