"""What a bank makes of orders v -> v that come near each other."""

from benchmarks.month.company import Belief, Single, look_around

ANN: Belief = [0.97, 0.01, 0.01, 0.01]
BOB: Belief = [0.01, 0.97, 0.01, 0.01]
CID: Belief = [0.01, 0.01, 0.97, 0.01]
ANYBODY: Belief = [0.25, 0.25, 0.25, 0.25]
WINDOW_S = 100.0


def beside(*more: Single) -> list[Single]:
    """A day with an order of every value each hour, and these."""
    usual = [
        Single(hour * 3600.0 + 50 * each, 100 * hour + each, each, ANYBODY, ANYBODY)
        for hour in range(24)
        for each in range(5)
    ]
    return sorted([*usual, *more], key=lambda single: single.at_s)


def test_an_amount_whose_other_coins_are_missing_is_ruled_out() -> None:
    """Alone, 8 units are 8 units."""
    found = look_around(beside(Single(1800.0, 1, 3, ANN, BOB)), WINDOW_S)
    assert found[1].amounts == {8: 1.0}
    assert found[1].pull < 1


def test_coins_of_one_purse_that_go_into_one_make_the_amount() -> None:
    """8 and 4 from Ann to Bob: 12 units, and each says more about the other; from anybody they say less."""
    both = look_around(beside(Single(1800.0, 1, 3, ANN, BOB), Single(1850.0, 2, 2, ANN, BOB)), WINDOW_S)
    strange = look_around(beside(Single(1800.0, 1, 3, ANN, BOB), Single(1850.0, 2, 2, CID, CID)), WINDOW_S)
    assert both[1].amounts[12] > 0.9 > strange[1].amounts[12]
    assert both[1].pull > 10 > strange[1].pull
    payer, payee = both[1].join(ANYBODY, ANYBODY)
    assert payer.index(max(payer)) == 0
    assert payee.index(max(payee)) == 1


def test_far_apart_or_too_large_they_say_nothing() -> None:
    """Beyond the time that a payment takes; a coin larger than any payment."""
    far = look_around(beside(Single(1800.0, 1, 3, ANN, BOB), Single(1950.0, 2, 2, ANN, BOB)), WINDOW_S)
    assert 12 not in far[1].amounts
    large = look_around(beside(Single(1800.0, 1, 9, ANN, BOB)), WINDOW_S)
    assert large[1].amounts == {}
    assert look_around([], WINDOW_S) == {}
