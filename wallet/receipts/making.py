"""
A receipt, from the purse and the board's log.

The proofs are read from the board (or a mirror) at the place of the order's round. Whoever serves them sees
that somebody wants entries of that round: of all of a round's, or of the tiles around them.
"""

from collections.abc import Collection
from dataclasses import dataclass

from bank.board.log.proof import LogProof
from bank.board.log.reader import LogReader, Published
from bank.board.rounds import is_mark
from bank.formats.entry import CertifiedEntry, Kind, RoundEntry, SpentEntry, decode_entry
from bank.formats.order import Order, input_ids
from mixmint.errors import MalformedMessage, PeerError, UserError
from mixmint.keys import SigningKey
from wallet.books import Books
from wallet.machines.foreign import ForeignState
from wallet.machines.order import OrderState
from wallet.machines.steps import Phase
from wallet.marks.mark import Mark, Part
from wallet.operations import PlanState
from wallet.payment_request import PaymentRequest
from wallet.receipts.receipt import RECEIPT_LABEL, Receipt, check_to


@dataclass(frozen=True, slots=True)
class Paid:
    """A settled payment of ours: its order, what it paid, and its coins' keys."""

    order: OrderState
    request: PaymentRequest | None
    keys: tuple[SigningKey, ...]


def paid_by_us(books: Books, row: int) -> Paid:
    """Raises UserError: no order of ours, or not settled yet."""
    stored = books.purse.operations()
    state = stored[row].state if row in stored else None
    request = None
    if isinstance(state, PlanState) and state.last:
        request = PaymentRequest.decode(state.request) if state.request else None
        state = stored[state.last].state
    if not isinstance(state, OrderState) or isinstance(state, ForeignState):
        raise UserError(f"operation {row} is no payment of yours; see `mixmint wallet history`")
    if request is None and state.parent:
        plan = stored[state.parent].state
        if isinstance(plan, PlanState) and plan.request:
            request = PaymentRequest.decode(plan.request)
    if state.phase is not Phase.SETTLED:
        raise UserError(f"operation {row} isn't settled, so there is nothing to prove yet")
    found = [books.purse.coin(coin) for coin in input_ids(state.order)]
    keys = tuple(each[1].key() for each in found if each is not None)
    if len(keys) != len(found):
        raise UserError(f"the coins of operation {row} were handed to you by somebody; only he can prove it")
    return Paid(state, request, keys)


async def make_receipt(
    books: Books, log: LogReader, row: int, to: str, show: Collection[Part] = tuple(Part)
) -> Receipt:
    """
    Prove the payment in ``row`` to a reader, whom ``to`` names, with these parts of its mark opened.

    Raises UserError (also when the board can't prove it), Unavailable.
    """
    paid = paid_by_us(books, row)
    order, text = paid.order.opened, check_to(to)
    mark = Mark.decode(paid.order.mark) if paid.order.mark else None
    shows_request = mark is not None and Part.REQUEST in show
    by_public = {key.public: key for key in paid.keys}
    signed = tuple(
        by_public[public].sign(RECEIPT_LABEL, order.seal, text.encode()) for public in order.order.inputs
    )
    try:
        entries = await entries_of(log, order.seal, order.order, paid.order.round)
    except (PeerError, MalformedMessage) as error:
        raise UserError(f"the board doesn't prove this payment ({error}); try a mirror") from None
    keys = books.bank.keys
    return Receipt(
        text,
        order,
        signed,
        None if mark is None else mark.open(show),
        paid.request if shows_request else None,
        keys.founding,
        keys.changes,
        entries,
    )


async def entries_of(log: LogReader, seal: bytes, order: Order, round_: int) -> tuple[LogProof, ...]:
    """
    Proofs of an executed order's entries in this round, and of the round's mark. What they prove is for their
    reader to verify.

    Raises Unavailable, PeerError (they aren't all there), MalformedMessage.
    """
    published = await log.checkpoint()
    first, end = await find_round(log, published, round_)
    wanted = {*(output.coin for output in order.outputs), *order.inputs, _MARK}
    found: dict[bytes, tuple[int, bytes]] = {}
    async for start, leaves in log.bundles(first, end + 1, published.checkpoint.size):
        for index, leaf in enumerate(leaves, start):
            what = _what(leaf, seal)
            if what in wanted:
                # A certificate that its holder posted beside the bank's is the same certificate.
                found.setdefault(what, (index, leaf))
    if found.keys() != wanted:
        raise PeerError("entries", f"the order's entries aren't all in round {round_}")
    size = published.checkpoint.size
    return tuple(
        [
            LogProof(index, tuple(await log.inclusion(index, size)), published.note, leaf)
            for index, leaf in sorted(found.values())
        ]
    )


_MARK = b"mark"
_COINS = tuple(kind.to_bytes(1) for kind in (Kind.CERTIFIED, Kind.SPENT, Kind.POSTED))


def _what(leaf: bytes, seal: bytes) -> bytes:
    """What a leaf is about: a certified coin's id, the key of a coin spent under this seal, a round's end."""
    if is_mark(leaf):
        return _MARK
    entry = decode_entry(leaf) if leaf[:1] in _COINS else None
    if isinstance(entry, SpentEntry) and entry.seal == seal:
        return entry.coin_key
    return entry.coin if isinstance(entry, CertifiedEntry) else b""


async def find_round(log: LogReader, published: Published, number: int) -> tuple[int, int]:
    """
    The indexes of a round's first leaf and of its mark, by halving: nothing is asked but some leaves.

    Unverified. Raises Unavailable, PeerError, MalformedMessage.
    """
    size = published.checkpoint.size
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        end, mark = await _next_mark(log, middle, size)
        if mark.number == number:
            return mark.first, end
        if mark.number < number:
            low = end + 1
        else:
            # Whatever a false mark names, the search comes to an end.
            high = min(mark.first, middle)
    raise PeerError("round", f"the board has no round {number}")


async def _next_mark(log: LogReader, at: int, size: int) -> tuple[int, RoundEntry]:
    """The first mark at or after a leaf, and its index."""
    async for start, leaves in log.bundles(at, size, size):
        for index, leaf in enumerate(leaves, start):
            entry = decode_entry(leaf) if is_mark(leaf) else None
            if isinstance(entry, RoundEntry):
                return index, entry
    raise PeerError("round", "the log doesn't end with a round's mark")
