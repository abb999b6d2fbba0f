"""The front page's plots: units in circulation and entries a round, over time. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from bank.board.pages.plot import NARROW, WIDE, Point, bars, full, one_per_second, spread, steps

MOST_SAMPLES = 121
ROWS = 12


@dataclass(frozen=True, slots=True)
class Sample:
    """The log at the end of one round: when that was (Unix seconds), its size, units in circulation."""

    round: int
    at_s: int
    size: int
    units: int


@dataclass(frozen=True)
class Plot:
    """One plot in two shapes, of which the style sheet shows one."""

    title: str
    wide: Markup
    narrow: Markup


@dataclass(frozen=True)
class Row:
    """A line of the plots' table; ``rate``: entries a round, on average since the line before."""

    at_s: int
    supply: int
    rate: str


def plots(samples: Sequence[Sample]) -> list[Plot]:
    """Both plots, from rounds ascending; none as long as all of them closed in the same second."""
    supply = one_per_second([Point(sample.at_s, sample.units) for sample in samples])
    if len(supply) < 2:
        return []
    rates = [Point(samples[0].at_s, 0.0)] + [
        Point(after.at_s, _rate(before, after)) for before, after in pairwise(_distinct(samples))
    ]
    titles = "Units in circulation", "Entries in each round" + _averaged(samples)
    return [
        Plot(titles[0], *(steps(supply, shape, titles[0], "units") for shape in (WIDE, NARROW))),
        Plot(titles[1], *(bars(rates, shape, titles[1], "entries a round") for shape in (WIDE, NARROW))),
    ]


def table(samples: Sequence[Sample]) -> list[Row]:
    """The same as a short table, ascending."""
    distinct = _distinct(samples)
    chosen = [distinct[number - 1] for number in spread(len(distinct), ROWS + 1)]
    return [
        Row(after.at_s, after.units, full(round(_rate(before, after), 1)))
        for before, after in pairwise(chosen)
    ]


def _distinct(samples: Sequence[Sample]) -> list[Sample]:
    """Of samples of the same second only the last."""
    return [sample for sample, after in pairwise(samples) if after.at_s > sample.at_s] + list(samples[-1:])


def _rate(before: Sample, after: Sample) -> float:
    """Entries a round from one sample to the next. A round's mark is no entry of anybody's."""
    rounds = after.round - before.round
    return (after.size - before.size - rounds) / rounds


def _averaged(samples: Sequence[Sample]) -> str:
    rounds = max(after.round - before.round for before, after in pairwise(samples))
    return f", averaged over {rounds:,} rounds" if rounds > 1 else ""
