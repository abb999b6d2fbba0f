"""All labels of the project, read from its source."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("mixmint", "mix", "replyblocks", "bank", "wallet")


def labels() -> list[str]:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text()))]
    calls = [
        node
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Label"
    ]
    return [str(node.args[0].value) for node in calls if isinstance(node.args[0], ast.Constant)]


def test_labels_are_prefix_free_and_used_for_one_purpose_each() -> None:
    """No label begins another, and none is made twice: then no signed statement reads as another."""
    found = labels()
    assert len(found) > 10
    for number, one in enumerate(found):
        assert one.startswith("mixmint/")
        for other in found[:number] + found[number + 1 :]:
            assert not other.startswith(one), (one, other)
