"""Lines for people: wrapped between words, where a terminal would break them anywhere."""

import shutil
import textwrap
from typing import TextIO


def fitted(text: str, columns: int) -> str:
    """``text`` in lines of at most ``columns``, if its words allow; 0: as it is. Its own lines stay lines."""
    if not columns:
        return text
    lines = [
        textwrap.fill(line, columns, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
    ]
    return "\n".join(lines)


def width(stream: TextIO) -> int:
    """The terminal's columns behind a stream; 0 for a file or a program, which get lines whole."""
    return shutil.get_terminal_size().columns if stream.isatty() else 0
