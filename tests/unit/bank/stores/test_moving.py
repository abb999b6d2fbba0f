"""Books move whole, once, and can't be run in two places."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from bank.formats.order import tau_of
from bank.stores import moving
from bank.stores.moving import move_to_postgres
from bank.stores.sqlite import open_books
from bank.stores.sqlite.keeping import MOVED, MOVING, version_of
from mixmint.errors import FatalError, PendingError, UserError
from tests.postgres import Server
from tests.unit.bank.desk import Desk, fresh
from tests.unit.bank.engines import Postgres, Sqlite


@pytest.fixture
def postgres_engine(postgres: Server, tmp_path: Path) -> Iterator[Postgres]:
    made = Postgres(postgres, tmp_path)
    made.sql("DROP SCHEMA IF EXISTS mixmint_bank CASCADE")
    yield made
    made.release()


@pytest.fixture
def busy(sqlite_desk: Desk) -> Desk:
    """Books with a row in almost every table."""
    desk = sqlite_desk
    account = desk.account(100)
    desk.ask(desk.order([desk.coin(3)], [fresh(2)[1], fresh(2)[1]]))
    desk.ask(desk.withdraw(account, [fresh(4)[1]]))
    desk.ask(desk.order([desk.coin(2)], [fresh(2)[1]], tau=tau_of(os.urandom(32))))
    desk.close()
    return desk


async def move(desk: Desk, to: Postgres) -> int:
    """Rows moved."""
    tables = await move_to_postgres(desk.path, to.place, desk.bank, lambda _: None)
    return sum(table.rows for table in tables)


async def test_every_row_moves_and_the_bank_goes_on(busy: Desk, postgres_engine: Postgres) -> None:
    """Rows are the same one by one; the same order, asked of the other engine, has the same answer."""
    desk = busy
    again = Desk(desk.path.parent / "nowhere", engine=Sqlite(desk.path))
    order = desk.order([again.coin(3)], [fresh(3)[1]])
    answer = again.ask_bytes(bytes([1]) + order.encode())
    again.close()
    before = desk.engine.tables()
    assert await move(desk, postgres_engine) == sum(len(rows) for rows in before.values())
    after = postgres_engine.tables()
    for table, rows in before.items():
        assert sorted(after[table], key=repr) == sorted(rows, key=repr), table
    postgres_engine.is_made = True
    moved = Desk(desk.path.parent, engine=postgres_engine)
    assert moved.ask_bytes(bytes([1]) + order.encode()) == answer
    moved.close()


async def test_the_old_file_is_kept_and_can_not_be_run(busy: Desk, postgres_engine: Postgres) -> None:
    """Its coins were spent elsewhere since."""
    before = busy.engine.tables()
    await move(busy, postgres_engine)
    with pytest.raises(UserError, match='store = "postgres"'):
        open_books(busy.path, busy.bank)
    assert busy.engine.tables() == before


async def test_moving_again_changes_nothing(busy: Desk, postgres_engine: Postgres) -> None:
    """Also when the moved books have gone on."""
    await move(busy, postgres_engine)
    postgres_engine.sql("UPDATE state SET next_group = next_group + 1")
    there = postgres_engine.tables()
    assert await move(busy, postgres_engine) == 0
    assert postgres_engine.tables() == there


async def test_a_running_bank_is_not_moved(busy: Desk, postgres_engine: Postgres) -> None:
    """Neither while the file is open, nor while a bank runs on the database."""
    connection = open_books(busy.path, busy.bank)
    with pytest.raises(UserError, match="in use"):
        await move(busy, postgres_engine)
    connection.close()
    assert version_of(busy.path) < MOVING
    assert await move(busy, postgres_engine) > 0


async def test_other_books_there_are_not_overwritten(
    busy: Desk, postgres_engine: Postgres, tmp_path: Path
) -> None:
    """A copy of the file, moved a second time after the first has gone on, would undo what came since."""
    shutil.copy(busy.path, tmp_path / "copy.db")
    await move(busy, postgres_engine)
    copy = Desk(tmp_path / "x", engine=Sqlite(tmp_path / "copy.db"))
    copy.close()
    with pytest.raises(UserError, match="nothing is overwritten"):
        await move(copy, postgres_engine)


async def test_a_row_that_changed_on_the_way_stops_the_move(
    busy: Desk, postgres_engine: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is committed, and the file goes on as before."""
    copy = asyncpg.Connection.copy_records_to_table

    async def lossy(self: asyncpg.Connection, table: str, **options: object) -> object:
        done = await copy(self, table, **options)
        if table == "spent":
            await self.execute("UPDATE spent SET epoch = epoch + 1")
        return done

    monkeypatch.setattr(asyncpg.Connection, "copy_records_to_table", lossy)
    with pytest.raises(FatalError, match="spent differs"):
        await move(busy, postgres_engine)
    open_books(busy.path, busy.bank).close()
    assert postgres_engine.sql("SELECT to_regclass('mixmint_bank.spent')") == [(None,)]


@pytest.mark.parametrize("is_persisted", [False, True])
async def test_a_commit_without_an_answer_is_found_out_by_moving_again(
    busy: Desk, postgres_engine: Postgres, monkeypatch: pytest.MonkeyPatch, *, is_persisted: bool
) -> None:
    """Failed, or failed but persisted: until it is known, the file can't be run."""
    commit = asyncpg.transaction.Transaction.commit

    async def broken(self: asyncpg.transaction.Transaction) -> None:
        if is_persisted:
            await commit(self)
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    with monkeypatch.context() as breaking:
        breaking.setattr(asyncpg.transaction.Transaction, "commit", broken)
        with pytest.raises(PendingError):
            await move(busy, postgres_engine)
    assert MOVING < version_of(busy.path) < MOVED
    with pytest.raises(UserError, match="interrupted"):
        open_books(busy.path, busy.bank)
    assert (await move(busy, postgres_engine) == 0) == is_persisted
    assert version_of(busy.path) > MOVED
    assert len(postgres_engine.tables()["account"]) == 1


def test_the_digest_tells_rows_and_columns_apart() -> None:
    """What is in one column isn't mistaken for what is in the next, nor a number for its digits."""
    digests = []
    for rows in ([(b"ab", b"c")], [(b"a", b"bc")], [(b"ab",), (b"c",)], [(1, None)], [(b"1", b"")], []):
        digest = moving.Digest()
        for row in rows:
            digest.add(row)
        digests.append(digest.value)
    assert len(set(digests)) == len(digests)
