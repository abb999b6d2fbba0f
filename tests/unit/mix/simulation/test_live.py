"""What a member is told of a message that has left."""

import pytest
from msgspec.structs import replace

from mix.directory.document import Cover
from mix.simulation.live import Observed, Seen, seen
from tests.unit.mix.networks import make_network

DIRECTORY = replace(make_network().directory, tick_ms=10_000)


def test_a_busy_hour_hides_better_than_a_quiet_one() -> None:
    """The batch grows with what came in, and so does what one may have been."""
    quiet, busy = (seen(DIRECTORY, Observed([count] * 60, 30)) for count in (2, 40))
    assert quiet is not None
    assert busy is not None
    assert quiet.batch < busy.batch
    assert 1 < quiet.among < busy.among
    assert busy.text.startswith(f"your last message left in a batch of {busy.batch}, hidden like one among ")


def test_a_message_that_was_alone_is_said_to_be() -> None:
    """Cover of mixes makes the batch, and nobody else may have sent it."""
    entered = [0] * 60
    entered[30] = 1
    alone = seen(DIRECTORY, Observed(entered, 30))
    assert alone is not None
    assert alone.batch > 1
    assert alone.among == pytest.approx(1, abs=0.2)


def test_without_ticks_nothing_is_hidden() -> None:
    assert seen(replace(DIRECTORY, tick_ms=0), Observed([5], 0)) == Seen(1, 1.0, 0.0)


def test_a_message_that_never_left_has_no_number() -> None:
    """Nobody moves the pool."""
    still = replace(DIRECTORY, cover=Cover(0, 0, 0))
    assert seen(still, Observed([0, 1, 0], 1)) is None


def test_our_packet_must_be_among_those_observed() -> None:
    for entered, ours in (([], 0), ([0], 0), ([1], 1), ([1, -1], 0)):
        with pytest.raises(ValueError, match="isn't among"):
            Observed(entered, ours)
