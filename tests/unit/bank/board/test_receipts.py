"""bank/board/receipts.py, and how a board gives them: an entry is in the round that its receipt names."""

import sqlite3

import pytest

from bank.board.feed import Batch
from bank.board.log.tree import leaf_hash
from bank.board.reading.client import Cursor
from bank.board.receipts import ENTRY_RECEIPT_BYTES, EntryReceipt, sign_entry_receipt
from bank.formats.entry import AccountEntry, AccusationEntry
from mixmint.errors import MalformedMessage, PeerError, Unavailable
from tests.unit.bank.board.conftest import BANK, KEY

ENTRY = AccusationEntry(b"x" * 40).encode()
RECEIPT = sign_entry_receipt(KEY, leaf_hash(ENTRY), 7, 5)


def test_a_receipt_holds_for_its_entry_and_board_only() -> None:
    """Whoever changes a number, or the entry, has no receipt."""
    assert RECEIPT.holds(KEY.public, ENTRY)
    assert not RECEIPT.holds(BANK.public, ENTRY)
    assert not RECEIPT.holds(KEY.public, ENTRY + b"x")
    for field, value in (("leaf", bytes(32)), ("round", 8), ("newest_closed", 4), ("signature", bytes(64))):
        fields = {name: getattr(RECEIPT, name) for name in EntryReceipt.__slots__}
        assert not EntryReceipt(**{**fields, field: value}).is_signed(KEY.public)


def test_it_has_one_encoding() -> None:
    """104 bytes."""
    data = RECEIPT.encode()
    assert (len(data), EntryReceipt.decode(data)) == (ENTRY_RECEIPT_BYTES, RECEIPT)
    for wrong in (data[:-1], data + b"\0", b""):
        with pytest.raises(MalformedMessage, match="length"):
            EntryReceipt.decode(wrong)


async def test_an_entry_stands_in_the_round_of_its_receipt(start_board, mint) -> None:
    """Beside the feed's, also when that fills rounds meanwhile."""
    board = await start_board(round_entries=2)
    board.board.publisher.cosigners = Hesitant()
    await board.feed.feed(Batch(1, [[mint.certified(n)] for n in range(1, 6)]))
    first, second = await board.board.submit([ENTRY, AccountEntry(b"a" * 32).encode()])
    assert (first.round, second.round, first.newest_closed) == (3, 3, 0)
    assert first.holds(KEY.public, ENTRY)
    board.board.publisher.cosigners.patient = True
    while board.board.store.newest.number < 3:
        await board.board.round_after(board.board.store.newest.number)
    rounds = await board.reader.rounds(Cursor())
    assert [len(one.entries) for one in rounds] == [2, 2, 3]
    assert ENTRY in [entry.encode() for entry in rounds[2].entries]


class Hesitant:
    """Witnesses that don't cosign until told to."""

    trouble = ""

    def __init__(self) -> None:
        self.patient = False

    async def gather(self, note, size: int):
        if not self.patient:
            raise Unavailable("not yet")
        return note

    async def check_start(self, note, size: int) -> bool:
        return True


async def test_what_joins_the_transaction_can_refuse(start_board) -> None:
    """Then neither the entry nor what was written beside it is there."""
    board = await start_board()

    def refuse(connection: sqlite3.Connection, round_: int) -> None:
        assert round_ == 1
        connection.execute("DELETE FROM feed")
        raise PeerError("known")

    with pytest.raises(PeerError, match="known"):
        await board.board.submit([ENTRY], refuse)
    assert (await board.feed.feed(Batch(1, []))).next_group == 1
    await board.close_round()
    assert board.board.store.newest.count == 0


async def test_a_group_has_its_bounds(start_board) -> None:
    """No round is larger than readers expect."""
    board = await start_board()
    for entries in ([], [ENTRY] * 256):
        with pytest.raises(ValueError, match="1 to 255"):
            await board.board.submit(entries)
