"""
The two figures of each coin, and what they are summed up to. Pure.

*For the public*: how many coins it could be, at most (crowd.py). *Against the bank*, which sees which coin
turned into which: how many exchanges the holder made himself since it came in. Beside them stands how many
coins of its value the coin's own round certified: whoever knew the coin before its last exchange, a payer for
one, knows that it is one of these.

Source: docs/anonymity.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wallet.anonymity.crowd import Class
from wallet.purse import CoinRecord

TINY = 10
"""A set of fewer is said to be tiny: a guess is right more often than one time in ten."""


@dataclass(frozen=True, slots=True)
class Figures:
    """
    ``public``: at most so many unspent coins look like it; None when the bank hasn't stated them yet.
    ``exchanges``: own ones. ``beside``: coins of its value in its round; 0 when not known.
    """

    public: int | None
    exchanges: int
    beside: int

    @property
    def is_tiny(self) -> bool:
        return self.public is not None and self.public < TINY


def figures_of(coin: CoinRecord, alike: Mapping[Class, int]) -> Figures:
    """``alike``: unspent coins on the board by value and epoch (``Crowd.alike``)."""
    public = alike.get((coin.exponent, coin.epoch))
    # It stands on the board itself: a bank whose statement forgot it can't make it fewer than one.
    return Figures(None if public is None else max(1, public), coin.exchanges, coin.beside)


@dataclass(frozen=True, slots=True)
class Summary:
    """
    The weakest figures among some coins. ``public``: the smallest set; None when none is known.
    ``exchanges``: the fewest. ``tiny``: how many coins are in a tiny set; ``unknown``: how many in one that
    the bank hasn't stated yet; ``fresh``: how many were never exchanged by their holder.
    """

    coins: int
    public: int | None
    exchanges: int
    tiny: int
    unknown: int
    fresh: int


def summary(all_figures: Iterable[Figures]) -> Summary:
    """What the coins in hand come to; a chain is as weak as its weakest link, so no averages."""
    figures = list(all_figures)
    known = [each.public for each in figures if each.public is not None]
    return Summary(
        len(figures),
        min(known, default=None),
        min((each.exchanges for each in figures), default=0),
        sum(each.is_tiny for each in figures),
        len(figures) - len(known),
        sum(each.exchanges == 0 for each in figures),
    )
