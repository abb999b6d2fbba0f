"""A journal for each test."""

from pathlib import Path

import pytest

from tests.unit.bank.board.writing.journals import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)
