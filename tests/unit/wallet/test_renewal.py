"""When coins are renewed: spread over the last third of their life, whatever else goes on."""

from itertools import pairwise
from random import Random

import pytest

from bank.ledger.terms import Age, Terms
from wallet.purse import CoinRecord, CoinState
from wallet.renewal import (
    MOST_AT_ONCE,
    Renewals,
    age_of,
    grace_ends_s,
    is_money,
    life_ends_s,
    renewal_s,
    renewals,
)

TERMS = Terms(epoch_s=1000, life_epochs=12, grace_epochs=3)
EPOCH = 50
BORN_S, DIES_S, GONE_S = 50_000.0, 62_000.0, 65_000.0


def coin(number: int, epoch: int = EPOCH) -> CoinRecord:
    return CoinRecord(
        secret=number.to_bytes(32), exponent=3, state=CoinState.FREE, purpose=2, counter=number, epoch=epoch
    )


def coins(count: int) -> dict[int, CoinRecord]:
    return {number: coin(number) for number in range(1, count + 1)}


def test_a_coin_s_days_follow_from_epoch_and_terms() -> None:
    """To the second: good, in its grace, expired."""
    one = coin(1)
    assert (life_ends_s(one, TERMS), grace_ends_s(one, TERMS)) == (DIES_S, GONE_S)
    assert age_of(one, TERMS, DIES_S - 1) is Age.LAST
    assert age_of(one, TERMS, DIES_S) is Age.GRACE
    assert is_money(one, TERMS, GONE_S - 1)
    assert not is_money(one, TERMS, GONE_S)
    assert is_money(one, None, GONE_S)


def test_times_are_spread_over_the_last_third() -> None:
    """From the third's beginning to a sixth before its end, about evenly; the same whenever they're asked."""
    times = [renewal_s(each, TERMS) for each in coins(600).values()]
    assert times == [renewal_s(each, TERMS) for each in coins(600).values()]
    first, last = DIES_S - 4000, DIES_S - 4000 / 6
    assert first <= min(times) < first + 200
    assert last - 200 < max(times) <= last
    part = (last - first) / 3
    for number in range(3):
        share = sum(first + number * part <= each < first + (number + 1) * part for each in times)
        assert 150 < share < 250


def test_a_watched_purse_renews_each_coin_once_at_its_own_time() -> None:
    """The agent's loop: look when told to, renew what is due; nothing goes at once, nothing is forgotten."""
    held, rng, now_s = coins(20), Random(3), BORN_S
    done: dict[int, float] = {}
    while held:
        found = renewals(held, TERMS, now_s, rng)
        assert not found.first
        assert len(found.now) <= MOST_AT_ONCE
        for row in found.now:
            done[row] = now_s
            del held[row]
        if held:
            assert found.next_s is not None
            now_s = max(found.next_s, now_s + 0.001)
    assert all(renewal_s(coin(row), TERMS) <= at < DIES_S for row, at in done.items())
    assert len({round(at) for at in done.values()}) > 12


def test_what_was_asleep_wakes_up_bit_by_bit() -> None:
    """A wallet from a drawer: all are due. A few go now, the others at random times before the end."""
    late = DIES_S - 600
    held, rng, now_s = coins(8), Random(5), late
    assert all(renewal_s(each, TERMS) < late for each in held.values())
    at: list[float] = []
    while held:
        found = renewals(held, TERMS, now_s, rng, most=1)
        if found.first:
            break
        for row in found.now:
            at.append(now_s)
            del held[row]
        now_s = found.next_s or now_s
    assert not held
    assert at[0] == late
    assert late + 200 < at[-1] < DIES_S
    pauses = {round(b - a) for a, b in pairwise(at)}
    assert len(pauses) > 4


def test_grace_comes_first_and_what_expired_is_left_alone() -> None:
    """By how little time they have left; expired coins are nobody's to exchange."""
    held = {1: coin(1), 2: coin(2, EPOCH - 2), 3: coin(3, EPOCH - 1), 4: coin(4, EPOCH - 3)}
    found = renewals(held, TERMS, DIES_S, Random(1))
    assert found == Renewals((2, 3, 1), (), None)
    assert renewals({1: coin(1)}, TERMS, GONE_S, Random(1)) == Renewals()
    assert renewals({}, TERMS, 0.0, Random(1)) == Renewals()


@pytest.mark.parametrize("life", [2, 3, 5])
def test_short_lives_are_renewed_in_time_too(life: int) -> None:
    """Also where the last third is less than an epoch."""
    terms = Terms(epoch_s=1000, life_epochs=life, grace_epochs=1)
    for each in coins(50).values():
        assert life_ends_s(each, terms) - life * 1000 / 3 <= renewal_s(each, terms)
        assert renewal_s(each, terms) < life_ends_s(each, terms) - life * 1000 / 20
