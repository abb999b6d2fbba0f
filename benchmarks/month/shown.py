"""The table and the plot of docs/anonymity.md. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.month.people import Habit

BEGIN = "<!-- made by: python -m benchmarks linking -->"
END = "<!-- made until here -->"

WORDS = {
    Habit.NOW: "at once, with change",
    Habit.STOCK: "from stock, no agent",
    Habit.AGENT: "from stock, with agent",
    Habit.SPREAD: "the same, within 15 minutes",
}


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def text(self, *, is_share: bool) -> str:
        if not is_share:
            return f"{self.value:.1f} ({self.low:.1f} to {self.high:.1f})"
        return f"{self.value:.0%} ({100 * self.low:.0f} to {100 * self.high:.0f})"


@dataclass(frozen=True)
class Measure:
    """One question. ``chance``: what a guess without any coins would do, as text; ``is_share``: of 1."""

    name: str
    words: str
    chance: str = ""
    is_share: bool = True
    is_plotted: bool = True


Found = Mapping[tuple[str, Habit], Estimate]


def table(measures: Sequence[Measure], found: Found) -> str:
    """Markdown; the intervals are in parentheses."""
    heads = ["", *(WORDS[habit] for habit in Habit), "chance"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for measure in measures:
        cells = [found[measure.name, habit].text(is_share=measure.is_share) for habit in Habit]
        lines.append("| " + " | ".join([measure.words, *cells, measure.chance]) + " |")
    return "\n".join(lines)


_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 760, 250, 24, 74, 44
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1b1f24 }
  .soft { fill: #57606a } .grid { stroke: #d0d7de } .axis { stroke: #57606a }
  .now { --c: #b35900 } .stock { --c: #0969da } .agent { --c: #1a7f37 } .spread { --c: #8250df }
  .now *, .stock *, .agent *, .spread * { stroke: var(--c) } .dot { fill: var(--c) }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .soft { fill: #9ea7b3 } .grid { stroke: #30363d } .axis { stroke: #9ea7b3 }
    .now { --c: #f0a35e } .stock { --c: #6cb6ff } .agent { --c: #57d27b } .spread { --c: #c297ff }
  }
"""


def plot(measures: Sequence[Measure], found: Found) -> str:
    """An SVG: a line of dots for each question, a dot for each habit, whiskers for the intervals."""
    shown = [measure for measure in measures if measure.is_plotted]
    height = _TOP + _ROW * len(shown) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        'aria-label="How often bank and board guess right, by how people pay">',
        f"<style>{_STYLE}</style>",
        *_legend(),
        *_grid(height),
    ]
    for row, measure in enumerate(shown):
        top = _TOP + _ROW * row
        for line, words in enumerate(_wrapped(measure.words)):
            parts.append(f'<text x="0" y="{top + 24 + 16 * line}">{words}</text>')
        for at, habit in enumerate(Habit):
            parts.append(_dot(found[measure.name, habit], habit, top + 14 + 14 * at))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend() -> list[str]:
    places = (0, 165, 330, 505)
    return [
        f'<g class="{habit.value}"><circle class="dot" cx="{x + 6}" cy="12" r="4.5"/></g>'
        f'<text x="{x + 16}" y="16">{WORDS[habit]}</text>'
        for x, habit in zip(places, Habit, strict=True)
    ]


def _grid(height: int) -> list[str]:
    bottom = height - 30
    lines = []
    for step in range(6):
        x = _x(step / 5)
        lines.append(f'<line class="grid" x1="{x}" y1="{_TOP - 8}" x2="{x}" y2="{bottom}"/>')
        lines.append(
            f'<text class="soft" x="{x}" y="{bottom + 20}" text-anchor="middle">{20 * step} %</text>'
        )
    return lines


def _dot(estimate: Estimate, habit: Habit, y: int) -> str:
    return (
        f'<g class="{habit.value}"><line x1="{_x(estimate.low)}" y1="{y}" x2="{_x(estimate.high)}" y2="{y}" '
        f'stroke-width="2"/><circle class="dot" cx="{_x(estimate.value)}" cy="{y}" r="4.5"/></g>'
    )


def _x(share: float) -> float:
    return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)


def _wrapped(words: str, width: int = 36) -> list[str]:
    lines = [""]
    for word in words.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def put_between_marks(page: str, made: str, first: str = BEGIN, last: str = END) -> str:
    """The page with what is between the two marks replaced. Raises ValueError when they aren't there."""
    before, begin, rest = page.partition(first)
    _, end, after = rest.partition(last)
    if not (begin and end):
        raise ValueError("the page has no marks for the table")
    return f"{before}{begin}\n\n{made}\n\n{end}{after}"
