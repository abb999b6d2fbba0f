"""Pages that name code and settings stay true."""

import re
from pathlib import Path

from bank.settings import BankSettings
from mixmint.settings import load

ROOT = Path(__file__).parents[3]


def test_every_test_and_file_that_simon_md_names_exists() -> None:
    """A rule without its test would go unnoticed otherwise."""
    page = (ROOT / "docs/spec/simon.md").read_text()
    defined = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r"def (\w+)\(", path.read_text())
    }
    named = set(re.findall(r"`(test_\w+)`", page)) | set(re.findall(r"(?:rules?|invariant) `(\w+)`", page))
    assert len(named) > 20
    assert named <= defined, named - defined
    for path in re.findall(r"`((?:bank|tests|benchmarks)/[\w/.]+)`", page):
        assert (ROOT / path).exists(), path


def test_the_example_settings_are_valid_and_show_the_defaults() -> None:
    """Whoever starts from the file starts from what an unset field means."""
    example = load(ROOT / "configs/example/bank.toml", BankSettings)
    assert example.terms == BankSettings(network=Path(), port=1, operations_port=1).terms
    shown = (ROOT / "configs/example/bank.toml").read_text()
    for name in BankSettings.__struct_fields__:
        assert name in shown, name
