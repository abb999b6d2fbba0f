"""A stock of each value, kept by standard exchanges only."""

from collections import Counter
from itertools import count, pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from wallet.anonymity.stock import affordable, next_exchanges, timed
from wallet.plans import Exchange, Held, pay_from_stock

TARGETS = (2, 2, 2, 2, 2)


def held(*values: int, clean: bool = True) -> list[Held]:
    """Coins of these values in units."""
    return [Held(row, value.bit_length() - 1, clean) for row, value in enumerate(values, start=1)]


def done(coins: list[Held], moves: list[Exchange], fresh: "count[int]") -> list[Held]:
    """The coins after these exchanges."""
    used = {coin.row for move in moves for coin in move.inputs}
    assert len(used) == sum(len(move.inputs) for move in moves), "one coin in two orders"
    made = [Held(next(fresh), exponent, True) for move in moves for exponent in move.outputs]
    return [coin for coin in coins if coin.row not in used] + made


def test_the_money_goes_to_small_values_first() -> None:
    """25 units: one each of 1 to 8, then a second of 1 to 4; three are left over."""
    assert affordable(TARGETS, 25) == [2, 2, 2, 1, 0]
    assert affordable(TARGETS, 0) == [0, 0, 0, 0, 0]
    assert affordable(TARGETS, 1000) == [2, 2, 2, 2, 2]
    assert affordable((), 8) == []


def test_the_nearest_larger_coin_is_halved() -> None:
    """Four are missing and there are two sixteens: one of them is split, the other stays."""
    (move,) = next_exchanges(held(1, 2, 16, 16), {}, (1, 1, 1, 0, 1))
    assert (move.inputs[0].units, move.outputs) == (16, (3, 3))


def test_spare_small_coins_are_merged() -> None:
    """Five ones where one is wanted become two twos and a one."""
    moves = next_exchanges(held(1, 1, 1, 1, 1), {}, (1, 0, 0))
    assert [(len(move.inputs), move.outputs) for move in moves] == [(2, (1,)), (2, (1,))]


def test_what_is_under_way_counts() -> None:
    """A split that isn't over yet isn't started a second time."""
    coins = held(1, 8)
    assert next_exchanges(coins, {}, (1, 1, 1))
    assert next_exchanges(coins, {1: 2}, (1, 1)) == []


def test_a_coin_that_somebody_knows_is_used_up_first() -> None:
    """Its halves are clean; left alone it waits for its turn, as every coin does."""
    coins = [Held(1, 3, True), Held(2, 3, False)]
    (move,) = next_exchanges(coins, {}, (0, 0, 2, 1))
    assert move.inputs[0].row == 2
    assert next_exchanges(held(4, clean=False), {}, (0, 0, 1)) == []


def test_times_are_exponential_and_the_order_is_chance() -> None:
    """Gaps of the stated mean, and as often longer than its median as shorter."""
    moves = next_exchanges(held(*[4] * 800), {}, ())
    schedule = timed(moves, 60.0, Random(1))
    assert len(schedule) == 400
    times = [0.0, *(each.delay_s for each in schedule)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert 54 < sum(gaps) / len(gaps) < 66
    assert 0.43 < sum(gap < 60 * 0.693 for gap in gaps) / len(gaps) < 0.57
    assert [each.exchange for each in schedule] != moves
    assert [each.exchange for each in schedule] != [each.exchange for each in timed(moves, 60.0, Random(2))]


amounts = st.lists(st.integers(0, 6), max_size=25)


@given(amounts, st.lists(st.integers(0, 3), max_size=7))
def test_it_ends_with_the_stock_that_the_money_allows(exponents: list[int], targets: list[int]) -> None:
    """From any coins: standard shapes only, no unit lost, an end, and then the stock is there."""
    coins = [Held(row, exponent, True) for row, exponent in enumerate(exponents, start=1)]
    units = sum(coin.units for coin in coins)
    fresh = count(1000)
    for _ in range(60):
        moves = next_exchanges(coins, {}, targets)
        if not moves:
            break
        for move in moves:
            shape = (len(move.inputs), len(move.outputs))
            assert shape in {(1, 2), (2, 1)}
            assert sum(coin.units for coin in move.inputs) == sum(1 << each for each in move.outputs)
        coins = done(coins, moves, fresh)
    else:
        raise AssertionError("it never ends")
    assert sum(coin.units for coin in coins) == units
    there = Counter(coin.exponent for coin in coins)
    for exponent, wanted in enumerate(affordable(targets, units)):
        assert there[exponent] >= wanted


@given(st.integers(1, 62), amounts)
def test_a_full_stock_pays_any_ordinary_amount_without_change(amount: int, more: list[int]) -> None:
    """Two of each value up to 16, and whatever else: every amount up to their sum is there exactly."""
    coins = held(*[1 << exponent for exponent in (0, 0, 1, 1, 2, 2, 3, 3, 4, 4, *more)])
    payment = pay_from_stock(coins, amount)
    if payment is not None:
        assert sum(coin.units for coin in payment.inputs) == amount
    # Above eight coins no order carries it; that is the only reason.
    assert payment is not None or amount > 31
