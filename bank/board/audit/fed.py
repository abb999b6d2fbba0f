"""
Receipts for what a bank fed: each entry of the batch is in one of the rounds where it must be, or the board
broke its word.

A file of one, as ``mixmint bank evidence`` writes it: receipt 80; the batch, length 4 before it; how many
earlier receipts 1 (0 or 1), and that one (taken 1, its batch's hash 32, receipt 80).

Source: docs/spec/accusation.md, section 4; docs/spec/board.md, section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bank.board.accusation.evidence import read_sized, sized
from bank.board.accusation.receipts import FeedReceiptBroken, Stretch, Waited, read_receipt, write_receipt
from bank.board.audit.convict import Prosecutor
from bank.board.audit.finding import Fault, Finding, Weight
from bank.board.audit.replay import Replay
from bank.board.audit.spill import Spilled
from bank.board.feed import Batch, FeedReceipt, batch_digest
from bank.board.log.tree import leaf_hash
from bank.formats.fields import Reader
from mixmint.errors import MalformedMessage

MOST_FED_BYTES = 1 << 24
"""Of one file: a batch is a few megabytes at most."""


@dataclass(frozen=True, slots=True)
class FedReceipt:
    """A board's receipt, the batch that it is for (its bytes), and the receipt before, where there is one."""

    receipt: FeedReceipt
    batch: bytes
    waited: Waited | None

    def encode(self) -> bytes:
        earlier = b"\x00" if self.waited is None else b"\x01" + self.waited.encode()
        return write_receipt(self.receipt) + sized(self.batch, 4) + earlier

    @classmethod
    def decode(cls, data: bytes) -> "FedReceipt":
        """Raises MalformedMessage."""
        reader = Reader(data)
        receipt, batch, count = read_receipt(reader), read_sized(reader, 4), reader.number(1)
        if count > 1:
            raise MalformedMessage("counts")
        found = cls(receipt, batch, Waited.read(reader) if count else None)
        reader.end()
        return found


async def judge_fed(
    receipts: Sequence[FedReceipt], spilled: Spilled, replay: Replay, prosecutor: Prosecutor
) -> list[Finding]:
    """What is to be said of them; nothing of those that were honoured."""
    found = [await _judge(each, spilled, replay, prosecutor) for each in receipts]
    return [finding for finding in found if finding is not None]


async def _judge(fed: FedReceipt, spilled: Spilled, replay: Replay, prosecutor: Prosecutor) -> Finding | None:
    receipt, key = fed.receipt, prosecutor.signed.board.public
    what = f"what the bank fed up to group {receipt.next_group - 1}"
    if not receipt.is_signed(key, batch_digest(fed.batch), taken=True):
        return Finding(Weight.NOTE, Fault.RECEIPT, f"the receipt for {what} is not signed by this board.")
    if receipt.round > replay.last_mark[1]:
        words = f"{what} is promised for round {receipt.round}, which isn't closed yet."
        return Finding(Weight.LATE, Fault.RECEIPT, words)
    after = 0 if fed.waited is None else fed.waited.receipt.newest_closed
    if not 0 <= after < receipt.round or spilled.place(receipt.round - 1).number != receipt.round:
        # Marks that don't count up are a finding of their own.
        return None
    first = spilled.place(after - 1).mark + 1 if after else 0
    mark = spilled.place(receipt.round - 1).mark
    shown = {leaf_hash(await replay.leaf(index)) for index in range(first, mark)}
    missing = _missing(Batch.decode(fed.batch).groups, shown)
    if missing is None:
        return None
    stretch = await _stretch(prosecutor, first, mark)
    signed, evidence = prosecutor.signed, None
    if stretch is not None:
        evidence = FeedReceiptBroken(signed, receipt, fed.batch, *missing, fed.waited, stretch)
    words = f"{what} is not whole in the rounds up to {receipt.round}"
    return prosecutor.finding(Fault.RECEIPT, evidence, words)


def _missing(groups: Sequence[Sequence[bytes]], shown: set[bytes]) -> tuple[int, int] | None:
    """Group and place of the first entry that isn't there."""
    for number, group in enumerate(groups):
        for place, entry in enumerate(group):
            if leaf_hash(entry) not in shown:
                return number, place
    return None


async def _stretch(prosecutor: Prosecutor, first: int, mark: int) -> Stretch | None:
    leaves = await prosecutor.leaves(prosecutor.signed.size, range(max(first - 1, 0), mark + 1))
    if leaves is None:
        return None
    before = leaves.bytes[0] if first else b""
    inside = leaves.bytes[1 if first else 0 : -1]
    return Stretch(before, first, tuple(map(leaf_hash, inside)), leaves.bytes[-1], leaves.proof)
