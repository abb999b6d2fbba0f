"""Lines over a logarithmic axis, as SVG. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 420, 56, 24, 64, 52
_COLOURS = ("blue", "orange", "green", "purple", "red")
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1b1f24 }
  .soft { fill: #57606a } .grid { stroke: #d0d7de } .line { fill: none; stroke-width: 2 }
  .blue { --c: #0969da } .orange { --c: #b35900 } .green { --c: #1a7f37 } .purple { --c: #8250df } .red { --c: #cf222e }
  .line { stroke: var(--c) } .dot { fill: var(--c) }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .soft { fill: #9ea7b3 } .grid { stroke: #30363d }
    .blue { --c: #6cb6ff } .orange { --c: #f0a35e } .green { --c: #57d27b } .purple { --c: #c297ff } .red { --c: #ff7b72 }
  }
"""  # noqa: E501 - one line for each scheme's colours


@dataclass(frozen=True)
class Axes:
    """Titles; ``most_bits``: the upper end of the y axis, what would be known of nobody."""

    title: str
    x: str
    y: str
    most_bits: float


def plot(axes: Axes, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """
    A standalone SVG document: each series by its name, as (x, y) with x above 0.

    Raises ValueError when there is nothing to show.
    """
    xs = [x for points in series.values() for x, _ in points]
    if not xs or min(xs) <= 0:
        raise ValueError("nothing to plot, or nothing that a logarithm has")
    low, high = math.log2(min(xs)) - 0.2, math.log2(max(xs)) + 0.2
    frame = _Frame(low, high, max(1.0, math.ceil(axes.most_bits)))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(axes.title)}">',
        f"<style>{_STYLE}</style>",
        f'<text x="{_LEFT}" y="18">{escape(axes.title)}</text>',
        *_legend(series),
        *frame.grid(),
        f'<text class="soft" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 10}" text-anchor="end">'
        f"{escape(axes.x)}</text>",
        f'<text class="soft" x="{_LEFT}" y="{_TOP - 8}">{escape(axes.y)}</text>',
    ]
    for colour, points in zip(_COLOURS, series.values(), strict=False):
        parts.append(frame.line(colour, sorted(points)))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend(names: Iterable[str]) -> list[str]:
    lines, x = [], float(_LEFT)
    for colour, name in zip(_COLOURS, names, strict=False):
        lines.append(
            f'<g class="{colour}"><circle class="dot" cx="{x + 5}" cy="36" r="4.5"/></g>'
            f'<text x="{x + 15}" y="40">{escape(name)}</text>'
        )
        x += 34 + 7 * len(name)
    return lines


@dataclass(frozen=True)
class _Frame:
    """From values to places; ``low`` and ``high`` are binary logarithms."""

    low: float
    high: float
    top: float

    def x(self, value: float) -> float:
        share = (math.log2(value) - self.low) / (self.high - self.low)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        return round(_HEIGHT - _BOTTOM - value / self.top * (_HEIGHT - _BOTTOM - _TOP), 1)

    def grid(self) -> list[str]:
        lines = []
        step = max(1, round(self.top / 8))
        for bits in range(0, int(self.top) + 1, step):
            y = self.y(bits)
            lines.append(f'<line class="grid" x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}"/>')
            lines.append(f'<text class="soft" x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{bits}</text>')
        for power in range(math.ceil(self.low), math.floor(self.high) + 1):
            x = self.x(2.0**power)
            bottom = _HEIGHT - _BOTTOM
            lines.append(f'<line class="grid" x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}"/>')
            label = f'<text class="soft" x="{x}" y="{bottom + 18}" text-anchor="middle">{2.0**power:g}</text>'
            lines.append(label)
        return lines

    def line(self, colour: str, points: Sequence[tuple[float, float]]) -> str:
        places = [(self.x(x), self.y(y)) for x, y in points]
        path = " ".join(f"{x},{y}" for x, y in places)
        dots = "".join(f'<circle class="dot" cx="{x}" cy="{y}" r="4"/>' for x, y in places)
        return f'<g class="{colour}"><polyline class="line" points="{path}"/>{dots}</g>'
