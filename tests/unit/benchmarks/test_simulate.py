"""The tables of docs/mixing.md are what the benchmark makes."""

from pathlib import Path

from benchmarks.month.shown import put_between_marks
from benchmarks.simulate import CHOICES, CHOSEN, COMPARED, MARKS, NAMES, compared
from mix.simulation.comparing import FAMILIES, Point
from mix.simulation.running import simulate
from mix.simulation.scenario import Scenario

PAGE = Path(__file__).parents[3] / "docs/mixing.md"


def test_the_page_has_room_for_both_tables() -> None:
    """And holds those of the last run: their heads, and a line for each proposal."""
    page = PAGE.read_text()
    for marks, heads in zip(MARKS, (COMPARED, CHOSEN), strict=True):
        assert put_between_marks(page, "made", *marks) != page
        assert "| " + " | ".join(heads) + " |" in page
    for choice in CHOICES:
        assert f"| {choice.scenario.users:,} | {choice.words} | " in page


def test_a_row_for_each_point() -> None:
    """In the words of its family."""
    crowd = Scenario(users=20, messages=60)
    result = simulate(crowd)
    rows = [(crowd, Point(family, 8.0, crowd, result)) for family in FAMILIES]
    lines = compared(rows).splitlines()[2:]
    assert len(lines) == len(FAMILIES)
    for line, family in zip(lines, FAMILIES, strict=True):
        assert line.startswith(f"| 20 | {NAMES[family].format(8)} | ")
        assert line.count("|") == len(COMPARED) + 1
