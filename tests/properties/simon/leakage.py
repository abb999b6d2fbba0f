"""
The leakage function: what an order shows beside random bytes, said from inside the payer's purse.

An exchange or payment v -> v shows a value and a time, nothing else; a payment from stock is one such order
for each of its coins. A split or a merge beforehand shows two coins of one holder. Only ``--now`` (and a hold
or a sealed payment) shows more: which coins come together, and of what values the outputs are. How many
orders a payment takes, and of which shapes, follows from the values of the payer's free coins, from which of
them are clean, from the amount and from the way to pay: from nothing else. That is this function;
docs/spec/simon.md and docs/THREATS.md say it in words.

A withdrawal or a deposit shows the account, its chain of statements, and the coins' values.
"""

from collections.abc import Sequence

from bank.formats.coin import coin_id, exponents_of
from bank.formats.order import SignedOrder
from bank.formats.request import decode_request
from mixmint.errors import MalformedMessage
from tests.properties.simon.party import How, Input, Party
from tests.properties.simon.views import BANK, Event
from wallet import matched
from wallet.plans import Exchange, Held, exact, merge, next_exchanges, pay_at_once
from wallet.purse import CoinState

Shape = tuple[tuple[int, ...], tuple[int, ...]]
"""An order's inputs and outputs, as exponents, ascending."""

_CONVERSATION_BYTES = 16


def shapes(given: Input, payer: Party) -> list[Shape]:
    """The orders that a payment will take, the payee's included, sorted: who pays plays no part in it."""
    free = payer.wallet.purse.coins(CoinState.FREE).items()
    held = [Held(row, record.exponent, record.is_clean) for row, record in free]
    if given.how is How.HAND_OVER:
        made, coins = _until_exact(held, given.units)
        return sorted([*made, *(((coin.exponent,), (coin.exponent,)) for coin in coins)])
    if given.how is How.INVOICE:
        made, coins = _until_one_each(held, given.units)
        return sorted([*made, *(((coin.exponent,), (coin.exponent,)) for coin in coins)])
    return sorted(_at_once(held, given.units))


def _until_exact(held: list[Held], units: int) -> tuple[list[Shape], list[Held]]:
    made: list[Shape] = []
    while True:
        coins = exact([coin for coin in held if coin.clean], units)
        if coins is not None:
            return made, coins
        held = _exchanged(held, next_exchanges(held, units), made)


def _until_one_each(held: list[Held], units: int) -> tuple[list[Shape], list[Held]]:
    made: list[Shape] = []
    exponents = exponents_of(units)
    while True:
        coins = matched.one_each(held, exponents)
        if coins is not None:
            return made, coins
        held = _exchanged(held, matched.next_exchanges(held, exponents), made)


def _at_once(held: list[Held], units: int) -> list[Shape]:
    made: list[Shape] = []
    paid = tuple(exponents_of(units))
    while True:
        payment = pay_at_once(held, units, len(paid))
        if payment is not None:
            return [*made, shape([coin.exponent for coin in payment.inputs], [*paid, *payment.change])]
        merged = merge(held)
        held = _exchanged(held, [merged] if merged else [], made)


def _exchanged(held: Sequence[Held], exchanges: Sequence[Exchange], made: list[Shape]) -> list[Held]:
    assert exchanges, "these coins can't pay it"
    rest = list(held)
    for exchange in exchanges:
        for coin in exchange.inputs:
            rest.remove(coin)
        made.append(shape([coin.exponent for coin in exchange.inputs], exchange.outputs))
        # Rows only tell coins of one value apart.
        row = max((coin.row for coin in rest), default=0) + 1000
        rest += [Held(row + at, exponent, clean=True) for at, exponent in enumerate(exchange.outputs)]
    return rest


def shape(inputs: Sequence[int], outputs: Sequence[int]) -> Shape:
    return tuple(sorted(inputs)), tuple(sorted(outputs))


def shown(events: Sequence[Event], values: dict[bytes, int]) -> list[Shape]:
    """The shapes of the orders that the bank got, sorted. ``values``: exponents by coin id, added to here."""
    found: dict[bytes, Shape] = {}
    for event in events:
        if event.whose != BANK or event.kind != "receives":
            continue
        try:
            request = decode_request(event.data[_CONVERSATION_BYTES + 1 :])
        except MalformedMessage:
            continue
        if isinstance(request, SignedOrder):
            for output in request.order.outputs:
                values[output.coin] = output.exponent
            inputs = [values[coin_id(key)] for key in request.order.inputs]
            found[request.seal] = shape(inputs, [output.exponent for output in request.order.outputs])
    return sorted(found.values())
