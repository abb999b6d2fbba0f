"""
Coins of exactly the values that somebody asks for: what a payment needs when each coin is paid apart. Pure.

An order v -> v takes one coin of its output's value, and a clean one, or it would say whose it is. Where one
is missing, standard exchanges make it: a larger coin is split, or smaller ones are merged.
"""

from collections.abc import Iterable, Sequence

from wallet.plans import Exchange, Held, renew, split


def one_each(coins: Iterable[Held], exponents: Sequence[int]) -> list[Held] | None:
    """A clean coin of each of these values, in their order; None when one is missing."""
    left = [coin for coin in coins if coin.clean]
    chosen = []
    for exponent in exponents:
        found = next((coin for coin in left if coin.exponent == exponent), None)
        if found is None:
            return None
        left.remove(found)
        chosen.append(found)
    return chosen


def next_exchanges(coins: Sequence[Held], exponents: Iterable[int]) -> list[Exchange]:
    """
    The standard exchanges to do next (all at once, they don't touch) on the way to ``one_each``; empty when
    it is there. The caller has checked that the sum is.

    Each call comes nearer: what is there is kept and made clean. For a value that is missing smaller coins
    are merged, if they are enough, and only else a larger one is split: so what a payment takes doesn't
    depend on how rich its payer is. Of a coin that is being split the halves are waited for.
    """
    rest = sorted(coins, key=lambda coin: (coin.exponent, not coin.clean, coin.row))
    steps: list[Exchange] = []
    missing: list[int] = []
    for exponent in sorted(exponents, reverse=True):
        found = next((coin for coin in rest if coin.exponent == exponent), None)
        if found is None:
            missing.append(exponent)
            continue
        rest.remove(found)
        if not found.clean:
            steps.append(renew(found))
    for exponent in missing:
        steps += _towards(exponent, rest)
    return steps


_COMING = 0
"""The row of a coin that a split of this call will yield, sooner or later."""


def _towards(exponent: int, rest: list[Held]) -> list[Exchange]:
    """The exchanges for one missing coin. What they use leaves the rest; what else comes of them joins it."""
    coming = Held(_COMING, exponent, clean=True)
    if coming in rest:
        rest.remove(coming)
        return []
    smaller = _smaller(exponent, rest)
    if smaller is not None:
        for coin in smaller:
            rest.remove(coin)
        return _pairs([coin for coin in smaller if coin.row != _COMING])
    larger = min((coin for coin in rest if coin.exponent > exponent), key=_size, default=None)
    if larger is None:
        return []
    rest.remove(larger)
    rest += [Held(_COMING, each, clean=True) for each in range(exponent, larger.exponent)]
    return [] if larger.row == _COMING else [split(larger)]


def _size(coin: Held) -> tuple[int, bool, bool]:
    # A coin to come before one in hand; one that isn't clean before one that is: a split makes it so.
    return coin.exponent, coin.row != _COMING, coin.clean


def _smaller(exponent: int, rest: Iterable[Held]) -> list[Held] | None:
    """Smaller coins that together are worth it, the largest first; None when there are too few."""
    chosen, units = [], 1 << exponent
    for coin in sorted(rest, key=lambda coin: -coin.exponent):
        # They are powers of two, so the largest that still fit make up the sum whenever some do.
        if coin.exponent < exponent and coin.units <= units:
            chosen.append(coin)
            units -= coin.units
    return None if units else chosen


def _pairs(coins: Sequence[Held]) -> list[Exchange]:
    """v + v -> 2v, for every pair of equal coins."""
    ascending = sorted(coins, key=lambda coin: coin.exponent)
    steps = []
    while len(ascending) > 1:
        one = ascending.pop(0)
        if one.exponent == ascending[0].exponent:
            steps.append(Exchange((one, ascending.pop(0)), (one.exponent + 1,)))
    return steps
