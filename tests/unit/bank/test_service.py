"""The bank at work: batches, many at once, a full disk, no board."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bank.board.feed import Batch, FeedReceipt
from bank.formats.answer import Answer, Certificates, Hold, Spent
from bank.formats.order import tau_of
from bank.formats.request import MOST_REQUEST_BYTES, encode_request
from bank.outbox import BoardClock, record
from bank.service import BATCH_REQUESTS, MOST_WAITING, Bank
from bank.stores.postgres.book import PostgresBook
from bank.stores.sqlite import SqliteBook, SqliteStore
from mixmint.errors import FatalError, Unavailable, UserError
from replyblocks.formats import ANSWER_BODY_BYTES, REQUEST_BODY_BYTES
from replyblocks.service import Request
from tests.unit.bank.desk import Desk, fresh


@pytest.fixture
async def bank(desk: Desk) -> AsyncIterator[Bank]:
    """A bank on a second connection to the desk's books."""
    clock = BoardClock(desk.terms, silence_s=60, now_s=lambda: 3500.0)
    clock.heard(desk.closed)
    store = desk.engine.store(desk.bank)
    made = Bank(desk.signer, store, clock)
    made.clock, made.store = clock, store  # type: ignore[attr-defined]
    yield made
    await made.close()
    await store.close()


async def test_a_batch_is_answered_in_order(desk: Desk, bank: Bank) -> None:
    """One answer for each request, the malformed ones among them too."""
    orders = [desk.order([desk.coin(3)], [fresh(3)[1]]) for _ in range(100)]
    requests = [Request(bytes(16), encode_request(order)) for order in orders]
    requests.insert(50, Request(bytes(16), b"garbage"))
    answers = list(await bank.handle(requests))
    assert Answer.decode(answers.pop(50)).signature
    for order, answer in zip(orders, answers, strict=True):
        assert isinstance(desk.read(order, answer).body, Certificates)


async def test_of_50_simultaneous_orders_for_one_coin_exactly_one_wins(desk: Desk, bank: Bank) -> None:
    """In several batches at once and one by one; every loser gets a proof that verifies."""
    coin = desk.coin(3)
    orders = [desk.order([coin], [fresh(3)[1]]) for _ in range(50)]
    data = [encode_request(order) for order in orders]
    batches = [bank.answer(data[start : start + 10]) for start in range(0, 30, 10)]
    singles = [bank.ask(each) for each in data[30:]]
    answered = await asyncio.gather(*batches, asyncio.gather(*singles))
    answers = [answer for batch in answered for answer in batch]
    bodies = [desk.read(order, answer).body for order, answer in zip(orders, answers, strict=True)]
    winners = [index for index, body in enumerate(bodies) if isinstance(body, Certificates)]
    assert len(winners) == 1
    for body in bodies:
        if not isinstance(body, Certificates):
            assert type(body) is Spent
            assert body.seal == orders[winners[0]].seal
            assert body.proves()
    assert desk.count("spent") == 1


async def test_requests_one_by_one_share_commits(desk: Desk, bank: Bank) -> None:
    """200 at once make a few batches of at most 64, not 200 transactions."""
    orders = [encode_request(desk.order([desk.coin(3)], [fresh(3)[1]])) for _ in range(200)]
    await asyncio.gather(*(bank.ask(order) for order in orders))
    batches = bank.batch_requests._sum.get()
    assert batches == 200
    assert sum(bucket.get() for bucket in bank.batch_requests._buckets) <= 200 // BATCH_REQUESTS + 2


async def test_without_a_board_nothing_is_answered_and_nothing_happens(desk: Desk, bank: Bank) -> None:
    """Whoever asks must ask again."""
    bank.clock.closed = None  # type: ignore[attr-defined]
    order = encode_request(desk.order([desk.coin(3)], [fresh(3)[1]]))
    with pytest.raises(Unavailable):
        await bank.handle([Request(bytes(16), order)])
    with pytest.raises(Unavailable):
        await bank.ask(order)
    assert desk.count("spent") == 0
    assert bank.unanswered._value.get() == 2


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_a_full_disk_stops_answers_and_leaves_nothing_half_done(desk: Desk, bank: Bank) -> None:
    """With space again the same requests are answered."""
    data = [encode_request(desk.order([desk.coin(3)], [fresh(3)[1]])) for _ in range(64)]
    store: SqliteStore = bank.store  # type: ignore[attr-defined]
    await store.run(lambda book: book.connection.execute("PRAGMA max_page_count = 1").fetchone())
    with pytest.raises(UserError, match="disk full"):
        await bank.answer(data)
    assert desk.count("spent") == 0
    assert desk.groups() == []
    await store.run(lambda book: book.connection.execute("PRAGMA max_page_count = 1000000").fetchone())
    answers = await bank.answer(data)
    assert desk.count("spent") == 64
    assert len(desk.groups()) == 64
    assert await bank.answer(data) == answers


