"""PostgreSQL goes away at the worst moments: nothing is lost, nothing happens twice, nobody guesses."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bank.formats.request import encode_request
from bank.ledger.book import Value
from bank.outbox import BoardClock
from bank.service import Bank
from bank.stores.interface import Books
from bank.stores.postgres import Place, PostgresStore, opening
from bank.stores.postgres import connection as connections
from bank.stores.postgres import store as stores
from mixmint.errors import FatalError, Unavailable, UserError
from tests.postgres import Server, running
from tests.unit.bank.desk import Desk, fresh
from tests.unit.bank.engines import Postgres
from tests.unit.bank.stores.proxy import Proxy

COIN = b"c" * 32


@pytest.fixture
def engine(postgres: Server, tmp_path: Path) -> Iterator[Postgres]:
    made = Postgres(postgres, tmp_path)
    yield made
    made.release()


@pytest.fixture
async def proxy(engine: Postgres) -> AsyncIterator[Proxy]:
    async with Proxy(engine.server.folder) as made:
        yield made


@pytest.fixture
async def store(desk: Desk, engine: Postgres, proxy: Proxy) -> AsyncIterator[PostgresStore]:
    made = await PostgresStore.open(through(engine, proxy), desk.bank)
    yield made
    await made.close()


def through(engine: Postgres, proxy: Proxy) -> Place:
    return Place(engine.address.replace(str(engine.server.folder), str(proxy.folder)))


class Certify:
    """An operation that counts how often it was run to its end."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, book: Books) -> bool:
        done = book.certify(COIN, Value(1, 1), bytes(32), 0)
        book.publish([b"entry"])
        self.runs += 1
        return done


@pytest.mark.parametrize("before", [True, False], ids=["failed", "failed but persisted"])
async def test_a_commit_without_an_answer_is_looked_up(
    desk: Desk, store: PostgresStore, proxy: Proxy, *, before: bool
) -> None:
    """It happened once, whether the first commit did or not; and the caller learns that it did."""
    operation = Certify()
    proxy.word, proxy.before = b"COMMIT", before
    assert await store.run(operation)
    assert (operation.runs, proxy.broken) == (2 if before else 1, 1)
    assert (desk.count("certified"), desk.count("outbox")) == (1, 1)
    assert not await store.run(operation)


@pytest.mark.parametrize("word", [b"BEGIN", b"FOR UPDATE", b"FROM certified", b"spending AS"])
@pytest.mark.parametrize("before", [True, False])
async def test_a_connection_that_breaks_earlier_is_made_anew(
    desk: Desk, store: PostgresStore, proxy: Proxy, word: bytes, *, before: bool
) -> None:
    """The server rolls back; the operation is run again, on fresh reads."""
    operation = Certify()
    proxy.word, proxy.before = word, before
    assert await store.run(operation)
    assert proxy.broken == 1
    assert (desk.count("certified"), desk.count("outbox")) == (1, 1)


