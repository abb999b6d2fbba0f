"""The outbox: in order, exactly once, whatever crashes; and the clock that comes back with the receipts."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bank.board.feed import Batch, FeedReceipt, sign_receipt
from bank.feeder import MOST_AHEAD
from bank.formats.entry import AccountEntry, KeyEntry, decode_entry
from bank.ledger import Terms
from bank.ledger.accounts import credit, open_account
from bank.outbox import BoardClock, next_batch
from bank.stores.interface import MOST_OUTBOX_ROW_BYTES
from mixmint.errors import FatalError, PeerError, Unavailable
from tests.unit.bank.engines import Engine
from tests.unit.bank.paper import BANK, PaperBoard, Side


@pytest.fixture
async def board() -> PaperBoard:
    made = PaperBoard()
    for _ in range(4):
        made.close()
    return made


@pytest.fixture
async def side(engine: Engine, board: PaperBoard) -> AsyncIterator[Side]:
    made = Side(engine, board)
    yield made
    await made.store.close()


async def test_the_key_comes_first_and_nothing_before_the_board_was_asked(
    side: Side, board: PaperBoard
) -> None:
    """The first feed is empty: it only asks where the board is."""
    await side.steps(1)
    assert board.groups == []
    await side.steps(1)
    assert board.groups == [[side.entry]]
    assert isinstance(decode_entry(side.entry), KeyEntry)


async def test_groups_arrive_once_and_in_order(side: Side, board: PaperBoard) -> None:
    """Over many commits and feeds; once they were read on the board the outbox is empty."""
    await side.steps(2)
    for start in range(1, 61, 6):
        await side.publish(*range(start, start + 6))
        if start % 18 == 1:
            await side.steps(1)
    await side.steps(2)
    assert board.names() == list(range(1, 61))
    board.close()
    assert await side.number("SELECT count(*) FROM outbox") > 0
    await side.read()
    assert await side.number("SELECT count(*) FROM outbox") == 0


async def test_a_lost_receipt_repeats_no_group(side: Side, board: PaperBoard) -> None:
    """The board took them, the bank doesn't know: the next receipt says so."""
    await side.steps(2)
    await side.publish(1, 2)
    board.loses_answer = True
    with pytest.raises(Unavailable):
        await side.feeder.step()
    board.loses_answer = False
    await side.publish(3)
    await side.steps(3)
    assert board.names() == [1, 2, 3]


async def test_a_crash_between_feed_and_deletion_repeats_no_group(side: Side, board: PaperBoard) -> None:
    """The bank comes back with groups in its outbox that the board has."""
    await side.steps(2)
    await side.publish(1, 2)
    board.loses_answer = True
    with pytest.raises(Unavailable):
        await side.feeder.step()
    board.loses_answer = False
    await side.store.close()
    again = Side(side.engine, board)
    await again.publish(3)
    await again.steps(3)
    assert board.names() == [1, 2, 3]
    await again.store.close()


async def test_a_batch_half_of_which_the_board_has_is_cut(side: Side, board: PaperBoard) -> None:
    """Only the rest of the row is fed."""
    await side.steps(2)
    await side.publish(1, 2, 3)
    ((batch,), *_) = side.engine.sql("SELECT batch FROM outbox ORDER BY first DESC")
    board.groups += [list(group) for group in Batch.decode(batch).groups[:2]]
    await side.steps(2)
    assert board.names() == [1, 2, 3]


async def test_a_store_behind_its_board_refuses_to_run(side: Side, board: PaperBoard) -> None:
    """A restored backup would give numbers, and so answers, twice."""
    board.groups = [[b"x"]] * 5
    with pytest.raises(FatalError, match="restored from a backup"):
        await side.feeder.run()
    assert side.clock.closed is None


async def test_a_board_that_lost_what_it_had_shown_stops_the_bank(side: Side, board: PaperBoard) -> None:
    """That is a log that shrank, or another board."""
    await side.steps(2)
    await side.settle(1, 2)
    board.groups.pop()
    with pytest.raises(FatalError, match="shown before"):
        await side.feeder.step()


async def test_a_board_that_lost_what_it_had_not_shown_yet_is_fed_again(
    side: Side, board: PaperBoard, caplog: pytest.LogCaptureFixture
) -> None:
    """The groups wait in the outbox until they were read; the broken word is said."""
    await side.steps(2)
    board.close()
    await side.read()
    await side.publish(1, 2, 3)
    await side.steps(1)
    assert await side.number("SELECT max(next_group) FROM receipt") == 5
    del board.groups[2:], board.waiting[1:]
    await side.steps(2)
    assert board.names() == [1, 2, 3]
    assert "the board lost groups from 3 on" in caplog.text
    board.close()
    await side.read()
    assert await side.number("SELECT confirmed_group FROM state") == 5
    assert side.confirmer.complaint is None


