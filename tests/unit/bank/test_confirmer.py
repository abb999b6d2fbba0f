"""Reading back: what the board shows is confirmed once, across crashes; what differs stops only that."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from itertools import islice
from pathlib import Path

import pytest

from bank.board.accusation.file import check_file
from bank.board.feed import Batch, FeedReceipt, batch_digest
from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.note import VerifierKey
from bank.board.reading.client import Cursor
from bank.board.reading.fork import Fork, ForkedLog
from bank.formats.answer import Hold
from bank.formats.entry import CertifiedEntry, ClaimEntry, PostedEntry
from bank.formats.order import tau_of
from bank.outbox import groups_from
from bank.stores.interface import View
from mixmint.errors import FatalError, PeerError
from tests.unit.bank.desk import Desk, fresh
from tests.unit.bank.engines import Engine
from tests.unit.bank.paper import PaperBoard, Side, certified

STRANGE = certified(999)


@pytest.fixture
async def board() -> PaperBoard:
    return PaperBoard()


@pytest.fixture
async def side(engine: Engine, board: PaperBoard) -> AsyncIterator[Side]:
    made = Side(engine, board)
    await made.steps(2)
    yield made
    await made.store.close()


async def confirmed(side: Side) -> int:
    return await side.number("SELECT confirmed_group FROM state")


async def test_what_was_read_leaves_the_outbox_and_is_not_read_again(
    side: Side, board: PaperBoard, tmp_path: Path
) -> None:
    """Cursor and deletion are one transaction; a new process goes on behind them."""
    await side.settle(1, 0, 2)
    await side.publish(3)
    await side.steps(1)
    assert await confirmed(side) == 5
    assert await side.number("SELECT count(*) FROM outbox") == 1
    board.close()
    await side.store.close()
    again = Side(side.engine, board)
    board.pages.clear()
    await again.read()
    assert board.pages == [1, 0]
    assert await confirmed(again) == 6
    assert await again.number("SELECT count(*) FROM outbox") == 0
    assert await again.number("SELECT min(next_group) FROM receipt") == 6
    await again.store.close()


async def test_a_row_of_the_outbox_may_be_confirmed_in_parts(side: Side, board: PaperBoard) -> None:
    """Rounds end where they end."""
    await side.publish(1, 2, 3)
    await side.steps(1)
    # As if the answers had been lost: by the receipts all would have to be in the first round.
    side.engine.sql("DELETE FROM receipt")
    rest = [certified(2), certified(3)]
    board.waiting = [side.entry, certified(1)]
    board.close()
    await side.read()
    assert await confirmed(side) == 3
    assert await side.number("SELECT count(*) FROM outbox") == 1
    board.waiting = rest
    board.close()
    await side.read()
    assert await confirmed(side) == 5
    assert side.confirmer.complaint is None


async def test_what_others_put_on_the_board_is_not_the_banks(side: Side, board: PaperBoard) -> None:
    """Claims, and certificates that their holders posted."""
    await side.publish(1)
    await side.steps(1)
    posted = PostedEntry((1).to_bytes(32), 0, 0, bytes(64))
    board.close(ClaimEntry(b"x").encode(), posted.encode())
    await side.read()
    assert await confirmed(side) == 3
    assert side.confirmer.complaint is None


BENT: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "shows 1 entr": lambda entries: [*entries, STRANGE],
    "lacks 1 entr": lambda entries: entries[:-1],
    "shows 1 entry (certified": lambda entries: [*entries[:-1], entries[-1][:-1] + b"\1"],
    "shows 1 entry (certified ": lambda entries: [*entries, entries[-1]],
}


@pytest.mark.parametrize("said", BENT)
async def test_a_board_that_shows_something_else_is_not_confirmed(
    side: Side, board: PaperBoard, caplog: pytest.LogCaptureFixture, said: str
) -> None:
    """The bank says what differs, keeps its evidence, and goes on feeding and serving."""
    await side.settle(1)
    board.bends = BENT[said]
    await side.settle(2)
    board.bends = lambda entries: entries
    await side.settle()
    assert side.confirmer.complaint is not None
    assert said in side.confirmer.complaint
    assert ("round 2 of" in side.confirmer.complaint) == said.startswith("shows")
    assert side.confirmer.complaint in caplog.text
    assert side.confirmer.differs._value.get() == 1
    assert await confirmed(side) == 3
    await side.publish(3)
    await side.steps(2)
    assert board.names() == [1, 2, 3]
    assert side.clock.is_right
    await evidence(side, board)


async def evidence(side: Side, board: PaperBoard) -> None:
    """Receipts and batches that only this board can have answered, straight from the books."""

    def kept(view: View) -> list[tuple[Batch, bytes, FeedReceipt]]:
        found = []
        for each in view.receipts():
            groups = list(islice(groups_from(view, each.first), each.groups))
            found.append((Batch(each.first, groups), each.digest, each.receipt))
        return found

    earlier, *receipts = await side.store.read(kept)
    assert receipts
    for batch, digest, receipt in receipts:
        assert digest == batch_digest(batch.encode())
        assert receipt.holds(board.key.public, batch.encode())
        assert receipt.next_group == batch.next
        assert receipt.round >= 2
    # The one before shows from which round on the first of these groups may stand.
    assert earlier[2].next_group == await confirmed(side) == receipts[0][0].first
    assert earlier[2].newest_closed == 0


async def test_a_group_that_its_round_never_shows_is_missed(side: Side, board: PaperBoard) -> None:
    """Nothing else comes after it, so only the board's receipt tells, once the board stands by it."""
    await side.settle(1)
    board.bends = lambda entries: []
    await side.settle(2)
    assert side.confirmer.complaint is None
    await side.settle()
    assert side.confirmer.complaint is not None
    assert "lacks 1 entry (certified" in side.confirmer.complaint