async def test_a_flood_is_turned_away(desk: Desk, bank: Bank) -> None:
    """Bounded memory: what can't wait is refused at once, unsigned."""
    data = encode_request(desk.order([desk.coin(3)], [fresh(3)[1]]))
    results = await asyncio.gather(
        *(bank.ask(data) for _ in range(MOST_WAITING + 10)), return_exceptions=True
    )
    assert sum(isinstance(each, Unavailable) for each in results) == 10
    assert len({each for each in results if isinstance(each, bytes)}) == 1


async def test_the_operator_books_while_the_bank_is_busy(desk: Desk, bank: Bank) -> None:
    """A second writer on the same books, without lock errors on either side."""
    account = desk.account(0)
    orders = [encode_request(desk.order([desk.coin(3)], [fresh(3)[1]])) for _ in range(640)]

    def credit_often() -> None:
        from bank.ledger.accounts import credit

        other = desk.engine.command_store(desk.bank)
        for _ in range(20):
            other.run(lambda book: credit(desk.bank, account.public, 5, book))
        other.close()

    booking = asyncio.create_task(asyncio.to_thread(credit_often))
    for start in range(0, 640, 64):
        await bank.answer(orders[start : start + 64])
    await booking
    assert desk.newest(account).balance == 100
    assert desk.count("spent") == 640


def size_of(path: Path) -> int:
    return path.stat().st_size


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_checkpoints_keep_the_log_short(
    desk: Desk, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log begins anew; it doesn't grow with the number of orders."""
    monkeypatch.setattr("bank.stores.sqlite.store.CHECKPOINT_COMMITS", 4)
    wal = Path(f"{desk.path}-wal")
    sizes = []
    for _ in range(12):
        orders = [encode_request(desk.order([desk.coin(3)], [fresh(3)[1]])) for _ in range(16)]
        for order in orders:
            await bank.answer([order])
        await bank.store.checkpoint()  # type: ignore[attr-defined]
        sizes.append(size_of(wal))
    assert sizes[-1] <= 2 * sizes[0]


def test_the_largest_request_and_answer_fit_one_packet(desk: Desk) -> None:
    """8 inputs, 16 outputs, tau; and the largest withdrawal, deposit and statements."""
    account = desk.account(100)
    largest = [
        desk.order([desk.coin(5) for _ in range(8)], [fresh(4)[1] for _ in range(16)], tau=b"t" * 32),
        desk.order([desk.coin(5) for _ in range(8)], [fresh(4)[1] for _ in range(16)]),
        desk.withdraw(account, [fresh(0)[1] for _ in range(16)]),
        desk.deposit(account, [desk.coin(0) for _ in range(8)]),
    ]
    for request in largest:
        data = encode_request(request)
        assert len(data) <= min(MOST_REQUEST_BYTES, REQUEST_BODY_BYTES)
        assert len(desk.ask_bytes(data)) <= ANSWER_BODY_BYTES


async def test_books_in_doubt_stop_the_bank(desk: Desk, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that contradicts itself: nothing more is answered, and whoever runs the bank learns why."""
    data = encode_request(desk.order([desk.coin(3)], [fresh(3)[1]]))
    with monkeypatch.context() as broken:
        for book in (SqliteBook, PostgresBook):
            broken.setattr(book, "spend", lambda *_: False)
        with pytest.raises(FatalError, match="in doubt"):
            await bank.ask(data)
    with pytest.raises(FatalError, match="stopped"):
        await bank.ask(data)
    with pytest.raises(FatalError, match="in doubt"):
        await bank.failed()
    assert desk.groups() == []


async def test_a_batch_that_waited_is_judged_by_the_clock_of_its_commit(desk: Desk, bank: Bank) -> None:
    """A round closed while it was verified: judged by the round before, two holds on a coin would overlap."""
    coin, last = desk.coin(3), desk.closed + desk.terms.hold_rounds
    first, second = (desk.order([coin], [fresh(3)[1]], tau=tau_of(h)) for h in (b"1" * 32, b"2" * 32))
    earlier = desk.read(first, await bank.ask(encode_request(first))).body
    bank.clock.heard(last - 1)  # type: ignore[attr-defined]
    receipt = FeedReceipt(1, last + 1, last, bytes(64))
    await bank.store.run(lambda book: record(book, Batch(1, ()), receipt))  # type: ignore[attr-defined]
    later = desk.read(second, await bank.ask(encode_request(second))).body
    assert isinstance(earlier, Hold)
    assert isinstance(later, Hold)
    assert later.from_round > earlier.to_round