async def test_while_the_server_is_away_the_outcome_is_unknown(
    desk: Desk, store: PostgresStore, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller isn't told "failed", and asking again finds what became of it."""
    monkeypatch.setattr(stores, "PATIENCE_S", 0.2)
    operation = Certify()
    proxy.word, proxy.before, proxy.is_down = b"COMMIT", False, True
    with pytest.raises(Unavailable):
        await store.run(operation)
    with pytest.raises(Unavailable):
        await store.read(lambda view: view.accounts())
    # The next in line is told at once.
    monkeypatch.setattr(stores, "PATIENCE_S", 1000)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(store.run(operation), 60)
    proxy.is_down = False
    assert not await store.run(operation)
    assert await store.read(lambda view: view.accounts()) == []
    assert desk.count("certified") == 1


async def test_a_server_that_goes_away_again_and_again_is_given_up(
    desk: Desk, engine: Postgres, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operation whose every try ends the connection doesn't hold up the line for ever."""
    monkeypatch.setattr(stores, "PATIENCE_S", 0.2)

    def operation(book: Books) -> None:
        engine.sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database() AND state = 'idle in transaction'"
        )
        book.certify(COIN, Value(1, 1), bytes(32), 0)

    with pytest.raises(Unavailable, match="again and again"):
        await store.run(operation)
    assert await store.run(Certify())


async def test_a_reading_whose_connection_breaks_is_made_once_more(
    store: PostgresStore, proxy: Proxy
) -> None:
    """It changes nothing, so it may."""
    await store.read(lambda view: view.accounts())
    proxy.word = b"REPEATABLE READ"
    assert await store.read(lambda view: view.accounts()) == []
    assert proxy.broken == 1


async def test_a_second_daemon_says_so(
    desk: Desk, engine: Postgres, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two would sign against each other. When the first is gone, the second may."""
    monkeypatch.setattr(opening, "LOCK_S", 0.1)
    with pytest.raises(UserError, match="another process runs this bank"):
        await PostgresStore.open(engine.place, desk.bank)
    await store.close()
    await (await PostgresStore.open(engine.place, desk.bank)).close()


async def test_while_a_second_daemon_has_the_lock_nothing_is_written(
    desk: Desk, engine: Postgres, store: PostgresStore, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection broke, and somebody else was quicker."""
    monkeypatch.setattr(opening, "LOCK_S", 0.1)
    proxy.is_down = True
    proxy.drop_all()
    other = await PostgresStore.open(engine.place, desk.bank)
    proxy.is_down = False
    with pytest.raises(UserError, match="another process runs this bank"):
        await store.run(Certify())
    await other.close()
    assert await store.run(Certify())


async def test_who_writes_beside_the_lock_is_seen_by_the_next_run(desk: Desk, store: PostgresStore) -> None:
    """Between reading and writing the row came: a primary key stops it, and the rules decide anew."""
    runs = 0

    def operation(book: Books) -> bool:
        nonlocal runs
        done = book.certify(COIN, Value(1, 1), bytes(32), 0)
        runs += 1
        if runs == 1:
            desk.engine.sql("INSERT INTO certified VALUES (?, 1, 1, 0)", COIN)
        return done

    assert not await store.run(operation)
    assert desk.count("certified") == 1


async def test_books_that_contradict_themselves_stop_the_bank(desk: Desk, store: PostgresStore) -> None:
    """An account whose statement is there already, again and again: nobody guesses."""
    account = desk.account(5)
    desk.engine.sql("UPDATE account SET sequence = 1")

    def operation(book: Books) -> None:
        from bank.ledger.accounts import credit

        credit(desk.bank, account.public, 1, book)

    with pytest.raises(FatalError, match="contradict"):
        await store.run(operation)


async def test_a_writer_that_stands_still_holds_nobody_up_for_ever(
    desk: Desk, engine: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody left a transaction open in another window."""
    monkeypatch.setitem(connections._SETTINGS, "lock_timeout", "100ms")
    store = await PostgresStore.open(engine.place, desk.bank)
    other = await connections.connect(engine.place)
    await other.execute("BEGIN; SELECT * FROM state FOR UPDATE")
    with pytest.raises(UserError, match="others hold the bank's store"):
        await store.run(Certify())
    await other.execute("ROLLBACK")
    assert await store.run(Certify())
    await other.close()
    await store.close()


async def test_a_caller_that_is_cancelled_leaves_the_store_usable(desk: Desk, store: PostgresStore) -> None:
    """What was begun ends, and the next transaction begins at its beginning."""
    running = asyncio.create_task(store.run(Certify()))
    await asyncio.sleep(0)
    running.cancel()
    assert not await store.run(Certify())
    assert running.cancelled()
    assert (desk.count("certified"), desk.count("outbox")) == (1, 2)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["in order", "crash"])
async def test_a_server_that_restarts_under_load_loses_no_order(tmp_path: Path, how: signal.Signals) -> None:
    """Orders go on being asked for, as wallets do; in the end each was answered, and happened once."""
    with running() as server:
        engine = Postgres(server, tmp_path)
        desk = Desk(tmp_path, engine=engine)
        clock = BoardClock(desk.terms, silence_s=1e9, now_s=lambda: 3500.0)
        clock.heard(desk.closed)
        data = [encode_request(desk.order([desk.coin(3)], [fresh(3)[1]])) for _ in range(120)]
        desk.close()
        store = engine.store(desk.bank)
        bank = Bank(desk.signer, store, clock)
        answers: dict[bytes, bytes] = {}
        answered = asyncio.Event()

        async def customer(mine: list[bytes]) -> None:
            for each in mine:
                while each not in answers:
                    try:
                        answers[each] = await bank.ask(each)
                        answered.set()
                    except UserError:
                        await asyncio.sleep(0.01)

        customers = [asyncio.create_task(customer(data[number::6])) for number in range(6)]
        async with asyncio.timeout(60):
            while len(answers) < 30:
                await answered.wait()
                answered.clear()
            await asyncio.to_thread(server.stop, how)
            await asyncio.to_thread(server.start)
            await asyncio.gather(*customers)
        again = [await bank.ask(each) for each in data]
        await bank.close()
        await store.close()
        assert again == [answers[each] for each in data]
        assert desk.count("spent") == desk.count("certified") / 2 == 120
        assert [len(group) for group in desk.groups()] == [2] * 120
