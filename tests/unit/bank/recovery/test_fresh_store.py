"""Books that are made beside and put in place at the end: nothing of an attempt that failed stays."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bank.settings import BankSettings
from bank.stores.opening import fresh_store, make_books, open_for_command
from mixmint.errors import UserError
from tests.postgres import Server
from tests.unit.bank.engines import Postgres

BANK = bytes(32)


@pytest.fixture
def settings(tmp_path: Path) -> BankSettings:
    return BankSettings(network=tmp_path / "n", port=1, operations_port=1, database_path=tmp_path / "bank.db")


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_they_are_in_place_when_all_is_done(settings: BankSettings, tmp_path: Path) -> None:
    """One file, with what was written; a second attempt is refused."""
    async with fresh_store(settings, BANK) as store:
        store.run(lambda book: book.publish([b"x"]))
        assert not settings.database_path.exists()
    assert names_in(tmp_path) == ["bank.db"]
    found = open_for_command(settings, BANK)
    assert found.run(lambda book: book.state().next_group) == 2
    found.close()
    with pytest.raises(UserError, match="there are books"):
        async with fresh_store(settings, BANK):
            pass


async def test_a_failed_attempt_leaves_nothing(settings: BankSettings, tmp_path: Path) -> None:
    """Nor does one that was killed, once the next one begins."""

    async def fail() -> None:
        async with fresh_store(settings, BANK) as store:
            store.run(lambda book: book.publish([b"x"]))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert names_in(tmp_path) == []
    (tmp_path / "bank.db.new").write_bytes(b"torn")
    async with fresh_store(settings, BANK) as store:
        assert store.run(lambda book: book.state().next_group) == 1


async def test_an_old_banks_log_beside_is_not_put_into_new_books(
    settings: BankSettings, tmp_path: Path
) -> None:
    """SQLite would believe it."""
    (tmp_path / "bank.db-wal").write_bytes(b"old")
    with pytest.raises(UserError, match="move it"):
        async with fresh_store(settings, BANK):
            pass


@pytest.fixture
def place(postgres: Server, tmp_path: Path) -> Iterator[Postgres]:
    """An empty database."""
    made = Postgres(postgres, tmp_path)
    made.sql("DROP SCHEMA IF EXISTS mixmint_bank CASCADE")
    yield made
    made.release()


@pytest.fixture
def far(tmp_path: Path, place: Postgres) -> BankSettings:
    """A bank whose books shall be in PostgreSQL."""
    return BankSettings(
        network=tmp_path / "n",
        port=1,
        operations_port=1,
        store="postgres",
        postgres_dsn=place.address,
        database_path=tmp_path / "bank.db",
    )


def looked_at(place: Postgres, bank: bytes) -> int:
    """The next group of the books there."""
    ((owner, group),) = place.sql("SELECT bank, next_group FROM mixmint_bank.state")
    assert bytes(owner) == bank
    return int(group)


async def test_they_are_in_postgresql_when_all_is_done(
    far: BankSettings, place: Postgres, tmp_path: Path
) -> None:
    """Compared and committed there, and no file is left; a second attempt is refused before it begins."""
    async with fresh_store(far, BANK) as store:
        store.run(lambda book: book.publish([b"x"]))
    assert await asyncio.to_thread(looked_at, place, BANK) == 2
    assert names_in(tmp_path) == []
    with pytest.raises(UserError, match="has books of a bank"):
        async with fresh_store(far, BANK):
            pytest.fail("it began")


async def test_a_failed_attempt_leaves_nothing_in_postgresql(
    far: BankSettings, place: Postgres, tmp_path: Path
) -> None:
    """So it can be made again."""
    with pytest.raises(RuntimeError):
        async with fresh_store(far, BANK):
            raise RuntimeError
    assert names_in(tmp_path) == []
    await asyncio.to_thread(make_books, far, BANK)
    assert await asyncio.to_thread(looked_at, place, BANK) == 1
    with pytest.raises(UserError, match="has books of a bank"):
        await asyncio.to_thread(make_books, far, BANK)
