"""Others' settings beside ours, at equal latency; and the plots of it."""

import xml.etree.ElementTree as ET

import pytest

from mix.simulation.comparing import Point, shown, tuned
from mix.simulation.plot import Axes, plot
from mix.simulation.running import simulate
from mix.simulation.scenario import Scenario

FEW = Scenario(users=50, messages=150)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("family", ["ours", "loopix"])
def test_a_family_is_set_to_a_wanted_latency(family: str) -> None:
    """Within a tenth, and with as many packets as the scenario has."""
    point = tuned(family, FEW, 90)
    assert point.result.latency_s == pytest.approx(90, rel=0.1)
    assert point.scenario.cover == FEW.cover
    assert simulate(point.scenario) == point.result


def test_plots_have_a_line_for_each_family() -> None:
    """Well-formed, with all their points inside the frame."""
    result = simulate(FEW)
    points = [Point(family, 1.0, FEW, result) for family in ("ours", "loopix", "ours-members")]
    for name, svg in shown(FEW, points, points, 160).items():
        root = ET.fromstring(svg)  # noqa: S314 - our own
        assert name.endswith(".svg")
        assert len(root.findall(f".//{SVG}polyline")) == 3
        width, height = (float(each) for each in root.attrib["viewBox"].split()[2:])
        for dot in root.iter(f"{SVG}circle"):
            assert 0 < float(dot.attrib["cx"]) < width
            assert 0 < float(dot.attrib["cy"]) < height


def test_names_cannot_break_a_plot() -> None:
    """They are text, whatever they are."""
    svg = plot(Axes("<a>&", "x", "y", 4), {'"<b>': [(1.0, 1.0), (2.0, 3.0)]})
    assert "&lt;b&gt;" in "".join(ET.tostringlist(ET.fromstring(svg), encoding="unicode"))  # noqa: S314 - our own


def test_nothing_is_not_plotted() -> None:
    for points in ({}, {"zero": [(0.0, 1.0)]}):
        with pytest.raises(ValueError, match="nothing to plot"):
            plot(Axes("", "", "", 4), points)