async def test_a_recovered_board_may_close_rounds_without_what_it_lost(side: Side, board: PaperBoard) -> None:
    """Also before the bank has heard of the recovery: that is late, and no lie."""
    await side.settle(1)
    await side.publish(2)
    await side.steps(1)
    board.recover(1)
    board.close()
    await side.read()
    await side.steps(3)
    board.close()
    await side.read()
    assert side.confirmer.complaint is None
    assert await confirmed(side) == 4


async def test_the_task_goes_on_after_a_difference_and_after_a_board_that_can_not_be_read(
    side: Side, board: PaperBoard
) -> None:
    """A task that ends would end the bank."""
    rounds = board.rounds
    failed = asyncio.Event()

    async def fails(after: Cursor, most: int = 100) -> object:
        if not failed.is_set():
            failed.set()
            raise PeerError("tile", "garbage")
        return await rounds(after, most)

    board.rounds = fails  # type: ignore[method-assign, assignment]
    await side.publish(1)
    await side.steps(1)
    board.close(STRANGE)
    running = asyncio.create_task(side.confirmer.run())
    async with asyncio.timeout(10):
        await failed.wait()
        while side.confirmer.complaint is None:  # noqa: ASYNC110 - the task tells nobody, it goes on
            await asyncio.sleep(0.001)
    await asyncio.sleep(0)
    assert not running.done()
    assert side.confirmer.failures.labels("tile")._value.get() == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_damaged_place_in_the_books_is_fatal(side: Side) -> None:
    """It is our own state, not the board's doing."""
    side.engine.sql("UPDATE state SET cursor = ?", b"\0")
    with pytest.raises(FatalError, match="damaged"):
        await side.confirmer.step()


