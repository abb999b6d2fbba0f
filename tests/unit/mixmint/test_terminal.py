"""Lines for people."""

import io

from mixmint.terminal import fitted, width


def test_lines_break_between_words_and_programs_get_them_whole() -> None:
    """Commands and file names stay in one piece, so that they can be copied."""
    text = "mixmint: three coins never exchanged; run `mixmint wallet churn`\n- second line"
    shown = fitted(text, 40)
    assert all(len(line) <= 40 for line in shown.splitlines())
    assert shown.splitlines()[-1] == "- second line"
    assert " ".join(shown.split()) == " ".join(text.split())
    assert fitted(text, 0) == text
    assert fitted("a" * 90, 80) == "a" * 90
    assert width(io.StringIO()) == 0
