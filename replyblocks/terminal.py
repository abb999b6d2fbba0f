"""
Showing strangers' text on a terminal.

A message can hold control characters: sequences that clear the screen, move the cursor, change the window's
title, paste a command, or (bidirectional marks) show something else than is there. Everything that isn't
plain text is shown as an escape such as \\x1b.
"""

import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def printable(text: str, *, lines: bool = True) -> str:
    """The text, safe to print. ``lines``: line breaks stay; else they are shown as escapes too."""
    return "".join(_shown(character, lines) for character in text)


def _shown(character: str, lines: bool) -> str:
    if character == "\n" and lines:
        return character
    if character == "\t" and lines:
        return "    "
    if unicodedata.category(character) in _HIDDEN:
        return character.encode("unicode_escape").decode("ascii")
    return character


def preview(text: str, width: int) -> str:
    """The beginning of a text, on one line, at most ``width`` characters before escaping."""
    line = " ".join(text[: 4 * width].split())
    short = line if len(line) <= width else line[: width - 1] + "…"
    return printable(short, lines=False)
