"""docs/spec/simon.md names only what is there: paths, tests, rules of the machine, names in files."""

import re
from pathlib import Path

import pytest

from tests.properties.simon.test_correct_and_secure import Economy
from tests.properties.simon.world import World

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/spec/simon.md").read_text()
FOLDERS = "bank|benchmarks|docs|mix|mixmint|replyblocks|tests|wallet"


def found(pattern: str) -> list[str]:
    """All different matches on the page, in order."""
    return list(dict.fromkeys(re.findall(pattern, PAGE)))


def test_every_test_named_is_there() -> None:
    """By its name, in any file of tests."""
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"def (test_\w+)\(", sources))
    named = found(r"`(test_\w+)`")
    assert len(named) > 60
    assert [name for name in named if name not in defined] == []


def test_every_path_named_is_there() -> None:
    """Whole paths, pages of this folder, and no path that the pattern misses."""
    paths = found(rf"\b((?:{FOLDERS})/[\w./-]*\w)")
    assert len(paths) > 40
    assert [path for path in paths if not (ROOT / path).exists()] == []
    pages = found(r"(?<![\w/-])([a-z-]+\.md)")
    assert [page for page in pages if not (ROOT / "docs/spec" / page).exists()] == []


@pytest.mark.parametrize(("owner", "name"), [(Economy, "Economy"), (World, "World")])
def test_every_rule_named_is_there(owner: type, name: str) -> None:
    """Rules and invariants of the machine; methods of the network."""
    named = found(rf"`{name}\.(\w+)`")
    assert named
    assert [rule for rule in named if not hasattr(owner, rule)] == []


def test_every_name_in_a_file_is_there() -> None:
    """``name`` in ``path``: defined there."""
    pairs = re.findall(r"`(?:\w+\.)?(\w+)` in `([\w/.]+)`", PAGE)
    assert len(pairs) > 10
    missing = [
        (name, path)
        for name, path in pairs
        if not re.search(rf"(?:def|class) {name}\b|^{name} = ", (ROOT / path).read_text(), re.MULTILINE)
    ]
    assert missing == []


def test_the_tables_and_the_plot_of_definition_8_are_there() -> None:
    """As ``python -m benchmarks.efficiency`` prints them."""
    assert (ROOT / "docs/spec/efficiency.svg").read_text().startswith("<svg")
    for name in ("bank: bytes in and out", "parties: hashes", "coins in each purse's past"):
        assert f"| {name} |" in PAGE
