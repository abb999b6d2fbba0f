"""Whoever looks for a test or a file that a page names finds it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]


def named(pattern: str) -> dict[str, Path]:
    """What pages have that looks like this, each with one page."""
    return {name: page for page in PAGES for name in re.findall(pattern, page.read_text())}


def test_every_test_that_a_page_names_is_there() -> None:
    """By its name, in any file of tests; a case in brackets is one of some test's parameters."""
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    defined = set(re.findall(r"def (test_\w+)\(", sources))
    names, cases = named(r"`(test_\w+)[`\[]"), named(r"`(?:test_\w+)?\[([\w ]+)\]`")
    assert len(names) > 100
    assert len(cases) > 3
    assert {name: page for name, page in names.items() if name not in defined} == {}
    assert {case: page for case, page in cases.items() if f'"{case}"' not in sources} == {}


def test_every_file_of_tests_that_a_page_names_is_there() -> None:
    """Its path from the repository's root."""
    paths = named(r"\btests/[\w./-]*\w")
    assert len(paths) > 20
    assert {path: page for path, page in paths.items() if not (ROOT / path).exists()} == {}
