"""
What a cheating bank B' can do to an honest party: keep it waiting, and lie where the lie can be shown.

The paper asks nothing of a run with B' but that its end be recoverable (definition 6) and that parties notice
("fraud"). Here: an input happens whole or not at all; no unit of an honest party is gone without evidence
against the bank in its folder; and as soon as the bank is honest again, everything that was under way ends,
with every unit where it belongs.
"""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.simon import cheating_bank
from tests.properties.simon.cheating_bank import PROGRAMS, Program
from tests.properties.simon.network import Asked
from tests.properties.simon.party import DEPOSIT, WITHDRAW, How, Input, Party
from tests.properties.simon.profile import looked_at
from tests.properties.simon.world import World, new_world
from tests.unit.wallet.forced.court import TERMS, Court
from wallet.purse import CoinState

HONEST = ("ann", "bob")
SOON = {"claim_after_rounds": 4}
CREDIT = 64
inputs = st.sampled_from(
    [
        Input("ann", WITHDRAW, 5),
        Input("ann", DEPOSIT, 3),
        *(Input("ann", "bob", units, how) for how in How for units in (1, 4)),
    ]
)


def put_in_place(world: World, program: Program, rng: Random) -> None:
    """B' instead of B."""

    def answer(batch: "list[Asked]") -> None:
        program(world, rng, batch)

    world.network.bank = answer


def reform(world: World) -> None:
    """B again; and everybody resumes until nothing is open."""
    world.network.bank = world.answer_all
    world.town.board.bends = lambda entries: entries
    for party in list(world.parties.values()) * 2:
        world.run(party.resume())


def kept(party: Party) -> int:
    """Units that are the party's: free ones, those set aside with evidence, those in its account."""
    disputed = party.wallet.units(CoinState.DISPUTED)
    assert not disputed or party.evidence()
    return party.wal() + disputed + party.led()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
@looked_at(5)
@given(st.lists(inputs, min_size=1, max_size=2), st.integers(0, 2**32))
def test_no_unit_of_an_honest_party_is_gone_without_evidence(
    program: Program, given_: list[Input], seed: int
) -> None:
    """Whatever B' does to a few inputs: afterwards all of it is there, and the board agrees."""
    with new_world(seed, ann=CREDIT, bob=CREDIT) as world:
        world.cycle(Input("ann", WITHDRAW, 15))
        put_in_place(world, program, Random(seed))
        for each in given_:
            world.cycle(each)
        reform(world)
        check(world)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
@looked_at(3)
@given(st.lists(inputs, min_size=1, max_size=2), st.integers(0, 2**32))
def test_a_successor_ends_what_a_cheating_bank_left(program: Program, given_: list[Input], seed: int) -> None:
    """
    Definition 6: B' is replaced, its key and books are gone. What it left open its successor answers, and
    each party has what the board and the balances say.
    """
    with new_world(seed, ann=CREDIT, bob=CREDIT) as world:
        world.cycle(Input("ann", WITHDRAW, 15))
        put_in_place(world, program, Random(seed))
        for each in given_:
            world.cycle(each)
        world.recover()
        reform(world)
        check(world)
        world.cycle(Input("ann", WITHDRAW, 1))
        world.cycle(Input("ann", "bob", 1))
        check(world)


@looked_at(6)
@given(inputs.filter(lambda each: each.how is How.HAND_OVER), st.integers(0, 2**32))
def test_what_the_bank_does_not_publish_comes_to_light(given_: Input, seed: int) -> None:
    """
    Certificates left out of the board: their holders put them there. A payee who asked for the coin has no
    certificate yet; there the payer's claim is what helps.
    """
    with new_world(seed, ann=CREDIT, bob=CREDIT) as world:
        world.cycle(Input("ann", WITHDRAW, 15))
        world.town.board.bends = cheating_bank.hiding(Random(seed))
        world.cycle(given_)
        reform(world)
        check(world)


def test_a_bank_that_never_answers_its_mail_is_forced() -> None:
    """B' answers nobody, but for claims on the board: the payment has its effect all the same."""
    with new_world(1, terms=TERMS, town=Court, settings=SOON, ann=CREDIT, bob=CREDIT) as world:
        world.cycle(Input("ann", WITHDRAW, 15))
        ann, bob = world.parties["ann"], world.parties["bob"]
        world.network.bank = lambda _: None
        world.cycle(Input("ann", "bob", 4, How.NOW))
        for _ in range(12):
            if not ann.cashier.undecided():
                break
            world.run(ann.resume())
        world.run(bob.listen())
        assert (ann.wal(), bob.wal(), world.balance("ann")) == (11, 4, CREDIT - 15)


def check(world: World) -> None:
    """Together they have what they began with: paid among themselves, or not."""
    live = world.live()
    for name in HONEST:
        party = world.parties[name]
        assert party.unsettled() == 0
        assert party.open_operations() == []
        assert party.units_live(live) == party.wal()
        assert world.balance(name) - CREDIT == party.led()
        assert party.wallet.units(CoinState.LOST) == 0
    handed = sum(world.parties[name].wallet.units(CoinState.HANDED) for name in HONEST)
    assert sum(kept(world.parties[name]) for name in HONEST) + handed == 0


def test_a_lie_that_was_signed_is_kept() -> None:
    """A coin that the bank disowns is set aside, and both its certificate and the refusal are on file."""
    with new_world(3, ann=CREDIT, bob=CREDIT) as world:
        world.cycle(Input("ann", WITHDRAW, 15))
        put_in_place(world, cheating_bank.lying_per_coin, Random(3))
        world.cycle(Input("ann", "bob", 15, How.INVOICE))
        party = world.parties["ann"]
        assert party.wallet.units(CoinState.DISPUTED)
        assert any("unknown-certificate" in name for name in party.evidence())
