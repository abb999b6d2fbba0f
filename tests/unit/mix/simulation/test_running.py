"""Whole simulations: they replay, cover helps, and where nothing mixes nothing is hidden."""

from dataclasses import replace

import pytest

from mix.directory.document import Cover, Mixing
from mix.simulation.running import simulate
from mix.simulation.scenario import CORRUPTIBLE, LOOPIX, MIXMASTER, Scenario
from mixmint.errors import UserError

SMALL = Scenario(users=40, messages=120, cascades=2, gateways=2)


@pytest.mark.parametrize("mixing", [SMALL.mixing, LOOPIX, Mixing("threshold", 4, 0, 12, 60_000, 0, 0)])
def test_a_seed_replays_and_another_does_not(mixing: Mixing) -> None:
    scenario = replace(SMALL, mixing=mixing, messages=60)
    assert simulate(scenario) == simulate(scenario)
    assert simulate(scenario) != simulate(replace(scenario, seed=2))


def test_where_nothing_mixes_the_sender_is_known() -> None:
    """Every node corrupt: no entropy, one member, a certain guess; and as many packets as ever."""
    bare = simulate(replace(SMALL, corrupt=frozenset(CORRUPTIBLE)))
    assert (bare.bits, bare.members, bare.guess) == (0, 1, 1)
    assert bare.packets == simulate(SMALL).packets


def test_each_honest_node_helps() -> None:
    """One mix, all mixes, a gateway before them."""
    mixes = [frozenset({"gateways", "2", "3"}), frozenset({"gateways"}), frozenset[str]()]
    found = [simulate(replace(SMALL, corrupt=corrupt)).bits for corrupt in mixes]
    assert 0 < found[0] < found[1] <= found[2] + 0.05


def test_cover_of_members_hides_and_costs() -> None:
    """A packet a minute from everybody: more who may have sent it; more packets, and a wait for the pace."""
    plain, covered = simulate(SMALL), simulate(replace(SMALL, cover=Cover(8, 0, 60_000)))
    assert covered.bits > plain.bits + 1
    assert covered.packets_per_message > plain.packets_per_message
    assert covered.latency_s > plain.latency_s + 30


def test_loops_are_carried_and_counted() -> None:
    looping = simulate(replace(SMALL, cover=Cover(8, 10_000, 0)))
    assert looping.packets > simulate(SMALL).packets


def test_a_single_message_alone_costs_five_packets() -> None:
    """Member, gateway, three mixes: no cover, nothing more."""
    alone = simulate(Scenario(users=300, cover=Cover(0, 0, 0), messages=3000))
    assert alone.packets_per_message == pytest.approx(5, rel=0.05)
    assert alone.slots_per_message > alone.packets_per_message


def test_more_than_a_frame_waits_at_its_link() -> None:
    """256 packets a tick and a link: with more to carry, latency grows without bound."""
    within = simulate(Scenario(users=200, per_hour=300, messages=4000, cover=Cover(0, 0, 0)))
    over = simulate(Scenario(users=400, per_hour=300, messages=8000, cover=Cover(0, 0, 0)))
    assert over.latency_p95_s > within.latency_p95_s + 20


def test_how_full_frames_are_is_known_before() -> None:
    """What members post, and the cover of two mixes; a last mix shares its out among gateways."""
    assert Scenario(users=200, per_hour=360, cover=Cover(0, 0, 0)).load == pytest.approx(200 / 256)
    assert Scenario(users=64, cover=Cover(8, 0, 10_000)).load == pytest.approx((64 + 24) / 256)
    shared = Scenario(users=64, cover=Cover(8, 0, 10_000), gateways=2, cascades=2)
    assert shared.load == pytest.approx((32 + 16) / 256)
    looping = Scenario(users=1, per_hour=1e-9, cover=Cover(0, 10_000, 0))
    assert looping.load == pytest.approx(4 / 256)


@pytest.mark.parametrize(
    "change",
    [
        {"users": 0},
        {"per_hour": 0.0},
        {"tick_ms": 0},
        {"gateways": 0},
        {"corrupt": frozenset({"4"})},
        {"cover": Cover(8, 0, 600_000)},
        {"mixing": Mixing("timed-pool", 8, 0, 0, 0, 0, 0)},
        {"mixing": Mixing("poisson", 0, 0, 0, 0, 0, 0)},
        {"mixing": Mixing("threshold", 0, 0, 0, 0, 0, 0)},
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UserError):
        replace(SMALL, **change)  # type: ignore[arg-type] # fields of the scenario


def test_a_pool_that_nobody_moves_is_said() -> None:
    """A few messages in a large pool without cover: nothing comes out."""
    with pytest.raises(UserError, match="nothing was delivered"):
        simulate(Scenario(users=2, mixing=MIXMASTER, cover=Cover(0, 0, 0), messages=20))
