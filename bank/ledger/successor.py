"""
What a bank's successor answers to what its predecessor left behind. Pure.

He knows what the board shows: which coins are certified, which are spent and under which seal. So an order
that was executed there gets its first answer again, with certificates by the new key for exactly what the
board shows. And an order whose coins are spent under its own seal, but whose outputs are certified nowhere
(the predecessor fell silent, or what he signed stands above the cut), is certified now: for a stated number
of rounds after the change. The board shows that too, so whoever comes first has it for ever.

Nothing is certified twice with different values: an output that is on the books is answered as it is there.

Source: Simon, definition 6 and the inputs "recover"; docs/spec/succession.md, section 5.
"""

from collections.abc import Sequence

from bank.formats.answer import Body, Spent
from bank.formats.coin import coin_id
from bank.formats.entry import SpentEntry
from bank.formats.order import Output, SignedOrder
from bank.ledger.book import Book, Count, SpentCoin, Value
from bank.ledger.prepare import certified_entries
from bank.ledger.terms import Moment, Signer

FROM_THE_BOARD = -1
"""The epoch of a spent coin that a successor read on the board."""
UNCREDITED = -2
"""The same, spent after the balances were listed: if a deposit spent it, that isn't in them."""
UNCOUNTED = -3
"""The same as the first, of a coin that is certified nowhere on the board: it is in no count."""
NEITHER = -4
"""Both."""


def is_inherited(spent: SpentCoin) -> bool:
    """Whether it was read on the board by a successor."""
    return spent.epoch < 0


def first_answer(
    order: SignedOrder, spent: SpentCoin, signer: Signer, book: Book, moment: Moment
) -> Body | None:
    """
    The answer to an order that is no deposit and whose first spent coin is inherited, under its own seal.
    None: it has to be *spent*, with that seal.
    """
    outputs = order.order.outputs
    values = [book.value(output.coin) for output in outputs]
    missing = [output for output, value in zip(outputs, values, strict=True) if value is None]
    epochs = {value.epoch for value in values if value is not None}
    wrong = any(
        value is not None and value.exponent != output.exponent
        for output, value in zip(outputs, values, strict=True)
    )
    if wrong or len(epochs) > 1:
        # Not what this order asked for: the predecessor, or somebody else, had them certified otherwise.
        return None
    if not missing:
        return signer.certificates(outputs, epochs.pop(), spent.round)
    if moment.closed >= signer.answers_until:
        return None
    return _certify_now(order, missing, epochs.pop() if epochs else moment.epoch, signer, book, moment)


def _certify_now(
    order: SignedOrder, missing: Sequence[Output], epoch: int, signer: Signer, book: Book, moment: Moment
) -> Body | None:
    inputs, outputs = order.order.inputs, order.order.outputs
    values = [book.value(coin_id(key)) for key in inputs]
    known = [value for value in values if value is not None]
    if len(known) < len(inputs):
        return None
    if sum(1 << value.exponent for value in known) != sum(1 << output.exponent for output in outputs):
        return None
    round_ = signer.promised_round(moment)
    spent_now: list[int] = []
    for index, key in enumerate(inputs):
        # One that the predecessor left out is spent now; by now it may be another order's.
        before = book.spent(key)
        if before is None and _is_over(coin_id(key), known[index], book):
            book.take_back([inputs[each] for each in spent_now], ())
            return None
        if before is None and _spend(order, index, round_, book, moment):
            spent_now.append(index)
        elif before is None or before.seal != order.seal:
            book.take_back([inputs[each] for each in spent_now], ())
            return None if before is None else Spent(index, key, before.seal, before.signature)
    made: list[bytes] = []
    for output in missing:
        if not book.certify(output.coin, Value(output.exponent, epoch), order.seal, moment.closed):
            book.take_back([inputs[each] for each in spent_now], made)
            return None
        made.append(output.coin)
    _count_spent([known[index] for index in spent_now], book)
    enter_answered(order, round_, book)
    # What was spent before the change counts as deposited, so what comes of it counts as withdrawn.
    book.count(Count.WITHDRAWN, [Value(output.exponent, epoch) for output in missing])
    answer = signer.certificates(outputs, epoch, round_)
    certified = certified_entries(outputs, answer)
    book.publish(
        [
            *[entry for output, entry in zip(outputs, certified, strict=True) if output in missing],
            *[SpentEntry(inputs[each], order.seal, order.signatures[each]).encode() for each in spent_now],
        ]
    )
    return answer


def enter_answered(order: SignedOrder, round_: int, book: Book) -> None:
    """
    An inherited order's coins, all spent under its seal, got their answer now: count those that nobody
    counted, and enter the answer's round. Their values are on the books.
    """
    for key in order.order.inputs:
        spent, value = book.spent(key), book.value(coin_id(key))
        if spent is not None and value is not None and spent.epoch in (UNCOUNTED, NEITHER):
            _count_spent([value], book)
        book.answer_inherited(key, round_)


def owes_credit(order: SignedOrder, book: Book) -> bool:
    """Whether a deposit's coins were all spent by it, on the board, after the balances were listed."""
    found = [book.spent(key) for key in order.order.inputs]
    return all(
        spent is not None and spent.seal == order.seal and spent.epoch in (UNCREDITED, NEITHER)
        for spent in found
    )


def _is_over(coin: bytes, value: Value, book: Book) -> bool:
    """Of a retired epoch, or replaced: whether it was spent isn't to be seen any more, or it is paid out."""
    return value.epoch < book.retired() or book.has_ended(coin)


def _spend(order: SignedOrder, index: int, round_: int, book: Book, moment: Moment) -> bool:
    key = order.order.inputs[index]
    spent = SpentCoin(order.seal, order.signatures[index], round_, FROM_THE_BOARD)
    return book.spend(key, coin_id(key), spent, moment.closed)


def _count_spent(values: Sequence[Value], book: Book) -> None:
    book.count(Count.SPENT, values)
    book.count(Count.DEPOSITED, values)
