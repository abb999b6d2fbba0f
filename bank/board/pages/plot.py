"""
Plots for the board's pages: points in, SVG out, drawn on the server. Pure.

Colours come from the style sheet by class, so a plot follows the reader's light or dark mode. A shape is in
CSS pixels: a phone gets a plot of its own instead of a shrunk one, so that the letters stay readable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from markupsafe import Markup, escape


@dataclass(frozen=True, slots=True)
class Point:
    """``value`` from this moment on (Unix seconds), or for bars: from the point before until this one."""

    at_s: int
    value: float


@dataclass(frozen=True, slots=True)
class Shape:
    """Width and height of a plot in CSS pixels, and a word that tells its ids from another plot's."""

    name: str
    width: int
    height: int

    left = 46
    right = 12
    top = 10
    bottom = 24

    @property
    def floor(self) -> int:
        """The y of the time axis."""
        return self.height - self.bottom


WIDE = Shape("wide", 760, 230)
NARROW = Shape("narrow", 328, 200)

_PIXELS_A_TICK = 84
_HOUR, _DAY = 3600, 86_400
_TIME_STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800),
    *(_HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR),
    *(_DAY, 2 * _DAY, 5 * _DAY, 10 * _DAY),
)
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120)


@dataclass(frozen=True, slots=True)
class _Scale:
    """From time and value to pixels."""

    shape: Shape
    first_s: int
    last_s: int
    most: float

    def x(self, at_s: int) -> float:
        width = self.shape.width - self.shape.left - self.shape.right
        return round(self.shape.left + width * (at_s - self.first_s) / (self.last_s - self.first_s), 1)

    def y(self, value: float) -> float:
        height = self.shape.floor - self.shape.top
        return round(self.shape.floor - height * max(0.0, value) / self.most, 1)


def steps(points: Sequence[Point], shape: Shape, title: str, unit: str) -> Markup:
    """A line that keeps each value until the next point: an amount over time. At least two times."""

    def draw(scale: _Scale) -> str:
        path = [f"M{scale.x(points[0].at_s)} {scale.y(points[0].value)}"]
        path += [f"H{scale.x(point.at_s)}V{scale.y(point.value)}" for point in points[1:]]
        line = "".join(path)
        closed = f"{line}V{shape.floor}H{scale.x(points[0].at_s)}Z"
        return f'<path class="area" d="{closed}"/><path class="line" d="{line}"/>'

    return _plot(points, shape, title, unit, draw)


def bars(points: Sequence[Point], shape: Shape, title: str, unit: str) -> Markup:
    """A bar from each point to the next, as high as the next one's value: a rate over time."""

    def draw(scale: _Scale) -> str:
        drawn = []
        for before, point in pairwise(points):
            left, top = scale.x(before.at_s), scale.y(point.value)
            width = max(1.0, round(scale.x(point.at_s) - left - 0.6, 1))
            if top < shape.floor:
                drawn.append(f"M{left} {shape.floor}V{top}h{width}V{shape.floor}z")
        return f'<path class="bars" d="{"".join(drawn)}"/>'

    return _plot(points, shape, title, unit, draw)


