"""Books that are made beside and put in place at the end: nothing of an attempt that failed stays."""

from pathlib import Path

import pytest

from bank.settings import BankSettings
from bank.stores.opening import fresh_store, open_for_command
from mixmint.errors import UserError

BANK = bytes(32)


@pytest.fixture
def settings(tmp_path: Path) -> BankSettings:
    return BankSettings(network=tmp_path / "n", port=1, operations_port=1, database_path=tmp_path / "bank.db")


def test_they_are_in_place_when_all_is_done(settings: BankSettings, tmp_path: Path) -> None:
    """One file, with what was written; a second attempt is refused."""
    with fresh_store(settings, BANK) as store:
        store.run(lambda book: book.publish([b"x"]))
        assert not settings.database_path.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["bank.db"]
    found = open_for_command(settings, BANK)
    assert found.run(lambda book: book.state().next_group) == 2
    found.close()
    with pytest.raises(UserError, match="there are books"), fresh_store(settings, BANK):
        pass


def test_a_failed_attempt_leaves_nothing(settings: BankSettings, tmp_path: Path) -> None:
    """Nor does one that was killed, once the next one begins."""

    def fail() -> None:
        with fresh_store(settings, BANK) as store:
            store.run(lambda book: book.publish([b"x"]))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "bank.db.new").write_bytes(b"torn")
    with fresh_store(settings, BANK) as store:
        assert store.run(lambda book: book.state().next_group) == 1


def test_an_old_banks_log_beside_is_not_put_into_new_books(settings: BankSettings, tmp_path: Path) -> None:
    """SQLite would believe it."""
    (tmp_path / "bank.db-wal").write_bytes(b"old")
    with pytest.raises(UserError, match="move it"), fresh_store(settings, BANK):
        pass
