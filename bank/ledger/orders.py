"""
Exchange, hold, execute: Simon's "coin exchange", in one step and in two.

Every rule is checked in one fixed order, so that the same order on the same books has one answer:

1. every input was certified (else *refused*, UNKNOWN_CERTIFICATE);
2. the sums are equal (else *refused*, SUMS);
3. it is not too late, and no coin is too old (else *spent* if a coin is, or *refused*);
4. no input is spent (*spent*, or the order's own first answer), or held by another order (*held*);
5. no output id is certified or promised (*taken*).

Steps 4 and 5 of an exchange are the store's primary keys; whatever was entered before the step that fails is
taken back, so an order happens whole or not at all.
"""

from collections.abc import Collection, Sequence

from bank.formats.answer import (
    Body,
    CertifiedBefore,
    Held,
    Hold,
    Refusal,
    Refused,
    Spent,
    Taken,
    sign_promise,
)
from bank.formats.coin import MOST_EXPONENT, sign_certificate
from bank.formats.order import Order, Output, SignedOrder, input_ids, tau_of
from bank.formats.request import Execute
from bank.ledger.book import Book, Count, LivePromise, SpentCoin, Value
from bank.ledger.prepare import Exchange, certify_ahead, entries_of
from bank.ledger.successor import first_answer, is_inherited
from bank.ledger.terms import Age, Moment, Signer
from mixmint.errors import FatalError

EXCHANGEABLE = frozenset({Age.GOOD, Age.LAST, Age.GRACE})
MOST_HELD_COINS = 50_000
"""At a time, over all orders. Each hold takes a certified coin for each place it fills, so nobody fills more
than he has coins; exchanges, which need no place, go on whatever is held. Who gets one: ``least_units``."""
KEEP_ROUNDS = 16
"""What was held and never executed stays on file for as many rounds as the hold lasted, and for these at
least: so a late h may still execute it, and yet nobody fills the books by holds that he lets lapse."""
HOLDABLE = frozenset({Age.GOOD})
"""A hold ends before its coins do: rounds are much shorter than the epoch that is left."""


def exchange(prepared: Exchange, signer: Signer, book: Book, moment: Moment) -> bytes:
    """Execute a one-step order; the signed answer."""
    order = prepared.order
    if prepared.certificates.round <= moment.closed:
        # The promised round closed while the order was checked. To promise the past is to be late, and
        # beside a hold that has lapsed since it would pass for an execution under that hold.
        prepared = certify_ahead(order, signer, moment)
    values = values_of(order, prepared.coins, signer, book, moment, EXCHANGEABLE)
    if not isinstance(values, list):
        return signer.answer(order.seal, values)
    if units_of(values) != output_units(order.order):
        return signer.answer(order.seal, Refused(Refusal.SUMS))
    obstacle = enter(order, prepared.coins, values, prepared.certificates.round, signer, book, moment)
    if obstacle is not None:
        return signer.answer(order.seal, obstacle)
    book.publish(prepared.entries)
    return prepared.answer


def hold(order: SignedOrder, signer: Signer, book: Book, moment: Moment) -> Body:
    """Put a two-step order on hold (Simon's "yes", "no" and "collision")."""
    held = book.held(order.seal)
    if held is not None:
        return Hold(held.from_round, held.to_round)
    coins = input_ids(order.order)
    values = values_of(order, coins, signer, book, moment, HOLDABLE)
    if not isinstance(values, list):
        return values
    if units_of(values) != output_units(order.order):
        return Refused(Refusal.SUMS)
    for index, coin in enumerate(coins):
        obstacle = _spent(order, index, signer, book, moment) or _held(order, index, coin, book, moment)
        if obstacle is not None:
            return obstacle
    for index, output in enumerate(order.order.outputs):
        taken = _taken(index, output, signer, book, moment)
        if taken is not None:
            return taken
    held_then = book.live_holds(moment.closed, MOST_HELD_COINS) + len(coins)
    if held_then > MOST_HELD_COINS or units_of(values) < least_units(held_then) * len(coins):
        return Refused(Refusal.BUSY)
    # The hold begins with the round that is open now and ends with one that is: ranges of two holds on one
    # coin never touch, which anyone can see who is shown both.
    to_round = min(moment.closed + signer.terms.hold_rounds, order.order.last_round)
    keep_round = to_round + max(KEEP_ROUNDS, to_round - moment.closed)
    book.hold(order, coins, moment.closed + 1, to_round, keep_round)
    # Nothing to publish, but a copy of the books from before this hold must not go unnoticed.
    book.publish(())
    return Hold(moment.closed + 1, to_round)


