"""Coins of exactly the values asked for: found, or made by standard exchanges in a few steps."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet.matched import next_exchanges, one_each
from wallet.plans import Exchange, Held, total

MOST_PASSES = 24
"""A value halves or doubles in each pass: 2^20 to 1 and back, and some to make coins clean."""


def held(*values: int, clean: bool = True) -> list[Held]:
    return [Held(row, value.bit_length() - 1, clean) for row, value in enumerate(values, 1)]


def done(coins: list[Held], exchanges: list[Exchange]) -> list[Held]:
    """The coins after these exchanges."""
    left = [coin for coin in coins if not any(coin in each.inputs for each in exchanges)]
    row = max(coin.row for coin in coins)
    made = [exponent for each in exchanges for exponent in each.outputs]
    return left + [Held(row + at, exponent, clean=True) for at, exponent in enumerate(made, 1)]


def test_a_coin_of_each_value_in_the_requests_order() -> None:
    """Clean ones only; none when a value is missing, whatever the sum."""
    coins = held(8, 1, 4, 4)
    chosen = one_each(coins, [0, 2, 3])
    assert chosen is not None
    assert [coin.units for coin in chosen] == [1, 4, 8]
    assert one_each(coins, [2, 2, 2]) is None
    assert one_each(held(8, clean=False), [3]) is None


@pytest.mark.parametrize(
    ("values", "wanted", "expected"),
    [
        ((16, 1), (3, 0), [((16,), (3, 3))]),
        ((4, 4), (3,), [((4, 4), (3,))]),
        # The larger coin plays no part while smaller ones are enough.
        ((16, 4, 2, 1, 1), (3,), [((1, 1), (1,))]),
        # The smaller coin is split for the smaller value, at the same time.
        ((16, 2), (3, 0), [((16,), (3, 3)), ((2,), (0, 0))]),
        # Its halves are enough for both: nothing else is split.
        ((16, 32), (3, 2), [((16,), (3, 3))]),
    ],
)
def test_smaller_coins_are_merged_or_a_larger_one_is_split(
    values: tuple[int, ...], wanted: tuple[int, ...], expected: list[tuple[tuple[int, ...], tuple[int, ...]]]
) -> None:
    """A split or a merge; what a split will yield isn't made twice."""
    moves = next_exchanges(held(*values), wanted)
    made = [(tuple(coin.units for coin in move.inputs), move.outputs) for move in moves]
    assert made == expected


def test_what_is_there_is_kept_and_made_clean() -> None:
    """A withdrawn coin of the right value is renewed, not split."""
    (move,) = next_exchanges(held(8, 16, clean=False), [3])
    assert (move.inputs[0].units, move.outputs) == (8, (3,))


coins_in_hand = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=12)


@given(coins_in_hand, st.data())
def test_every_sum_that_is_there_can_be_made(coins: list[tuple[int, bool]], data: st.DataObject) -> None:
    """By standard exchanges that don't touch each other, in few passes, with no unit lost."""
    have = [Held(row, exponent, clean) for row, (exponent, clean) in enumerate(coins, 1)]
    units = total(have)
    wanted: list[int] = []
    while len(wanted) < 16 and (left := units - sum(1 << each for each in wanted)):
        if wanted and data.draw(st.booleans()):
            break
        wanted.append(data.draw(st.integers(0, min(9, left.bit_length() - 1))))
    for _ in range(MOST_PASSES):
        moves = next_exchanges(have, wanted)
        chosen = one_each(have, wanted)
        assert (chosen is None) == bool(moves)
        if chosen is not None:
            assert [coin.exponent for coin in chosen] == wanted
            return
        used = Counter(coin for move in moves for coin in move.inputs)
        assert used.keys() <= set(have)
        assert set(used.values()) == {1}
        for move in moves:
            assert (len(move.inputs), len(move.outputs)) in {(1, 1), (1, 2), (2, 1)}
            assert total(move.inputs) == sum(1 << exponent for exponent in move.outputs)
        have = done(have, moves)
        assert total(have) == units
    raise AssertionError("not made in the end")
