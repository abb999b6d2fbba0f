"""The outbox: in order, exactly once, whatever crashes; and the clock that comes back with the receipts."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bank.board.feed import Batch, FeedReceipt
from bank.books import MOST_OUTBOX_ROW_BYTES
from bank.formats.entry import AccountEntry, CertifiedEntry, KeyEntry, decode_entry, make_key_entry
from bank.ledger import Terms
from bank.ledger.accounts import open_account
from bank.outbox import BoardClock, Feeder
from bank.store import SqliteBook, Store, open_books
from mixmint.errors import FatalError, Unavailable
from mixmint.keys import SigningKey

KEY = SigningKey(bytes(32))


class FakeBoard:
    """Takes groups as the real one does; loses answers, dies and goes back in time on request."""

    def __init__(self) -> None:
        self.groups: list[list[bytes]] = []
        self.closed = 4
        self.is_down = False
        self.loses_answer = False
        self.refusals = 0
        self.third_refusal = asyncio.Event()
        self.took = asyncio.Event()

    async def feed(self, batch: Batch) -> FeedReceipt:
        await asyncio.sleep(0)
        if self.is_down:
            self.refusals += 1
            if self.refusals == 3:
                self.third_refusal.set()
            raise Unavailable("down")
        if batch.first == len(self.groups) + 1:
            self.groups += [list(group) for group in batch.groups]
            if names(self):
                self.took.set()
        if self.loses_answer:
            raise Unavailable("the answer was lost")
        return FeedReceipt(len(self.groups) + 1, self.closed + 1, self.closed, bytes(64))


class Side:
    """The bank's side of the feed, over one database file."""

    def __init__(self, path: Path, board: FakeBoard) -> None:
        self.store = Store(open_books(path, b"b" * 32))
        self.clock = BoardClock(Terms(), silence_s=60, now_s=lambda: 0.0)
        self.entry = make_key_entry(KEY, b"b" * 32).encode()  # type: ignore[arg-type]
        self.feeder = Feeder(self.store, board, self.entry, self.clock, pause_s=0.001)

    async def publish(self, *names: int) -> None:
        """One transaction with one group for each name."""

        def write(book: SqliteBook) -> None:
            for name in names:
                book.publish([CertifiedEntry(name.to_bytes(32), 0, 0, bytes(64)).encode()])

        await self.store.run(write)

    async def steps(self, count: int) -> None:
        for _ in range(count):
            await self.feeder.step()


@pytest.fixture
async def board() -> FakeBoard:
    return FakeBoard()


@pytest.fixture
async def side(tmp_path: Path, board: FakeBoard) -> AsyncIterator[Side]:
    made = Side(tmp_path / "bank.db", board)
    yield made
    await made.store.close()


def names(board: FakeBoard) -> list[int]:
    """The certified coins on the board, in order of arrival."""
    entries = [decode_entry(entry) for group in board.groups for entry in group]
    return [int.from_bytes(entry.coin) for entry in entries if isinstance(entry, CertifiedEntry)]


async def test_the_key_comes_first_and_nothing_before_the_board_was_asked(
    side: Side, board: FakeBoard
) -> None:
    """The first feed is empty: it only asks where the board is."""
    await side.steps(1)
    assert board.groups == []
    await side.steps(1)
    assert board.groups == [[side.entry]]
    assert isinstance(decode_entry(side.entry), KeyEntry)


async def test_groups_arrive_once_and_in_order(side: Side, board: FakeBoard) -> None:
    """Over many commits and feeds; afterwards the outbox is empty."""
    await side.steps(2)
    for start in range(0, 60, 6):
        await side.publish(*range(start, start + 6))
        if start % 18 == 0:
            await side.steps(1)
    await side.steps(2)
    assert names(board) == list(range(60))
    assert await side.store.run(lambda b: b.connection.execute("SELECT count(*) FROM outbox").fetchone()) == (
        0,
    )


async def test_a_lost_receipt_repeats_no_group(side: Side, board: FakeBoard) -> None:
    """The board took them, the bank doesn't know: the next receipt says so."""
    await side.steps(2)
    await side.publish(1, 2)
    board.loses_answer = True
    with pytest.raises(Unavailable):
        await side.feeder.step()
    board.loses_answer = False
    await side.publish(3)
    await side.steps(3)
    assert names(board) == [1, 2, 3]


