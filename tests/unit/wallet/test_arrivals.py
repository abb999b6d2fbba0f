"""What came of a request: in part, with other values, late, while the payee was away; and refunds."""

import os

import pytest

from bank.formats.coin import CoinKey
from bank.formats.order import Order, Output, sign_order
from bank.formats.request import encode_request
from mixmint.errors import UserError
from replyblocks.service import Request
from tests.unit.wallet.test_holding import patient, payer, rounds
from tests.unit.wallet.town import Town, Wallet
from wallet.arrivals import refunds_of
from wallet.machines.steps import Phase
from wallet.payment_request import PaymentRequest
from wallet.purse import CoinState


async def pay_oddly(town: Town, ann: Wallet, outputs: tuple[Output, ...]) -> None:
    """A payer with a wallet of his own kind pays these ids and values, whatever the request says."""
    keys = []
    for output in outputs:
        found = ann.purse.coins(CoinState.FREE).items()
        row, record = next((row, each) for row, each in found if each.exponent == output.exponent)
        with ann.purse.transaction():
            ann.purse.change_coin(row, record, state=CoinState.SPENT)
        keys.append(record.key())
    inputs = tuple(sorted(CoinKey(key.public) for key in keys))
    ascending = tuple(sorted(outputs, key=lambda output: output.coin))
    order = Order(town.signer.bank, os.urandom(16), 2**31, inputs, ascending)
    await town.bank.handle([Request(os.urandom(16), encode_request(sign_order(order, keys)))])
    await town.tick()


def of(request: PaymentRequest, units: int) -> Output:
    return next(output for output in request.outputs if 1 << output.exponent == units)


async def test_paid_in_part_is_shown_as_partial(town: Town) -> None:
    """9 of 25 units: not paid, and the rest may come; then it is."""
    ann, bob = await payer(town), patient(town, "bob")
    row, request = await bob.cashier.request(25, "")
    await pay_oddly(town, ann, (of(request, 8), of(request, 1)))
    await bob.teller.sync()
    some = bob.cashier.payee.arrivals(row)
    assert (some.word, some.came, some.asked) == ("partial", 9, 25)
    assert "may come until round" in some.advice(request.last_round)
    await pay_oddly(town, ann, (of(request, 16),))
    assert await bob.cashier.look_for(row) is not None
    assert bob.cashier.payee.arrivals(row).word == "paid"


async def test_other_values_are_the_payees_and_pay_nothing(town: Town) -> None:
    """One id paid with 16 for 8: more than asked in sum, and the request can't be paid any more."""
    ann, bob = await payer(town), patient(town, "bob")
    row, request = await bob.cashier.request(9, "")
    await pay_oddly(town, ann, (Output(of(request, 8).coin, 4), of(request, 1)))
    await bob.teller.sync()
    odd = bob.cashier.payee.arrivals(row)
    assert (odd.word, odd.came, odd.odd) == ("partial", 17, 1)
    assert "refund" in odd.advice(request.last_round)
    assert bob.units() == 17


async def test_paid_after_its_end_is_shown_as_late(town: Town) -> None:
    """A payer can have his order executed with a later last round; it is paid, and the payee is told."""
    ann, bob = await payer(town), patient(town, "bob", request_rounds=5, grace_rounds=2)
    row, request = await bob.cashier.request(9, "")
    await rounds(town, 9)
    assert (await bob.cashier.look_for(row)).state.phase is Phase.EXPIRED
    await pay_oddly(town, ann, request.outputs)
    await bob.teller.sync()
    late = bob.cashier.payee.arrivals(row)
    assert (late.word, late.late) == ("paid", 9)
    assert "after the request's end" in late.advice(request.last_round)