def least_units(held: int) -> int:
    """
    What coins must be worth, on average over the order, to be held as the last of so many.

    Holds are anonymous, so a fair share can't be one for each member. Half of the places are for any coin; in
    the other half the least worth doubles in steps, up to a coin of the highest value. So small coins, of
    which a member may have any number, leave half of the places free; and whoever will fill those too has to
    tie up twice as much money for each step.
    """
    crowded = held - MOST_HELD_COINS // 2
    step = max(1, MOST_HELD_COINS // 2 // MOST_EXPONENT)
    return 1 if crowded <= 0 else 1 << min(MOST_EXPONENT, -(-crowded // step))


def execute(request: Execute, signer: Signer, book: Book, moment: Moment) -> Body:
    """Execute a held order whose h is shown; also a late one, if nobody else took its coins and outputs."""
    held = book.held(request.seal)
    if held is None:
        return Refused(Refusal.NO_HOLD)
    order = held.order
    if order is None:
        return Spent(0, held.key, request.seal, held.signature)
    if tau_of(request.h) != order.order.tau:
        return Refused(Refusal.WRONG_H)
    if held.executed is not None:
        round_, epoch = held.executed
        return signer.certificates(order.order.outputs, epoch, round_)
    coins = input_ids(order.order)
    values = values_of(order, coins, signer, book, moment, EXCHANGEABLE)
    if not isinstance(values, list):
        return values
    round_ = signer.promised_round(moment)
    obstacle = enter(order, coins, values, round_, signer, book, moment)
    if obstacle is not None:
        return obstacle
    certificates = signer.certificates(order.order.outputs, moment.epoch, round_)
    book.publish(entries_of(order, certificates))
    book.execute_held(order, coins, round_, moment.epoch)
    return certificates


def output_units(order: Order) -> int:
    """What an order's outputs sum up to, in units."""
    return sum([1 << output.exponent for output in order.outputs])


def units_of(values: Sequence[Value]) -> int:
    """What coins of these values sum up to, in units."""
    return sum([1 << value.exponent for value in values])


def values_of(
    order: SignedOrder,
    coins: Sequence[bytes],
    signer: Signer,
    book: Book,
    moment: Moment,
    ages: Collection[Age],
) -> list[Value] | Body:
    """
    The values of an order's inputs; or why they can't be used: never certified, too late, too old.

    When it is too late, or a coin is too old, a coin that was spent answers *spent* all the same: that the
    order (or another) was executed says more than that it can't be executed any more. Of retired coins the
    books forget how they were spent; certificate and terms tell anyone that they are expired.
    """
    values: list[Value] = []
    old, retired = -1, book.retired()
    for index, coin in enumerate(coins):
        value = book.value(coin)
        if value is None:
            return Refused(Refusal.UNKNOWN_CERTIFICATE, index)
        values.append(value)
        # What is retired stays so: a clock that was put back brings no coin to life again.
        if value.epoch < retired or signer.terms.age(value.epoch, moment.age_epoch) not in ages:
            old = index
        elif signer.is_successor and book.has_ended(coin):
            # Replaced by the predecessor, whose retired epochs aren't on these books: by longer terms, or a
            # clock that is slow, the coin would live again beside the units that its account got for it.
            old = index
    if old >= 0 or moment.is_past(order.order.last_round):
        for index in range(len(coins)):
            spent = _spent(order, index, signer, book, moment)
            if spent is not None:
                return spent
        return Refused(Refusal.TOO_LATE) if old < 0 else Refused(Refusal.EXPIRED_COIN, old)
    return values


def enter(
    order: SignedOrder,
    coins: Sequence[bytes],
    values: Sequence[Value],
    round_: int,
    signer: Signer,
    book: Book,
    moment: Moment,
) -> Body | None:
    """
    Enter an order's inputs (ids, values) as spent and its outputs as certified, and count them: all of them
    and None, or nothing and the answer that says why.
    """
    inputs, outputs = order.order.inputs, order.order.outputs
    for index, key in enumerate(inputs):
        spent = SpentCoin(order.seal, order.signatures[index], round_, moment.epoch)
        if not book.spend(key, coins[index], spent, moment.closed):
            book.take_back(inputs[:index], ())
            return _spent(order, index, signer, book, moment) or _sure(
                _held(order, index, coins[index], book, moment)
            )
    made = [Value(output.exponent, moment.epoch) for output in outputs]
    for index, output in enumerate(outputs):
        if not book.certify(output.coin, made[index], order.seal, moment.closed):
            book.take_back(inputs, [earlier.coin for earlier in outputs[:index]])
            return _sure(_taken(index, output, signer, book, moment))
    book.count(Count.SPENT, values)
    if order.order.is_deposit:
        book.count(Count.DEPOSITED, values)
    else:
        book.count(Count.EXCHANGED, made)
    return None


def certify_all(
    outputs: Sequence[Output], subject: bytes, signer: Signer, book: Book, moment: Moment
) -> Body | None:
    """Certify a withdrawal's outputs and count them: all of them and None, or none of them and *taken*."""
    made = [Value(output.exponent, moment.epoch) for output in outputs]
    for index, output in enumerate(outputs):
        if not book.certify(output.coin, made[index], subject, moment.closed):
            book.take_back((), [earlier.coin for earlier in outputs[:index]])
            return _sure(_taken(index, output, signer, book, moment))
    book.count(Count.WITHDRAWN, made)
    return None


def _spent(order: SignedOrder, index: int, signer: Signer, book: Book, moment: Moment) -> Body | None:
    """
    What is answered when this input is spent; None when it isn't.

    Spent by this very order: its first answer again, built anew. The order itself brings its outputs, so the
    books hold nothing that ties outputs to inputs.
    """
    key = order.order.inputs[index]
    spent = book.spent(key)
    if spent is None:
        return None
    if spent.seal == order.seal and not order.order.is_deposit:
        if is_inherited(spent):
            proof = Spent(index, key, spent.seal, spent.signature)
            return first_answer(order, spent, signer, book, moment) or proof
        return signer.certificates(order.order.outputs, spent.epoch, spent.round)
    return Spent(index, key, spent.seal, spent.signature)


def _held(order: SignedOrder, index: int, coin: bytes, book: Book, moment: Moment) -> Held | None:
    live = book.hold_on(coin, moment.closed)
    if live is None:
        return None
    return Held(index, order.order.inputs[index], live.seal, live.signature, live.to_round)


def _taken(index: int, output: Output, signer: Signer, book: Book, moment: Moment) -> Taken | None:
    value = book.value(output.coin)
    if value is not None:
        certificate = sign_certificate(signer.key, signer.bank, value.exponent, value.epoch, output.coin)
        return Taken(index, CertifiedBefore(output.coin, value.exponent, value.epoch, certificate))
    promise: LivePromise | None = book.promise_of(output.coin, moment.closed)
    if promise is None:
        return None
    return Taken(index, sign_promise(signer.key, signer.bank, output.coin, promise.seal, promise.to_round))


def _sure(body: Body | None) -> Body:
    if body is None:
        raise FatalError("the store refused an entry that its books say is free; restore or recover it")
    return body
