"""
Receipts that the auditor was shown: each entry is in the round that the board promised, or the round isn't
closed yet, which is late and no theft; or the board broke its word.
"""

from collections.abc import Sequence

from bank.board.accusation.evidence import SignedLog
from bank.board.accusation.receipts import ReceiptBroken, Stretch
from bank.board.audit.convict import Prosecutor
from bank.board.audit.finding import Fault, Finding, Weight
from bank.board.audit.replay import Replay
from bank.board.audit.spill import Spilled
from bank.board.log.tree import leaf_hash
from bank.board.receipts import EntryReceipt


async def judge_receipts(
    receipts: Sequence[EntryReceipt], spilled: Spilled, replay: Replay, prosecutor: Prosecutor
) -> list[Finding]:
    """What is to be said of them; nothing of those that were honoured."""
    found = [await _judge(receipt, spilled, replay, prosecutor) for receipt in receipts]
    return [finding for finding in found if finding is not None]


async def _judge(
    receipt: EntryReceipt, spilled: Spilled, replay: Replay, prosecutor: Prosecutor
) -> Finding | None:
    entry = f"the entry with leaf hash {receipt.leaf.hex()}"
    if not receipt.is_signed(prosecutor.signed.board.public):
        return Finding(Weight.NOTE, Fault.RECEIPT, f"the receipt for {entry} is not signed by this board.")
    if receipt.round > replay.last_mark[1]:
        words = f"{entry} is promised for round {receipt.round}, which isn't closed yet."
        return Finding(Weight.LATE, Fault.RECEIPT, words)
    place = spilled.place(receipt.round - 1) if receipt.round else None
    if place is None or place.number != receipt.round:
        # Marks that don't count up are a finding of their own.
        return None
    first = spilled.place(receipt.round - 2).mark + 1 if receipt.round > 1 else 0
    hashes = [leaf_hash(await replay.leaf(index)) for index in range(first, place.mark)]
    if receipt.leaf in hashes:
        return None
    evidence = await _broken(receipt, prosecutor, first, place.mark)
    return prosecutor.finding(Fault.RECEIPT, evidence, f"{entry} is not in round {receipt.round}")


async def _broken(
    receipt: EntryReceipt, prosecutor: Prosecutor, first: int, mark: int
) -> ReceiptBroken | None:
    signed: SignedLog = prosecutor.signed
    leaves = await prosecutor.leaves(signed.size, range(max(first - 1, 0), mark + 1))
    if leaves is None:
        return None
    shown = leaves.bytes
    before = shown[0] if first else b""
    inside = shown[1 if first else 0 : -1]
    stretch = Stretch(before, first, tuple(map(leaf_hash, inside)), shown[-1], leaves.proof)
    return ReceiptBroken(signed, receipt, stretch)
