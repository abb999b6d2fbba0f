"""Hostile text on a terminal."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from replyblocks.terminal import preview, printable


def test_escape_sequences_are_shown_not_obeyed() -> None:
    """Clearing the screen, setting the title, reversing the text."""
    assert printable("a\x1b[2Jb") == "a\\x1b[2Jb"
    assert printable("\x1b]0;title\x07") == "\\x1b]0;title\\x07"
    assert printable("pay \u202e51 to\u200b me\x9b31m") == "pay \\u202e51 to\\u200b me\\x9b31m"
    assert printable("one\ntwo\r\x08") == "one\ntwo\\r\\x08"
    assert printable("one\ntwo", lines=False) == "one\\ntwo"
    assert printable("grüße 日本 ½ 🙂") == "grüße 日本 ½ 🙂"


@given(st.text())
def test_nothing_but_text_and_line_breaks_comes_out(text: str) -> None:
    """No control, format, private or unassigned character."""
    for shown in (printable(text), preview(text, 20)):
        kinds = {unicodedata.category(character) for character in shown if character != "\n"}
        assert not {kind for kind in kinds if kind[0] == "C"} | kinds & {"Zl", "Zp"}
    assert "\n" not in preview(text, 20)