async def test_a_board_that_goes_back_in_time_stops_the_bank(side: Side, board: PaperBoard) -> None:
    """Rounds are the clock of every promise."""
    await side.steps(2)
    board.shown.pop()
    with pytest.raises(FatalError, match="round 3"):
        await side.feeder.step()


async def test_a_number_that_the_outbox_skips_is_never_fed(side: Side) -> None:
    """What follows would go by wrong numbers."""
    await side.publish(1, 2)
    side.engine.sql("DELETE FROM outbox")
    await side.publish(3)
    with pytest.raises(FatalError, match="group 1 is missing"):
        await side.store.run(lambda book: next_batch(book, 1))


async def test_what_the_operator_changes_has_a_group_once_the_board_was_asked(
    side: Side, board: PaperBoard
) -> None:
    """A credit shows nothing, but a copy of the books from before it is told by its number."""
    await side.store.run(lambda book: open_account(BANK, bytes(32), book))
    await side.store.run(lambda book: credit(BANK, bytes(32), 5, book))
    await side.steps(1)
    assert await side.number("SELECT next_group FROM state") == 1
    await side.steps(1)
    assert [len(group) for group in board.groups] == [1, 1, 0]
    await side.store.run(lambda book: credit(BANK, bytes(32), 5, book))
    await side.steps(2)
    assert [len(group) for group in board.groups] == [1, 1, 0, 0]


async def test_accounts_opened_while_nobody_fed_are_published_later(side: Side, board: PaperBoard) -> None:
    """The operator's command gives no numbers; each account becomes public once."""
    for number in range(3):
        await side.store.run(lambda book, n=number: open_account(BANK, n.to_bytes(32), book))  # type: ignore[misc]
    await side.steps(4)
    entries = [decode_entry(entry) for group in board.groups for entry in group]
    assert entries[1:] == [AccountEntry(number.to_bytes(32)) for number in range(3)]


async def test_while_the_board_is_down_groups_wait_and_the_clock_runs_out(
    board: PaperBoard, tmp_path: Path
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
    asked = board.asked
    await side.publish(1)
    running = asyncio.create_task(side.feeder.run())
    async with asyncio.timeout(10):
        await board.until(lambda: board.asked >= asked + 3)
        board.is_down = False
        await board.until(lambda: board.names() == [1])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert board.names() == [1]
    await side.store.close()


async def test_a_long_backlog_is_fed_in_feeds_of_bounded_size(side: Side, board: PaperBoard) -> None:
    """Rows are split at a quarter of a feed, and no feed is larger than the board takes."""
    await side.steps(2)
    count = 3 * MOST_OUTBOX_ROW_BYTES // 100
    await side.publish(*range(1, count + 1))
    rows = side.engine.sql("SELECT length(batch) FROM outbox")
    assert len(rows) > 2
    assert max(rows)[0] < 2 * MOST_OUTBOX_ROW_BYTES
    await side.steps(4)
    assert board.names() == list(range(1, count + 1))


async def test_a_clock_that_the_log_does_not_bear_out_is_not_believed(side: Side, board: PaperBoard) -> None:
    """One false receipt must not leave the books in a time that never comes."""
    await side.settle(1)
    honest = board.feed

    async def lying(batch: Batch) -> FeedReceipt:
        receipt = await honest(batch)
        far = receipt.newest_closed + MOST_AHEAD + 1
        return sign_receipt(
            board.key, batch.encode(), receipt.next_group, far, far, taken=receipt.next_group == batch.next
        )

    before = side.clock.closed
    board.feed = lying  # type: ignore[method-assign]  # the same board, with another clock
    with pytest.raises(PeerError, match="clock"):
        await side.steps(1)
    assert side.clock.closed == before
    assert await side.number("SELECT newest_closed FROM state") == before
    board.feed = honest  # type: ignore[method-assign]  # and honest again
    await side.settle(2)
    assert board.names() == [1, 2]
    await side.steps(1)
    assert side.clock.closed == board.closed


async def test_a_bank_that_was_away_for_long_reads_up_before_it_answers(
    side: Side, board: PaperBoard
) -> None:
    await side.settle(1)
    for _ in range(MOST_AHEAD + 5):
        board.close()
    with pytest.raises(PeerError, match="clock"):
        await side.steps(1)
    await side.read()
    await side.steps(2)
    assert side.clock.closed == board.closed
