"""One place for each test, a copy of one that is made once: killed at the end, whatever happened."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.bank.place import Place, make_place


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Nothing ever runs there."""
    return make_place(tmp_path_factory.mktemp("template") / "place")


@pytest.fixture
def place(template: Place, tmp_path: Path) -> Iterator[Place]:
    made = template.copied(tmp_path / "place")
    try:
        yield made
    finally:
        made.network.kill()
