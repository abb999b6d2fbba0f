"""
What a bank has in hand against its board: the receipts for what it fed and hasn't read there yet, as files.

They stay in the books until the board shows the groups, and with them the groups. Each file is a receipt with
its batch, and the receipt before it, which says from which round on the batch must be there. Whoever has the
log's files makes an accusation of them, if the board broke its word: ``mixmint board audit --receipt FILE``.
"""

from contextlib import closing
from itertools import islice

from bank.board.accusation.receipts import Waited
from bank.board.audit.fed import FedReceipt
from bank.board.feed import Batch, batch_digest
from bank.outbox import groups_from
from bank.stores.interface import KeptReceipt, View


def fed_receipts(view: View) -> dict[int, FedReceipt]:
    """By the last group that each is for. What was read on the board, in part or whole, isn't among them."""
    found: dict[int, FedReceipt] = {}
    before: KeptReceipt | None = None
    first = view.state().confirmed
    for kept in view.receipts():
        if kept.groups and kept.first >= first:
            with closing(groups_from(view, kept.first)) as groups:
                batch = Batch(kept.first, tuple(islice(groups, kept.groups))).encode()
            # Another batch than the board signed for would prove nothing.
            if batch_digest(batch) == kept.digest:
                last = kept.receipt.next_group - 1
                found[last] = FedReceipt(kept.receipt, batch, _waited(before, kept))
        before = kept
    return found


def _waited(before: KeptReceipt | None, kept: KeptReceipt) -> Waited | None:
    if before is None or before.receipt.next_group > kept.first:
        return None
    return Waited(True, before.digest, before.receipt)
