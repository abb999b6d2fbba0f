"""Plots: where points land, which ticks an axis gets, and what stands there for those who don't see it."""

import re
from datetime import UTC, datetime
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.board.pages.plot import (
    NARROW,
    WIDE,
    Point,
    Shape,
    bars,
    full,
    one_per_second,
    short,
    spread,
    steps,
    time_ticks,
    value_ticks,
)

NOON = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp())
DAY = 86_400
SHAPE = Shape("test", 158, 134)
"""100 pixels by 100 inside its margins."""


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - our own drawing


def paths(svg: str, name: str) -> list[str]:
    return [each.get("d", "") for each in parse(svg).iter("path") if each.get("class") == name]


def test_a_value_stands_until_the_next_one() -> None:
    """A supply doesn't slide from one round to the next: it jumps."""
    svg = steps([Point(0, 0), Point(50, 10), Point(100, 5)], SHAPE, "Units", "units")
    assert paths(svg, "line") == ["M46.0 110.0H96.0V10.0H146.0V60.0"]
    assert paths(svg, "area") == ["M46.0 110.0H96.0V10.0H146.0V60.0V110H46.0Z"]


def test_a_bar_reaches_from_one_point_to_the_next() -> None:
    """The first point only says where the first bar begins; a bar of nothing isn't drawn."""
    svg = bars([Point(0, 99), Point(50, 5), Point(75, 0), Point(100, 10)], SHAPE, "Entries", "entries")
    assert re.findall(r"M([\d.]+) 110V([\d.]+)h([\d.]+)", paths(svg, "bars")[0]) == [
        ("46.0", "105.0", "49.4"),
        ("121.0", "100.0", "24.4"),
    ]


def test_the_plot_says_in_words_what_it_shows() -> None:
    """A title and a description, tied to the picture by ids of their own."""
    points = [Point(NOON, 3), Point(NOON + 60, 1500), Point(NOON + 120, 12)]
    for shape in (WIDE, NARROW):
        svg = parse(steps(points, shape, "Units in circulation", "units"))
        title, words = svg.find("title"), svg.find("desc")
        assert title is not None
        assert words is not None
        assert svg.get("role") == "img"
        assert (svg.get("aria-labelledby"), svg.get("aria-describedby")) == (title.get("id"), words.get("id"))
        assert shape.name in (title.get("id") or "")
        assert title.text == "Units in circulation"
        assert words.text == (
            "From 21 Nov 2026, 12:00:00 to 21 Nov 2026, 12:02:00 (UTC), in units: 3 at first, 12 at last; "
            "least 3, most 1,500 on 21 Nov 2026, 12:01:00."
        )


def test_a_title_is_text_and_never_markup() -> None:
    """Whoever names things can't write into the page."""
    svg = steps([Point(0, 0), Point(1, 1)], WIDE, "<b>&</b>", "<i>")
    assert "<b>" not in svg
    assert parse(svg).findtext("title") == "<b>&</b>"
    assert "in <i>:" in (parse(svg).findtext("desc") or "")


@pytest.mark.parametrize("points", [[], [Point(5, 1)], [Point(5, 1), Point(5, 2)]])
def test_one_moment_is_no_plot(points: list[Point]) -> None:
    """There is nothing to draw between a moment and itself."""
    with pytest.raises(ValueError, match="two moments"):
        steps(points, WIDE, "Units", "units")


@pytest.mark.parametrize(
    ("most", "ticks"),
    [(0, [0, 1]), (1, [0, 1]), (3.3, [0, 1, 2, 3, 4]), (12, [0, 5, 10, 15]), (2687, [0, 1000, 2000, 3000])],
)
def test_value_ticks_are_round_and_few(most: float, ticks: list[float]) -> None:
    """From zero on, so that a plot doesn't exaggerate."""
    assert value_ticks(most) == ticks


@given(st.floats(0, 1e15))
def test_value_ticks_reach_every_value(most: float) -> None:
    """Equal steps of 1, 2 or 5 times a power of ten, four at most, the last one just above."""
    ticks = value_ticks(most)
    (step,) = {round(after - before) for before, after in pairwise(ticks)}
    assert str(step).rstrip("0") in {"1", "2", "5"}
    assert ticks[0] == 0
    assert 2 <= len(ticks) <= 5
    assert ticks[-1] >= most > ticks[-1] - step or most == 0


@pytest.mark.parametrize(
    ("length_s", "labels"),
    [
        (4, ["12:00:00", "12:00:01", "12:00:02", "12:00:03", "12:00:04"]),
        (3600, ["12:00", "12:15", "12:30", "12:45", "13:00"]),
        (DAY, ["12:00", "18:00", "22 Nov", "06:00", "12:00"]),
        (4 * DAY, ["22 Nov", "23 Nov", "24 Nov", "25 Nov"]),
        (100 * DAY, ["Dec 2026", "Jan 2027", "Feb 2027", "Mar 2027"]),
        (1000 * DAY, ["Jan 2027", "Jan 2028", "Jan 2029"]),
    ],
)
def test_time_ticks_are_round_moments(length_s: int, labels: list[str]) -> None:
    """As a clock and a calendar have them, in UTC."""
    ticks = time_ticks(NOON, NOON + length_s, 5)
    assert [label for _, label in ticks] == labels
    assert all(NOON <= at_s <= NOON + length_s for at_s, _ in ticks)


@given(st.integers(0, 4 * 10**9), st.integers(1, 4 * 10**9), st.integers(2, 9))
def test_time_ticks_never_crowd(first_s: int, length_s: int, most: int) -> None:
    """However long the log has run, labels don't overlap."""
    ticks = [at_s for at_s, _ in time_ticks(first_s, first_s + length_s, most)]
    assert len(ticks) <= most
    assert ticks == sorted(set(ticks))
    assert all(first_s <= at_s <= first_s + length_s for at_s in ticks)


@given(st.integers(0, 10**6), st.integers(2, 200))
def test_samples_are_spread_evenly(newest: int, most: int) -> None:
    """As many as allowed, the first and the last round among them."""
    numbers = spread(newest, most)
    assert len(numbers) == min(newest, most)
    if newest:
        assert (numbers[0], numbers[-1]) == (1, newest)
        gaps = {after - before for before, after in pairwise(numbers)}
        assert not gaps or max(gaps) - min(gaps) <= 1


def test_of_one_second_the_last_value_counts() -> None:
    """Rounds close several times a second; their clock counts whole ones."""
    points = [Point(1, 1), Point(1, 2), Point(2, 3), Point(5, 4), Point(5, 5)]
    assert one_per_second(points) == [Point(1, 2), Point(2, 3), Point(5, 5)]
    assert one_per_second([]) == []


def test_numbers_are_short_on_an_axis_and_full_in_words() -> None:
    """Five characters fit beside the axis."""
    values = (0, 950, 2500, 20_000, 1_500_000, 2.5e9)
    assert [short(value) for value in values] == ["0", "950", "2,500", "20 k", "1.5 M", "2.5 G"]
    assert [full(value) for value in (0, 1.54, 12_345, 200.4)] == ["0", "1.5", "12,345", "200"]
