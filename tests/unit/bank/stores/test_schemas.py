"""Tables change with a copy of the books beside, on both engines; newer and foreign books are refused."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from bank.stores.postgres import opening
from bank.stores.postgres.schema import SCHEMA as POSTGRES_SCHEMA
from bank.stores.sqlite import open_books, schema
from bank.stores.sqlite.keeping import version_of
from bank.stores.sqlite.schema import SCHEMA
from mixmint.errors import FatalError, UserError
from tests.postgres import Server
from tests.unit.bank.desk import Desk, fresh
from tests.unit.bank.engines import Engine, Postgres, Sqlite

NEXT = "CREATE TABLE novelty (one integer PRIMARY KEY); INSERT INTO novelty VALUES (7);"
BROKEN = "CREATE TABLE novelty (one integer PRIMARY KEY); INSERT INTO nowhere VALUES (7);"


@pytest.fixture
def postgres_engine(postgres: Server, tmp_path: Path) -> Iterator[Postgres]:
    """Its books go when the test is over: their tables are other than the next one's."""
    made = Postgres(postgres, tmp_path)
    yield made
    copies = [f"mixmint_bank_before_{number}" for number in range(1, len(POSTGRES_SCHEMA) + 1)]
    for name in ("mixmint_bank", *copies):
        made.sql(f"DROP SCHEMA IF EXISTS {name} CASCADE")
    made.release()


def test_sqlite_books_are_copied_before_their_tables_change(
    sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is whole, nobody else can read it, and a program of the old schema runs it."""
    desk = sqlite_desk
    desk.ask(desk.order([desk.coin(3)], [fresh(3)[1]]))
    before = desk.engine.tables()
    desk.close()
    copy = desk.path.with_name(f"bank.db.schema-{len(SCHEMA)}")
    with monkeypatch.context() as newer:
        newer.setattr(schema, "SCHEMA", (*SCHEMA, NEXT))
        open_books(desk.path, desk.bank).close()
        assert copy.stat().st_mode & 0o777 == 0o600
        open_books(desk.path, desk.bank).close()
    assert sorted(path.name for path in desk.path.parent.iterdir()) == ["bank.db", copy.name]
    assert desk.engine.sql("SELECT one FROM novelty") == [(7,)]
    copy.rename(desk.path)
    desk.reopen()
    assert desk.engine.tables() == before


def before_keeping(scripts: Sequence[str]) -> Sequence[str]:
    """Those of the version in which a payer chose how long a lapsed hold stays on file."""
    return scripts[: next(place for place, script in enumerate(scripts) if "keep_round" in script)]


def hold_forever(engine: Sqlite | Postgres) -> None:
    """Two of them, with a last round that never comes."""
    for seal, to_round in ((b"1" * 32, 17), (b"2" * 32, 107)):
        engine.sql(
            "INSERT INTO held_order (seal, from_round, to_round, last_round, key, signature)"
            " VALUES (?, 8, ?, ?, ?, ?)",
            *(seal, to_round, 2**32 - 1, bytes(32), bytes(64)),
        )


def kept(engine: Sqlite | Postgres) -> list[tuple[int, int]]:
    return sorted(engine.sql("SELECT to_round, keep_round FROM held_order"))


def test_holds_of_an_earlier_version_are_kept_no_longer_in_sqlite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long again as they lasted, or a little longer."""
    engine = Sqlite(tmp_path / "bank.db")
    with monkeypatch.context() as older:
        older.setattr(schema, "SCHEMA", before_keeping(SCHEMA))
        engine.command_store(bytes(32)).close()
    hold_forever(engine)
    engine.command_store(bytes(32)).close()
    assert kept(engine) == [(17, 33), (107, 207)]


def test_holds_of_an_earlier_version_are_kept_no_longer_in_postgres(
    postgres_engine: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in SQLite."""
    postgres_engine.sql("DROP SCHEMA IF EXISTS mixmint_bank CASCADE")
    with monkeypatch.context() as older:
        older.setattr(opening, "SCHEMA", before_keeping(POSTGRES_SCHEMA))
        postgres_engine.command_store(bytes(32)).close()
    hold_forever(postgres_engine)
    postgres_engine.command_store(bytes(32)).close()
    assert kept(postgres_engine) == [(17, 33), (107, 207)]


def test_a_change_that_fails_leaves_the_books_as_they_were(
    sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction; the copy is there all the same."""
    desk = sqlite_desk
    before = desk.engine.tables()
    desk.close()
    with monkeypatch.context() as newer:
        newer.setattr(schema, "SCHEMA", (*SCHEMA, BROKEN))
        with pytest.raises(UserError, match="nowhere"):
            open_books(desk.path, desk.bank)
    assert version_of(desk.path) == len(SCHEMA)
    assert desk.engine.tables() == before


def test_without_room_for_the_copy_nothing_is_changed(
    sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was written of it is gone."""
    desk = sqlite_desk
    desk.close()

    def no_room(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as newer:
        newer.setattr(schema, "SCHEMA", (*SCHEMA, NEXT))
        newer.setattr("bank.stores.sqlite.keeping.sync", no_room)
        with pytest.raises(UserError, match="No space left"):
            open_books(desk.path, desk.bank)
    assert version_of(desk.path) == len(SCHEMA)
    assert not list(desk.path.parent.glob("*.schema-*"))


def test_new_books_are_not_copied(tmp_path: Path) -> None:
    """There is nothing to keep."""
    open_books(tmp_path / "bank.db", bytes(32)).close()
    assert [path.name for path in tmp_path.iterdir()] == ["bank.db"]


def test_postgres_books_are_copied_before_their_tables_change(
    postgres_engine: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same transaction as the change, into a schema beside."""
    desk = Desk(tmp_path, engine=postgres_engine)
    desk.ask(desk.order([desk.coin(3)], [fresh(3)[1]]))
    before = postgres_engine.tables()
    desk.close()
    with monkeypatch.context() as newer:
        newer.setattr(opening, "SCHEMA", (*POSTGRES_SCHEMA, BROKEN))
        with pytest.raises(FatalError, match="nowhere"):
            postgres_engine.command_store(desk.bank)
        assert postgres_engine.tables() == before
        newer.setattr(opening, "SCHEMA", (*POSTGRES_SCHEMA, NEXT))
        for _ in range(2):
            postgres_engine.command_store(desk.bank).close()
    assert postgres_engine.sql("SELECT one FROM novelty") == [(7,)]
    copy = f"mixmint_bank_before_{len(POSTGRES_SCHEMA)}"
    for table, rows in before.items():
        assert sorted(postgres_engine.sql(f"SELECT * FROM {copy}.{table}")) == sorted(rows)  # noqa: S608


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_newer_and_foreign_books_are_refused(engine: Engine, tmp_path: Path) -> None:
    """Nobody guesses what a newer version meant, or signs with another's books."""
    desk = Desk(tmp_path, engine=engine)
    with pytest.raises(UserError, match="belongs to bank"):
        engine.command_store(bytes(32))
    engine.sql("UPDATE version SET number = number + 1")
    with pytest.raises(FatalError, match="newer version"):
        engine.command_store(desk.bank)
    engine.sql("UPDATE version SET number = number - 1")
    desk.close()


def test_sqlite_books_of_a_newer_version_are_refused(sqlite_desk: Desk) -> None:
    """As above."""
    with closing(sqlite3.connect(sqlite_desk.path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(SCHEMA) + 1}")
    with pytest.raises(FatalError, match="newer version"):
        open_books(sqlite_desk.path, sqlite_desk.bank)