async def test_cancelled_request_still_shows_what_comes(town: Town) -> None:
    """A copy of it is out there, and its ids are ours for ever."""
    ann, bob = await payer(town), patient(town, "bob")
    row, request = await bob.cashier.request(9, "")
    await bob.cashier.cancel(row)
    assert bob.cashier.payee.arrivals(row).word == "cancelled"
    await bob.cashier.cancel(row)
    await ann.cashier.pay(request, now=True)
    await bob.teller.sync()
    assert (bob.cashier.payee.arrivals(row).word, bob.units()) == ("paid", 9)
    with pytest.raises(UserError, match="no payment request"):
        await bob.cashier.cancel(row + 5)
    other, second = await bob.cashier.request(1, "")
    await ann.cashier.pay(second, now=True)
    await bob.teller.sync()
    with pytest.raises(UserError, match="paid already"):
        await bob.cashier.cancel(other)


async def test_refund_goes_to_ids_that_the_payer_gave_and_not_twice(town: Town) -> None:
    """By hand; what was paid back stands beside the request."""
    ann, bob = await payer(town), patient(town, "bob")
    row, request = await bob.cashier.request(9, "")
    with pytest.raises(UserError, match="nothing has come"):
        await bob.cashier.refund(row, request, now=True)
    await ann.cashier.pay(request, now=True)
    await bob.teller.sync()
    _, part = await ann.cashier.request(8, "half of it back")
    assert (await bob.cashier.refund(row, part, now=True)).state.phase is Phase.SETTLED
    assert list(refunds_of(row, bob.purse.operations()).values()) == [8]
    _, rest = await ann.cashier.request(9, "")
    with pytest.raises(UserError, match="8 were paid back before"):
        await bob.cashier.refund(row, rest, now=True)
    with pytest.raises(UserError, match="paid back before"):
        await bob.cashier.refund(row, (await ann.cashier.request(8, ""))[1], now=True)
    await ann.teller.sync()
    assert (ann.units(), bob.units()) == (24, 1)


async def test_what_lost_its_certificate_is_not_paid_back(town: Town) -> None:
    """After a change of the bank's key a coin that was set aside may be no money: it hasn't come."""
    ann, bob = await payer(town), patient(town, "bob")
    row, request = await bob.cashier.request(8, "")
    await ann.cashier.pay(request, now=True)
    await bob.teller.sync()
    assert bob.cashier.payee.arrivals(row).came == 8
    found = bob.purse.coin(request.outputs[0].coin)
    assert found is not None
    with bob.purse.transaction():
        bob.purse.change_coin(*found, state=CoinState.RESERVED, certificate=b"")
    with pytest.raises(UserError, match="nothing has come"):
        await bob.cashier.refund(row, (await ann.cashier.request(8, ""))[1], now=True)


async def test_hundreds_of_requests_are_open_at_once(town: Town) -> None:
    """Each is paid by its own ids; a page of rounds is matched in one go."""
    ann, bob = await payer(town), patient(town, "bob")
    made = [await bob.cashier.request(1 + number % 3, "") for number in range(300)]
    for row, request in (made[7], made[150], made[299]):
        await ann.cashier.pay(request, now=True)
        assert await bob.cashier.look_for(row) is not None
    words = [bob.cashier.payee.arrivals(row).word for row, _ in made]
    assert (words.count("paid"), words.count("waiting")) == (3, 297)


async def test_payee_who_is_away_for_days_is_paid_all_the_same(town: Town) -> None:
    """His wallet is closed; the payer pays; thousands of rounds and an epoch go by; he comes back."""
    ann, bob = await payer(town), patient(town, "bob")
    row, request = await bob.cashier.request(13, "")
    town.close(bob)
    await ann.cashier.pay(request, now=False)
    epoch_s = town.signer.terms.epoch_s
    town.now_s += epoch_s
    for _ in range(4000):
        town.board.close_round()
    await town.tick()
    bob = patient(town, "bob")
    over = await bob.cashier.resume()
    assert [outcome.row for outcome in over] == [row]
    assert (bob.cashier.payee.arrivals(row).word, bob.units()) == ("paid", 13)
    assert (await bob.cashier.exchange(None)).state.units == 13
    assert {coin.epoch for coin in bob.purse.coins(CoinState.FREE).values()} == {int(town.now_s) // epoch_s}
