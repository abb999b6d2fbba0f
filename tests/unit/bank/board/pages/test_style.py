"""The style sheet's colours: text can be read by day and by night (WCAG 2.2, level AA: 4.5 to 1)."""

import re
from importlib.resources import files

import pytest

READ_ON = [
    ("ink", "paper"),
    ("ink", "card"),
    ("ink", "line"),
    ("soft", "paper"),
    ("soft", "card"),
    ("mint", "paper"),
    ("mint", "card"),
    ("paper", "mint"),
    ("mint-ink", "mint-soft"),
    ("clay", "clay-soft"),
    ("clay", "card"),
    ("clay", "paper"),
    ("ink", "clay-soft"),
    ("gold", "gold-soft"),
]
"""Which colour letters have on which ground."""


def schemes() -> list[dict[str, str]]:
    """The colours by day, and by night."""
    style = files("bank.board").joinpath("static/style.css").read_text()
    found = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    ]
    assert len(found) == 2
    return found


def luminance(colour: str) -> float:
    """As the WCAG defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("night", [False, True])
@pytest.mark.parametrize(("letters", "ground"), READ_ON)
def test_letters_stand_out_from_their_ground(night: bool, letters: str, ground: str) -> None:
    """At least 4.5 to 1, for those who see little."""
    colours = schemes()[night]
    lighter, darker = sorted((luminance(colours[letters]), luminance(colours[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
