"""Held coins, late orders, expired requests: the board's clock decides, and nothing else."""

import os

import pytest

from bank.formats.coin import CoinKey
from bank.formats.order import Order, Output, sign_order, tau_of
from bank.formats.request import encode_request
from mixmint.errors import PendingError
from replyblocks.service import Request
from tests.unit.wallet.town import Town, Wallet
from wallet.bearer import Bearer
from wallet.machines.steps import Phase
from wallet.purse import CoinState


async def bearer_held_by_its_payer(town: Town) -> tuple[Wallet, Bearer]:
    """A payer hands over a coin that he has put on hold for an order of his own."""
    ann = town.wallet("ann")
    await town.fund(ann, 8)
    await ann.cashier.withdraw(8)
    (record,) = ann.purse.coins(CoinState.FREE).values()
    output = Output(os.urandom(32), 3)
    order = Order(
        town.signer.bank,
        os.urandom(16),
        1000,
        (CoinKey(record.key().public),),
        (output,),
        tau=tau_of(bytes(32)),
    )
    held = sign_order(order, [record.key()])
    await town.bank.handle([Request(bytes(16), encode_request(held))])
    return ann, Bearer(town.signer.bank, (record.coin(),))


async def test_held_coin_is_received_once_the_hold_is_over(town: Town) -> None:
    """Simon's "collision": wait for its last round, ask again."""
    _, bearer = await bearer_held_by_its_payer(town)
    bob = town.wallet("bob")
    outcome = await bob.cashier.receive(bearer)
    assert (outcome.state.phase, outcome.state.units) == (Phase.SETTLED, 8)
    assert len(bob.wire.asked) == 2


async def test_order_that_comes_too_late_frees_the_coins(town: Town) -> None:
    """Lost on its way for longer than it is valid: refused, tried again with a later last round, done."""
    # A claim would have to be answered on the board, and this town's bank reads no claims.
    ann, bob = town.wallet("ann", claims=False), town.wallet("bob", request_rounds=2000)
    await town.fund(ann, 8)
    await ann.cashier.withdraw(8)
    _, request = await bob.cashier.request(8, "")
    fates = iter(("lost",))
    ann.wire.fate = lambda: next(fates, "both")
    with pytest.raises(PendingError):
        await ann.cashier.pay(request, now=True)
    for _ in range(605):
        town.board.close_round()
    await town.feeder.step()
    await ann.cashier.resume()
    await bob.teller.sync()
    assert (ann.units(), bob.units()) == (0, 8)
    payments = [
        stored.state
        for stored in ann.purse.operations().values()
        if getattr(stored.state, "purpose", "") == "payment"
    ]
    assert [(each.phase, each.reason) for each in payments] == [
        (Phase.REFUSED, "too-late"),
        (Phase.SETTLED, ""),
    ]