async def test_a_reading_that_is_cancelled_leaves_the_books_usable(side: Side) -> None:
    """Its thread goes on for a moment, and the connection is still its; closing waits for it."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(view: View) -> None:
        view.state()
        begun.set()
        go_on.wait(10)
        view.accounts()

    reading = asyncio.create_task(side.store.read(slow))
    await asyncio.to_thread(begun.wait, 10)
    reading.cancel()
    another = asyncio.create_task(side.store.read(lambda view: view.state().confirmed))
    await asyncio.sleep(0)
    assert not another.done()
    go_on.set()
    assert await another == 1
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_forked_log_is_complained_about_and_becomes_an_accusation(
    side: Side, board: PaperBoard, tmp_path: Path
) -> None:
    """Two signed pasts are all that anyone needs to check it."""
    log = VerifierKey("paper", board.key.public)
    roots = [bytes([number]) * 32 for number in (1, 2)]
    one, other = [sign_checkpoint(board.key, Checkpoint("paper", 1, root)) for root in roots]

    async def forked(after: Cursor, most: int = 100) -> object:
        raise ForkedLog(Fork(one, other, roots[1]), log)

    board.rounds = forked  # type: ignore[method-assign, assignment]
    await side.read()
    assert side.confirmer.complaint is not None
    assert "contradicts itself" in side.confirmer.complaint
    (path,) = (tmp_path / "evidence").iterdir()
    assert str(path) in side.confirmer.complaint
    verdict = check_file(path.read_bytes())
    assert (verdict.holds, verdict.whom.board) == (True, log)


@pytest.mark.parametrize("is_read", [True, False])
async def test_a_recovered_board_is_fed_what_its_log_lacks(
    side: Side, board: PaperBoard, is_read: bool
) -> None:
    """Whether its log was read before or not, and whatever was fed since: every group is there once."""
    await side.settle(1)
    await side.publish(2, 0)
    await side.steps(1)
    board.close()
    await side.publish(3)
    await side.steps(1)
    board.close()
    await side.publish(4)
    await side.steps(1)
    if is_read:
        await side.read()
    board.recover(3)
    await side.publish(5)
    await side.steps(2)
    assert board.groups == []
    await side.read()
    await side.steps(3)
    board.close()
    await side.read()
    names = [int.from_bytes(entry.coin) for entry in board.entries() if isinstance(entry, CertifiedEntry)]
    assert sorted(names) == [1, 2, 3, 4, 5]
    assert side.confirmer.complaint is None
    assert await side.number("SELECT count(*) FROM outbox") == 0


async def test_until_the_recovered_log_was_read_the_clock_stands(
    side: Side, board: PaperBoard, tmp_path: Path
) -> None:
    """A bank that doesn't know yet whether its books are old signs nothing."""
    await side.settle(1)
    board.recover(1)
    await side.store.close()
    again = Side(side.engine, board)
    again.confirmer.complaint = None
    again.engine.sql("UPDATE state SET cursor = ?", b"")
    again.engine.sql("UPDATE state SET confirmed_group = 3")
    await again.steps(3)
    assert not again.clock.is_right
    await again.store.close()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_an_older_copy_of_the_books_beside_a_recovered_board_stops(
    side: Side, board: PaperBoard, tmp_path: Path
) -> None:
    """The board can't tell by its number; its log can."""
    await side.settle(1)
    copy_books(side, tmp_path / "copy.db")
    await side.settle(2)
    board.recover(2)
    old = Side(tmp_path / "copy.db", board)
    await old.steps(1)
    await old.read()
    with pytest.raises(FatalError, match="older copy"):
        await old.steps(1)
    assert not old.clock.is_right
    await old.store.close()


async def test_a_recovered_board_takes_no_groups_from_a_bank_that_missed_it(
    side: Side, board: PaperBoard
) -> None:
    """Restarted between two feeds: the bank would go on behind all that it fed."""
    await side.settle(1)
    await side.publish(2)
    await side.steps(1)
    board.recover(1)
    await side.publish(3)
    await side.steps(1)
    assert board.groups == []
    await side.steps(4)
    assert board.names() == [2, 3]


def copy_books(side: Side, to: Path) -> None:
    """A backup, as an operator makes it."""
    side.engine.sql("VACUUM INTO ?", str(to))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_a_copy_of_the_books_from_before_a_hold_refuses_to_run(
    engine: Engine, tmp_path: Path, board: PaperBoard
) -> None:
    """It would sign an overlapping one: the bank's own word against itself."""
    desk = Desk(tmp_path, engine=engine)
    side = Side(engine, board)
    await side.steps(3)
    signed = desk.order([desk.coin(3)], [fresh(3)[1]], tau=tau_of(bytes(32)))
    copy_books(side, tmp_path / "copy.db")
    assert isinstance(desk.ask(signed).body, Hold)
    await side.steps(2)
    await side.store.close()
    old = Side(tmp_path / "copy.db", board)
    with pytest.raises(FatalError, match="restored from a backup"):
        await old.steps(1)
    assert old.clock.closed is None
    await old.store.close()
    desk.close()
