"""The log of a bank that is lost."""

from pathlib import Path

import pytest

from bank.formats.entry import AccountEntry, make_key_entry
from mixmint.keys import SigningKey
from tests.unit.bank.recovery.lost import BANK, HOLDER, OLD, Log


@pytest.fixture
def log(tmp_path: Path) -> Log:
    maker = Log(tmp_path / "log", SigningKey(b"k" * 32))
    maker.close([make_key_entry(OLD, BANK).encode(), AccountEntry(HOLDER).encode()])
    return maker