async def test_a_crash_between_feed_and_deletion_repeats_no_group(
    side: Side, board: FakeBoard, tmp_path: Path
) -> None:
    """The bank comes back with groups in its outbox that the board has."""
    await side.steps(2)
    await side.publish(1, 2)
    board.loses_answer = True
    with pytest.raises(Unavailable):
        await side.feeder.step()
    board.loses_answer = False
    again = Side(tmp_path / "bank.db", board)
    await again.publish(3)
    await again.steps(3)
    assert names(board) == [1, 2, 3]
    await again.store.close()


async def test_a_batch_half_of_which_the_board_has_is_cut(side: Side, board: FakeBoard) -> None:
    """Only the rest of the row is fed."""
    await side.steps(2)
    await side.publish(1, 2, 3)
    batch = await side.store.run(
        lambda book: book.connection.execute("SELECT batch FROM outbox ORDER BY first DESC").fetchone()[0]
    )
    board.groups += [list(group) for group in Batch.decode(batch).groups[:2]]
    await side.steps(2)
    assert names(board) == [1, 2, 3]


async def test_a_store_behind_its_board_refuses_to_run(side: Side, board: FakeBoard) -> None:
    """A restored backup would give numbers, and so answers, twice."""
    board.groups = [[b"x"]] * 5
    with pytest.raises(FatalError, match="restored from a backup"):
        await side.feeder.run()
    assert side.clock.closed is None


async def test_a_board_that_lost_groups_stops_the_bank(side: Side, board: FakeBoard) -> None:
    """What was fed is deleted here, so only the board's own newest state can mend it."""
    await side.steps(2)
    await side.publish(1, 2)
    await side.steps(2)
    board.groups.pop()
    with pytest.raises(FatalError, match="fed and forgotten"):
        await side.feeder.step()


async def test_a_board_that_goes_back_in_time_stops_the_bank(side: Side, board: FakeBoard) -> None:
    """Rounds are the clock of every promise."""
    await side.steps(2)
    board.closed -= 1
    with pytest.raises(FatalError, match="round 3"):
        await side.feeder.step()


async def test_accounts_opened_while_nobody_fed_are_published_later(side: Side, board: FakeBoard) -> None:
    """The operator's command gives no numbers; each account becomes public once."""
    for number in range(3):
        await side.store.run(lambda book, n=number: open_account(b"b" * 32, n.to_bytes(32), book))  # type: ignore[misc]
    await side.steps(4)
    entries = [decode_entry(entry) for group in board.groups for entry in group]
    assert entries[1:] == [AccountEntry(number.to_bytes(32)) for number in range(3)]


async def test_while_the_board_is_down_groups_wait_and_the_clock_runs_out(
    board: FakeBoard, tmp_path: Path
) -> None:
    """Late, not lost; and no promise is made by a clock that may be wrong."""
    side = Side(tmp_path / "other.db", board)
    with pytest.raises(Unavailable):
        side.clock.moment()
    await side.steps(2)
    assert side.clock.moment().closed == 4
    short = BoardClock(Terms(), silence_s=0)
    short.heard(4)
    with pytest.raises(Unavailable):
        short.moment()
    board.is_down = True
    await side.publish(1)
    running = asyncio.create_task(side.feeder.run())
    async with asyncio.timeout(10):
        await board.third_refusal.wait()
        board.is_down = False
        await board.took.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert names(board) == [1]
    await side.store.close()


async def test_a_long_backlog_is_fed_in_feeds_of_bounded_size(side: Side, board: FakeBoard) -> None:
    """Rows are split at a quarter of a feed, and no feed is larger than the board takes."""
    await side.steps(2)
    count = 3 * MOST_OUTBOX_ROW_BYTES // 100
    await side.publish(*range(count))
    rows = await side.store.run(
        lambda book: book.connection.execute("SELECT length(batch) FROM outbox").fetchall()
    )
    assert len(rows) > 2
    assert max(rows)[0] < 2 * MOST_OUTBOX_ROW_BYTES
    await side.steps(4)
    assert names(board) == list(range(count))