def _plot(
    points: Sequence[Point], shape: Shape, title: str, unit: str, draw: Callable[[_Scale], str]
) -> Markup:
    if len(points) < 2 or points[0].at_s >= points[-1].at_s:
        raise ValueError("a plot needs two moments")
    rows = value_ticks(max(point.value for point in points))
    scale = _Scale(shape, points[0].at_s, points[-1].at_s, rows[-1])
    parts = [_head(shape, title, _in_words(points, unit))]
    for value in rows:
        y = scale.y(value)
        parts.append(f'<path class="grid" d="M{shape.left} {y}H{shape.width - shape.right}"/>')
        parts.append(f'<text class="value" x="{shape.left - 8}" y="{y + 4}">{short(value)}</text>')
    parts.append(draw(scale))
    most = max(2, (shape.width - shape.left - shape.right) // _PIXELS_A_TICK)
    for at_s, label in time_ticks(scale.first_s, scale.last_s, most):
        x = scale.x(at_s)
        # A label at the border would be cut off.
        anchor = "start" if x < shape.left + 20 else "end" if x > shape.width - shape.right - 24 else "middle"
        parts.append(f'<path class="tick" d="M{x} {shape.floor}v5"/>')
        parts.append(f'<text x="{x}" y="{shape.height - 4}" text-anchor="{anchor}">{label}</text>')
    parts.append("</svg>")
    return Markup("".join(parts))  # noqa: S704 - numbers and labels of our own; title and unit are escaped


def _head(shape: Shape, title: str, words: str) -> str:
    key = f"{shape.name}-" + "".join(char if char.isalnum() else "-" for char in title.lower())
    return (
        f'<svg class="plot {shape.name}" viewBox="0 0 {shape.width} {shape.height}" width="{shape.width}"'
        f' height="{shape.height}" role="img" aria-labelledby="{key}" aria-describedby="{key}-d"'
        f' focusable="false"><title id="{key}">{escape(title)}</title>'
        f'<desc id="{key}-d">{escape(words)}</desc>'
    )


def _in_words(points: Sequence[Point], unit: str) -> str:
    low, high = min(points, key=lambda p: p.value), max(points, key=lambda p: p.value)
    return (
        f"From {_moment(points[0].at_s)} to {_moment(points[-1].at_s)} (UTC), in {unit}: "
        f"{full(points[0].value)} at first, {full(points[-1].value)} at last; "
        f"least {full(low.value)}, most {full(high.value)} on {_moment(high.at_s)}."
    )


def value_ticks(most: float, lines: int = 4) -> list[float]:
    """From 0 to at least ``most`` in equal steps of 1, 2 or 5 times a power of ten; at least 0 and 1."""
    step = 1
    while step * lines < most:
        for factor in (2, 5, 10):
            if step * factor * lines >= most or factor == 10:
                step *= factor
                break
    count = max(1, -(-int(-(-most // 1)) // step))
    return [float(step * at) for at in range(count + 1)]


def time_ticks(first_s: int, last_s: int, most: int) -> list[tuple[int, str]]:
    """At most ``most`` round moments (UTC, Unix seconds) with their labels, both ends included."""
    for step in _TIME_STEPS:
        ticks = range(-(-first_s // step) * step, last_s + 1, step)
        if len(ticks) <= most:
            return [(at_s, _label(at_s, step)) for at_s in ticks]
    for months in _MONTH_STEPS:
        found = _months(first_s, last_s, months)
        if len(found) <= most or months == _MONTH_STEPS[-1]:
            break
    return [(at_s, f"{_utc(at_s):%b %Y}") for at_s in found[:most]]


def _months(first_s: int, last_s: int, step: int) -> list[int]:
    """The first days of every ``step``-th month between two moments."""
    first, last = _utc(first_s), _utc(last_s)
    found = []
    for month in range(first.year * 12, last.year * 12 + 12, step):
        at_s = int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp())
        if first_s <= at_s <= last_s:
            found.append(at_s)
    return found


def _label(at_s: int, step_s: int) -> str:
    at = _utc(at_s)
    if step_s >= _DAY or at_s % _DAY == 0:
        return f"{at:%-d %b}"
    return f"{at:%H:%M}" if step_s >= 60 else f"{at:%H:%M:%S}"


def _utc(at_s: int) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)


def _moment(at_s: int) -> str:
    return f"{_utc(at_s):%-d %b %Y, %H:%M:%S}"


def full(value: float) -> str:
    """A value in full: 12,345 or 1.5."""
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:,.1f}"


def short(value: float) -> str:
    """A value in five characters or so: 950, 12 k, 1.5 M."""
    for unit, name in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit * (10 if name == "k" else 1):
            return f"{value / unit:,.4g} {name}"
    return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"


def one_per_second(points: Sequence[Point]) -> list[Point]:
    """Of points of the same second only the last: rounds may close faster than their clock ticks."""
    return [point for point, after in pairwise(points) if after.at_s > point.at_s] + list(points[-1:])


def spread(newest: int, most: int) -> list[int]:
    """At most ``most`` of the numbers 1 .. newest, evenly, with the first and the last."""
    if newest <= most:
        return list(range(1, newest + 1))
    return [1 + (newest - 1) * at // (most - 1) for at in range(most)]
