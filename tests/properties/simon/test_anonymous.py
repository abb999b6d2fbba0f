"""
Definition 7: whoever the members of S in the middle of a chain are, everybody else sees the same.

The random tapes go along with the parts (tapes.py), so "the same" is byte by byte: order, sizes, times,
counts of messages, values, epochs, retries, and every random name too. Shapes other than v -> v leak what
leakage.py says, and nothing beyond it.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.simon.chains import (
    CREDIT,
    MEMBERS,
    OUTSIDER,
    UNITS,
    Chain,
    Mood,
    deaf,
    seen,
    slow,
    swapped,
)
from tests.properties.simon.leakage import shapes, shown
from tests.properties.simon.party import WITHDRAW, How, Input
from tests.properties.simon.profile import looked_at
from tests.properties.simon.tapes import Tapes
from tests.properties.simon.views import first_difference
from tests.properties.simon.world import new_world

hows = st.sampled_from(How)
moods: "st.SearchStrategy[Mood | None]" = st.sampled_from([None, deaf(1), deaf(3), slow(2), slow(8)])


@st.composite
def pasts(draw: st.DrawFn, least: int = 1) -> list[Input]:
    """
    What happened before: withdrawals, and payments out of them, so that purses are of all sizes and ages.
    ``least``: the smallest coin's units.
    """
    rich = draw(st.lists(st.sampled_from((*MEMBERS, OUTSIDER)), min_size=1, max_size=3, unique=True))
    past = [Input(name, WITHDRAW, 15 * least) for name in rich]
    for name in draw(st.lists(st.sampled_from(rich), max_size=4)):
        payee = draw(st.sampled_from([each for each in (*MEMBERS, OUTSIDER) if each != name]))
        past.append(Input(name, payee, draw(st.integers(1, 3)) * least, draw(hows)))
    return past


@st.composite
def middles(draw: st.DrawFn) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Two sequences of members between ann and dan, of one length; nobody pays himself."""
    length = draw(st.integers(1, 3))

    def one() -> tuple[str, ...]:
        names = ["ann"]
        for left in range(length, 0, -1):
            taken = {names[-1], "dan"} if left == 1 else {names[-1]}
            names.append(draw(st.sampled_from([name for name in MEMBERS if name not in taken])))
        return tuple(names[1:])

    return one(), one()


@looked_at(10)
@given(
    pasts(), middles(), st.tuples(hows, hows, hows, hows, hows, hows), st.booleans(), st.booleans(), moods,
    st.integers(0, 9),
)  # fmt: skip
def test_who_is_in_the_middle_of_a_chain_changes_nothing_that_others_see(
    past: list[Input],
    middle: tuple[tuple[str, ...], tuple[str, ...]],
    ways: tuple[How, ...],
    from_outside: bool,
    to_outside: bool,
    mood: Mood | None,
    seed: int,
) -> None:
    """v -> v orders, with an honest bank, a slow one, and one that lets members ask again."""
    views = [
        seen(
            past + Chain(between, ways, from_outside=from_outside, to_outside=to_outside).inputs(),
            seed,
            mood=mood,
            after=len(past) + 1,
        )
        for between in middle
    ]
    assert first_difference(*views) == ""


@looked_at(6)
@given(
    pasts(2 * UNITS),
    st.sampled_from([("cid", "bob"), ("cid", "ann"), ("bob", "ann"), ("cid", "dan")]),
    st.integers(1, UNITS - 1),
    hows,
    st.integers(0, 9),
)
def test_change_and_splits_tell_no_more_than_their_shapes(
    past: list[Input], others: tuple[str, str], units: int, how: How, seed: int
) -> None:
    """
    2v -> v + v, v + v -> 2v, payments with change: between members whose purses have no smaller coins, the
    leakage function is equal, so the views are.
    """
    segment = [
        Input("ann", WITHDRAW, UNITS),
        Input("ann", "bob", UNITS, how),
        Input("bob", "cid", units, how),
        Input("cid", "bob", units, how),
        Input("bob", "dan", UNITS, how),
    ]
    one = seen(past + segment, seed)
    other = seen(past + swapped(segment, dict(zip(("bob", "cid"), others, strict=True))), seed)
    assert first_difference(one, other) == ""


def test_which_output_is_paid_and_which_is_change_can_not_be_told() -> None:
    """
    After a payment v + v out of 2v, the payer spends his change and then the payee his coin; or first the
    payee, then the payer. The names are renamed with the parts (the payer's for the payee's): the same view.
    """
    segment = [Input("ann", WITHDRAW, 2), Input("ann", "bob", 2), Input("bob", "cid", 1, How.NOW)]
    first, then = Input("bob", "dan", 1), Input("cid", "dan", 1)
    renamed = {"payer of 3": "payee of 3", "payee of 3": "payer of 3"}
    for seed in range(4):
        one = seen([*segment, first, then], Tapes(seed), sealed=True)
        other = seen([*segment, then, first], Tapes(seed, coins=renamed), sealed=True)
        assert first_difference(one, other) == ""


def test_a_withdrawal_or_deposit_shows_its_account_and_nothing_else_of_its_holder() -> None:
    """Two members who change everything, their accounts too: only the accounts' names change hands."""
    ways = (How.HAND_OVER, How.INVOICE, How.NOW)
    one = seen(Chain(("bob",), ways).inputs(), Tapes(3))
    renamed = {"start of ann": "start of cid", "start of cid": "start of ann"}
    other = seen(
        Chain(("bob",), ways, first="cid").inputs(), Tapes(3, renamed), order=("cid", "bob", "ann", "dan")
    )
    assert first_difference(one, other) == ""


@looked_at(8)
@given(pasts(), st.integers(1, 12), hows, st.integers(0, 9))
def test_a_payments_orders_are_those_that_the_leakage_function_says(
    past: list[Input], units: int, how: How, seed: int
) -> None:
    """The function is given the payer's purse; what the bank got is of these shapes, no more and no fewer."""
    with new_world(seed, **dict.fromkeys((*MEMBERS, OUTSIDER), CREDIT)) as world:
        values: dict[bytes, int] = {}
        begin = 0
        for given_ in [*past, Input(past[0].party, "dan" if past[0].party != "dan" else "ann", units, how)]:
            payer = world.parties[given_.party]
            if given_.what == WITHDRAW or payer.wal() < given_.units:
                world.cycle(given_)
            else:
                expected = shapes(given_, payer)
                world.cycle(given_)
                values.update(world.values())
                assert shown(world.view.events[begin:], values) == expected
            values.update(world.values())
            begin = len(world.view.events)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_replays_to_the_last_byte(seed: int) -> None:
    """The same tapes, the same inputs: the same run. So whatever differs elsewhere was caused."""
    inputs = Chain(("bob", "cid"), (How.INVOICE, How.HAND_OVER, How.NOW)).inputs()
    assert seen(inputs, seed) == seen(inputs, seed)
    assert seen(inputs, seed) != seen(inputs, seed + 1)
