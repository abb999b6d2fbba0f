"""
Which coins are exchanged once more, and when. Pure.

*Churning* is exchanging v -> v, one coin an order, until each coin has been exchanged often enough by its
holder. All at once it would show the bank which coins belong together; so it takes a stated time, and the
exchanges come in it as chance has it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from math import expm1, log
from random import Random

PACKETS_AN_EXCHANGE = 2
"""A request and its answer are one packet each. Resends, when one is lost, come on top."""


@dataclass(frozen=True, slots=True)
class Coin:
    """
    What counts about a coin here: its row in the purse, what it shows, its two figures (``public`` is None
    when it isn't known).
    """

    row: int
    exponent: int
    epoch: int
    exchanges: int
    public: int | None = None


@dataclass(frozen=True, slots=True)
class Aim:
    """
    Each coin is to be exchanged ``to`` times by its holder; and, with ``public``, one that fewer coins than
    that look like isn't to stay in an old epoch. ``exponents``: only coins of these values; all, when empty.
    """

    to: int
    public: int = 0
    exponents: Collection[int] = ()


def left(coin: Coin, aim: Aim, epoch: int) -> int:
    """
    How many exchanges a coin still needs, in coin epoch ``epoch``.

    Exchanging moves a coin into the current epoch, among everybody's newest coins. There it adds nobody to
    the crowd: a set that is too small in the current epoch only other people make larger.
    """
    if aim.exponents and coin.exponent not in aim.exponents:
        return 0
    is_lonely = coin.public is not None and coin.public < aim.public and coin.epoch < epoch
    return max(aim.to - coin.exchanges, int(is_lonely))


def due(coins: Iterable[Coin], aim: Aim, epoch: int) -> list[Coin]:
    """Those that still need one."""
    return [coin for coin in coins if left(coin, aim, epoch)]


def all_left(coins: Iterable[Coin], aim: Aim, epoch: int) -> int:
    """How many exchanges are still needed."""
    return sum(left(coin, aim, epoch) for coin in coins)


def is_over_rest(coins: int, passed_s: float, rest_s: float, rng: Random) -> bool:
    """
    Whether one of so many coins, each resting for an exponential time of mean ``rest_s``, is to be exchanged
    now, when ``passed_s`` have passed since this was asked last. ``rest_s`` 0: never.

    Each coin has the same chance at any time, however often it was exchanged and wherever it came from. A
    coin that was exchanged soon after it came in, or that lay long and then moved, would tell of a payment.
    """
    return rest_s > 0 and rng.random() < -expm1(-coins * passed_s / rest_s)


def wait_s(exchanges: int, within_s: float, rng: Random) -> float:
    """
    How long until the next of so many exchanges that all come within a time, in seconds.

    The times are those of a Poisson process of which is known that so many fall into that time: the gaps are
    as good as exponential, no time is likelier than another, and the last one isn't late.
    """
    if exchanges < 1 or within_s <= 0:
        return 0.0
    # Of so many even times the earliest: its logarithm is exponential.
    return within_s * -expm1(log(rng.random() or 1.0) / exchanges)
