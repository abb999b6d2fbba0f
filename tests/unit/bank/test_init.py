"""A new bank's folder and its books, in a file or in PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bank.commands import bank
from bank.formats.coin import bank_id
from bank.settings import BankSettings
from bank.stores.opening import open_for_command
from mixmint.errors import UserError
from mixmint.keys import SigningKey, read_secret
from mixmint.settings import load
from tests.postgres import Server
from tests.unit.bank.engines import Postgres


@pytest.fixture
def place(postgres: Server, tmp_path: Path) -> Iterator[Postgres]:
    """An empty database."""
    made = Postgres(postgres, tmp_path)
    made.sql("DROP SCHEMA IF EXISTS mixmint_bank CASCADE")
    yield made
    made.release()


def init(folder: Path, *more: str) -> None:
    ports = ("--port", "7201", "--operations-port", "9201")
    words = ["init", str(folder), "--gateway", "g1", "--host", "127.0.0.1", *ports, *more]
    result = CliRunner().invoke(bank, words, standalone_mode=False)
    if result.exception:
        raise result.exception


def next_group(folder: Path) -> int:
    """Of the books that the folder's settings name, which must be its own."""
    settings = load(folder / "bank.toml", BankSettings)
    store = open_for_command(settings, bank_id(SigningKey(read_secret(settings.key_path, 32)).public))
    found = store.run(lambda book: book.state().next_group)
    store.close()
    return found


def test_books_are_made_in_the_folder(tmp_path: Path) -> None:
    """Empty; no key is ever overwritten."""
    init(tmp_path / "bank")
    assert next_group(tmp_path / "bank") == 1
    assert (tmp_path / "bank/bank.db").exists()
    with pytest.raises(UserError, match="isn't empty"):
        init(tmp_path / "bank")


def test_books_are_made_in_postgresql(place: Postgres, tmp_path: Path) -> None:
    """In an empty database; where there are books already nothing is made, no folder either."""
    init(tmp_path / "bank", "--postgres", place.address)
    assert next_group(tmp_path / "bank") == 1
    assert not (tmp_path / "bank/bank.db").exists()
    with pytest.raises(UserError, match="has books of a bank already"):
        init(tmp_path / "other", "--postgres", place.address)
    assert not (tmp_path / "other").exists()
