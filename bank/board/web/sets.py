"""
The sets that coins hide in: how many of each value and coin epoch there are, by the bank's statements. Pure.

Whoever knows only a coin's value and epoch can't tell it from the others of its set that are unspent.
"""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

from bank.board.web.views import Number32, Number64, Units, View
from bank.formats.statement import BankStatement, Row


class SetView(View, frozen=True):
    """Coins of one value and epoch, counted since the bank began."""

    units: Units
    epoch: Number32
    certified: Number64
    spent: Number64
    replaced: Number64
    unspent: Annotated[
        Number64, Meta(description="certified and neither spent nor replaced: a coin could be each of these")
    ]


class SetsPage(View, frozen=True):
    """By the bank's newest statement; all zeros and no sets before the first one."""

    statement: Annotated[Number32, Meta(description="the statement's number; 0 before the first")]
    round: Annotated[Number32, Meta(description="the round that shows it; 0 before the first")]
    size: Annotated[Number64, Meta(description="so many leaves the bank had read when it counted")]
    signed: Annotated[bool, Meta(description="whether the statement's signature is the bank's")]
    sets: list[SetView]


NO_SETS = SetsPage(0, 0, 0, False, [])


def sets_page(statement: BankStatement, round_: int, standing: Iterable[Row], *, signed: bool) -> SetsPage:
    """``standing``: the newest row of each value and epoch. The newest epoch first, small values first."""
    sets = [_set(row) for row in standing]
    sets.sort(key=lambda one: (-one.epoch, one.units))
    return SetsPage(statement.sequence, round_, statement.size, signed, sets)


def _set(row: Row) -> SetView:
    tally = row.tally
    # A bank may state what it likes; what isn't there can't be negative.
    unspent = max(0, tally.certified - tally.spent - tally.replaced)
    return SetView(1 << row.exponent, row.epoch, tally.certified, tally.spent, tally.replaced, unspent)
