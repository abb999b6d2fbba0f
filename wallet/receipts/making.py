"""
A receipt, from the purse and the board's log.

The proofs are read from the board (or a mirror) at the place of the order's round. Whoever serves them sees
that somebody wants entries of that round: of all of a round's, or of the tiles around them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bank.board.log.proof import LogProof
from bank.board.log.reader import LogReader, Published
from bank.board.rounds import is_mark
from bank.formats.entry import CertifiedEntry, Kind, RoundEntry, SpentEntry, decode_entry
from bank.formats.order import input_ids
from mixmint.errors import MalformedMessage, PeerError, UserError
from mixmint.keys import SigningKey
from wallet.books import Books
from wallet.machines.foreign import ForeignState
from wallet.machines.order import OrderState
from wallet.machines.steps import FINAL, Phase
from wallet.marks.mark import Mark, Part
from wallet.operations import PlanState
from wallet.parts import pieces_of
from wallet.payment_request import PaymentRequest
from wallet.receipts.receipt import RECEIPT_LABEL, Receipt, ShownOrder, check_to


@dataclass(frozen=True, slots=True)
class Paid:
    """A settled payment of ours: its orders and what they paid."""

    orders: tuple[OrderState, ...]
    request: PaymentRequest | None


def paid_by_us(books: Books, row: int) -> Paid:
    """
    The orders of a payment: of one that went coin by coin those that are on the board, once it is over.

    Raises UserError: no payment of ours, or not settled yet.
    """
    stored = books.purse.operations()
    state = stored[row].state if row in stored else None
    request = None
    orders: list[OrderState] = []
    if isinstance(state, PlanState) and state.request and state.phase is Phase.REFUSED:
        raise UserError(f"payment {row} was refused, so there is nothing to prove")
    if isinstance(state, PlanState) and state.request and (state.last or state.parts):
        request = PaymentRequest.decode(state.request)
        pieces = pieces_of(books.purse, state)
        orders = [piece.orders[piece.paid_by] for piece in pieces if piece.paid_by]
        if state.phase not in FINAL:
            raise UserError(f"operation {row} isn't settled, so there is nothing to prove yet")
        state = stored[state.last].state if state.last else None
    if not isinstance(state, OrderState) or isinstance(state, ForeignState):
        raise UserError(f"operation {row} is no payment of yours; see `mixmint wallet history`")
    if request is None and state.parent:
        plan = stored[state.parent].state
        if isinstance(plan, PlanState) and plan.request:
            request = PaymentRequest.decode(plan.request)
    if state.phase is not Phase.SETTLED:
        raise UserError(f"operation {row} isn't settled, so there is nothing to prove yet")
    return Paid(tuple(orders) or (state,), request)


def _keys_of(books: Books, row: int, order: OrderState) -> dict[bytes, SigningKey]:
    """The keys of an order's coins, by their public keys."""
    found = [books.purse.coin(coin) for coin in input_ids(order.order)]
    keys = [each[1].key() for each in found if each is not None]
    if len(keys) != len(found):
        raise UserError(f"the coins of operation {row} were handed to you by somebody; only he can prove it")
    return {key.public: key for key in keys}


async def make_receipt(
    books: Books, log: LogReader, row: int, to: str, show: Collection[Part] = tuple(Part)
) -> Receipt:
    """
    Prove the payment in ``row`` to a reader, whom ``to`` names, with these parts of its mark opened.

    Raises UserError (also when the board can't prove it), Unavailable.
    """
    paid, text = paid_by_us(books, row), check_to(to)
    shown = []
    for state in paid.orders:
        order, by_public = state.opened, _keys_of(books, row, state)
        signed = tuple(
            by_public[public].sign(RECEIPT_LABEL, order.seal, text.encode()) for public in order.order.inputs
        )
        try:
            rounds = (state.spent_in or state.round, state.round)
            coins = [output.coin for output in order.order.outputs]
            entries = await entries_of(log, order.seal, order.order.inputs, coins, [rounds])
        except (PeerError, MalformedMessage) as error:
            raise UserError(f"the board doesn't prove this payment ({error}); try a mirror") from None
        opening = Mark.decode(state.mark).open(show) if state.mark else None
        shown.append(ShownOrder(order, signed, opening, entries))
    shows_request = all(state.mark for state in paid.orders) and Part.REQUEST in show
    keys = books.bank.keys
    request = paid.request if shows_request else None
    return Receipt(text, tuple(shown), request, keys.founding, keys.changes)


async def entries_of(
    log: LogReader,
    seal: bytes,
    inputs: Collection[bytes],
    coins: Collection[bytes],
    spans: Sequence[tuple[int, int]],
) -> tuple[LogProof, ...]:
    """
    Proofs of an executed order's entries, and of their rounds' marks. What they prove is for their reader to
    verify. ``coins``: the ids of its outputs. ``spans``: the rounds to read, from one up to another, in their
    order; the first of all is the one that spent the order's coins, in which the bank's certificates are too.

    Raises Unavailable, PeerError (they aren't all there), MalformedMessage.
    """
    published = await log.checkpoint()
    size, wanted = published.checkpoint.size, {*coins, *inputs}
    found: dict[bytes, tuple[int, bytes]] = {}
    is_first = True
    for first, last in spans:
        start, end = await find_round(log, published, first)
        if last > first:
            _, end = await find_round(log, published, last)
        new: dict[bytes, tuple[int, bytes]] = {}
        async for at, leaves in log.bundles(start, end + 1, size):
            for index, leaf in enumerate(leaves, at):
                if is_mark(leaf):
                    if new:
                        found |= {**new, b"mark" + index.to_bytes(8): (index, leaf)}
                    new, is_first = {}, False
                    continue
                what = _what(leaf, seal)
                # A certificate that its holder posted beside the bank's is the same certificate.
                if what in wanted and what not in found and (is_first or leaf[0] == Kind.POSTED):
                    new.setdefault(what, (index, leaf))
    if not found.keys() >= wanted:
        raise PeerError("entries", f"the order's entries aren't all in round {spans[0][0]}")
    return tuple(
        [
            LogProof(index, tuple(await log.inclusion(index, size)), published.note, leaf)
            for index, leaf in sorted(found.values())
        ]
    )


_COINS = tuple(kind.to_bytes(1) for kind in (Kind.CERTIFIED, Kind.SPENT, Kind.POSTED))


def _what(leaf: bytes, seal: bytes) -> bytes:
    """What a leaf is about: a certified coin's id, the key of a coin spent under this seal."""
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
