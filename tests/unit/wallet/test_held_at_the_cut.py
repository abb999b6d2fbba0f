"""Holds that were alive when the bank's key was changed: the hold ends with the key, the payment needn't."""

import pytest

from mixmint.keys import SigningKey
from tests.unit.wallet.succession import Handover
from tests.unit.wallet.test_holding import authorised, lapse, promised, rounds, whole
from tests.unit.wallet.town import Town, Wallet
from wallet.machines.foreign import ForeignState
from wallet.machines.steps import Phase
from wallet.purse import CoinState

NEW = SigningKey(b"n" * 32)


@pytest.fixture
def handover(town: Town) -> Handover:
    """Whose authorities every wallet knows that is made after it."""
    return Handover(town)


async def succeed(handover: Handover) -> None:
    """The bank is lost, and its successor takes over what the board shows."""
    await rounds(handover.town, 2)
    listed, cut = await handover.list_accounts(), handover.cut()
    await handover.lose()
    handover.change(NEW, cut)
    await handover.recover(NEW, listed)


async def follow(*wallets: Wallet) -> None:
    for wallet in wallets:
        await wallet.teller.sync()


@pytest.mark.parametrize("informed", [True, False], ids=["payee-knows", "payee-learns-it-now"])
async def test_payee_captures_after_the_change(town: Town, handover: Handover, informed: bool) -> None:
    """The successor knows of no hold, so it is asked for anew, and executed; nobody is called a liar."""
    ann, bob, row = await authorised(town)
    await succeed(handover)
    if informed:
        await follow(ann, bob)
        assert promised(ann).phase is Phase.KEPT
        assert ann.units(CoinState.RESERVED) == 13
    outcome = await bob.cashier.capture(row)
    assert outcome.state.phase is Phase.SETTLED
    await ann.cashier.resume()
    assert promised(ann).phase is Phase.SETTLED
    assert whole(town, ann, bob)
    assert not bob.books.evidence()
    assert not ann.books.evidence()


async def test_capture_that_was_under_way_goes_on(town: Town, handover: Handover) -> None:
    """The old bank never heard of it; the same order is held by the new one, then executed."""
    ann, bob, row = await authorised(town)
    order = await bob.cashier.payee.capture(row, None)
    state = bob.purse.operation(order)
    assert isinstance(state, ForeignState)
    assert (state.phase, state.unheld) == (Phase.ASKED, False)
    await succeed(handover)
    await bob.cashier.resume()
    after = bob.purse.operation(order)
    assert after is None or after.phase is Phase.SETTLED
    assert bob.cashier.payee.arrivals(row).word == "paid"
    await ann.cashier.resume()
    assert whole(town, ann, bob)


async def test_payer_has_his_coins_back_when_nobody_captures(town: Town, handover: Handover) -> None:
    """At the end of the hold that was, as if nothing had happened."""
    ann, bob, row = await authorised(town)
    await succeed(handover)
    await lapse(town, ann)
    await ann.cashier.resume()
    assert promised(ann).phase is Phase.EXPIRED
    assert (ann.units(), ann.units(CoinState.RESERVED)) == (25, 0)
    state = (await bob.cashier.capture(row)).state
    assert isinstance(state, ForeignState)
    assert (state.phase, state.reason) == (Phase.REFUSED, "spent")
    assert not bob.books.evidence()
    assert whole(town, ann, bob)
