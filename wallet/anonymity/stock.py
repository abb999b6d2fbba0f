"""
Which standard exchanges keep a stock that pays without change. Pure.

A payment from stock takes one coin of each value that the amount's binary digits name. So a member who has
a clean coin of each small value pays at once, and without change. Payments take coins out and bring others
in; v -> v, 2v -> v + v and v + v -> 2v, one order each, bring the stock back. These look like everybody
else's, and they come long before or after the payment.

Source: docs/anonymity.md.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from bank.formats.coin import MOST_EXPONENT
from wallet.plans import Exchange, Held, split

Targets = Sequence[int]
"""How many coins of 1, 2, 4, 8, ... units there should be."""


@dataclass(frozen=True, slots=True)
class Timed:
    """An exchange and how long to wait before it, in seconds."""

    delay_s: float
    exchange: Exchange


def affordable(targets: Targets, units: int) -> list[int]:
    """
    As much of the targets as this many units can be: first one coin of each value, the smallest first, then
    a second of each, and so on. What is paid most often is small, and each value helps with half of all
    amounts.
    """
    made = [0] * len(targets)
    for copy in range(1, max(targets, default=0) + 1):
        for exponent, target in enumerate(targets):
            if copy <= target and 1 << exponent <= units:
                made[exponent] += 1
                units -= 1 << exponent
    return made


def next_exchanges(coins: Sequence[Held], coming: Mapping[int, int], targets: Targets) -> list[Exchange]:
    """
    The exchanges to do next on the way to the stock; they don't touch, so each can come at any time. Empty
    when the stock is there, as far as the money goes.

    ``coming``: coins that orders under way will bring, by exponent. Coins that aren't clean count: they
    become clean by the exchanges that every coin gets in its turn (churn.py). Here they are used up first.
    """
    stock = _Stock(coins, coming, targets)
    return stock.splits() or stock.merges()


def timed(moves: Sequence[Exchange], mean_s: float, rng: Random) -> list[Timed]:
    """
    The exchanges in a random order, each an exponential gap (``mean_s``) after the one before.

    Exponential gaps have no memory: a process that was stopped draws anew, and nobody can tell.
    """
    shuffled = rng.sample(moves, len(moves))
    found, at_s = [], 0.0
    for move in shuffled:
        at_s += rng.expovariate(1.0 / mean_s) if mean_s > 0 else 0.0
        found.append(Timed(at_s, move))
    return found


class _Stock:
    """Coins by value, against what there should be. ``spare``: how many more there are than needed."""

    def __init__(self, coins: Sequence[Held], coming: Mapping[int, int], targets: Targets) -> None:
        self._coins = coins
        there = Counter(coin.exponent for coin in coins) + Counter(coming)
        units = sum(count << exponent for exponent, count in there.items())
        wanted = affordable(targets, units)
        values = max([len(wanted), *(exponent + 1 for exponent in there)])
        wanted += [0] * (values - len(wanted))
        self._spare = [there[exponent] - wanted[exponent] for exponent in range(values)]

    def splits(self) -> list[Exchange]:
        """For each value that is missing, the nearest larger coin that can be spared is halved."""
        spare = list(self._spare)
        moves: list[Exchange] = []
        for exponent in range(len(spare)):
            while spare[exponent] < 0:
                larger = next((at for at in range(exponent + 1, len(spare)) if spare[at] > 0), None)
                coin = None if larger is None else self._take(larger, moves)
                if larger is None or coin is None:
                    break
                moves.append(split(coin))
                spare[larger] -= 1
                # Halved once; if that isn't small enough, a later call halves one of the halves.
                spare[exponent] += 2 if larger == exponent + 1 else 1
        return moves

    def merges(self) -> list[Exchange]:
        """Coins that nothing is missing of, two by two: what is spare would pile up, small, for ever."""
        spare = list(self._spare)
        moves: list[Exchange] = []
        for exponent in range(min(len(spare), MOST_EXPONENT)):
            while spare[exponent] >= 2:
                one = self._take(exponent, moves)
                other = None if one is None else self._take(exponent, moves, one)
                if one is None or other is None:
                    break
                moves.append(Exchange((one, other), (exponent + 1,)))
                spare[exponent] -= 2
        return moves

    def _take(self, exponent: int, moves: Sequence[Exchange], *besides: Held) -> Held | None:
        """A coin of this value that no move has; one that isn't clean first, so that it becomes clean."""
        used = {coin.row for move in moves for coin in move.inputs} | {coin.row for coin in besides}
        free = [coin for coin in self._coins if coin.exponent == exponent and coin.row not in used]
        return min(free, key=lambda coin: (coin.clean, coin.row), default=None)
