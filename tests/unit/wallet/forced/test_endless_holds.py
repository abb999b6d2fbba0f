"""A bank that names something in an order's way again and again: the coins come back all the same."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bank.formats.answer import Body, Held, Spent, Taken, sign_answer, sign_promise
from bank.formats.order import Order, SignedOrder, sign_order
from bank.formats.request import decode_request
from mixmint.errors import PendingError
from tests.unit.wallet.forced.court import Court
from tests.unit.wallet.town import Wallet
from wallet.machines.order import OrderState
from wallet.machines.promised import SILENT_ROUNDS, PromisedState
from wallet.machines.steps import Phase
from wallet.operations import PlanState, Want
from wallet.purse import CoinState

FAR = 2**32 - 1
"""A round that no board ever closes."""
Lie = Callable[[Court, Wallet, SignedOrder], Body]


def promised_to_a_stranger(court: Court, _: Wallet, asked: SignedOrder) -> Body:
    """The payee's id, by the bank's word alone."""
    coin = asked.order.outputs[0].coin
    return Taken(0, sign_promise(court.key, court.signer.bank, coin, bytes(32), FAR))


def held_by_an_earlier_order(court: Court, ann: Wallet, asked: SignedOrder) -> Body:
    """An order of the payer's own that came to nothing: the bank has his coin's signature of it."""
    found = ann.purse.coins(CoinState.RESERVED).values()
    (key,) = [each.key() for each in found if each.key().public == asked.order.inputs[0]]
    order = Order(asked.order.bank, bytes(16), 1, (asked.order.inputs[0],), asked.order.outputs)
    before = sign_order(order, [key])
    return Held(0, asked.order.inputs[0], before.seal, before.signatures[0], FAR)


LIES: dict[str, Lie] = {"promised": promised_to_a_stranger, "held": held_by_an_earlier_order}


def lie_about_payments(court: Court, wallet: Wallet, lie: Lie) -> None:
    """The bank never carries this wallet's first payment out, and lies about why."""
    honest: Callable[[bytes, bytes, int, float], Awaitable[bytes]] = wallet.wire.ask

    async def ask(conversation: bytes, body: bytes, expires_s: int, timeout_s: float) -> bytes:
        asked = decode_request(body)
        order = payment(wallet)
        if order.purpose != "payment" or body != order.question():
            return await honest(conversation, body, expires_s, timeout_s)
        assert isinstance(asked, SignedOrder)
        return sign_answer(court.key, court.signer.bank, asked.seal, lie(court, wallet, asked))

    wallet.wire.ask = ask  # type: ignore[method-assign]  # the wire to a lying bank


def payment(wallet: Wallet) -> OrderState:
    """The wallet's first order that pays; before there is one, any other."""
    states = [stored.state for stored in wallet.purse.operations().values()]
    orders = [state for state in states if isinstance(state, OrderState)]
    return next((order for order in orders if order.purpose == "payment"), orders[-1])


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_what_is_in_the_way_for_ever_keeps_no_coin_for_ever(court: Court, lie: Lie) -> None:
    """
    Up to the order's last round it may be true. After it an honest bank says "too late": so the command ends,
    and what the bank owes is claimed. There it says so, and the coins are free.
    """
    ann, bob = await court.funded(order_rounds=10), court.wallet("bob")
    await ann.cashier.exchange(None)
    _, request = await bob.cashier.request(8, "")
    lie_about_payments(court, ann, lie)
    with pytest.raises(PendingError, match="held-past-its-end"):
        async with asyncio.timeout(60):
            await ann.cashier.pay(request, now=True)
    await court.resume_until(ann)
    assert (payment(ann).phase, payment(ann).reason) == (Phase.REFUSED, "too-late")
    assert len(court.claims()) == 1
    await bob.teller.sync()
    assert (ann.units(), bob.units()) == (0, 8)


async def test_a_hold_that_the_bank_ignores_keeps_no_coin(court: Court) -> None:
    """It isn't claimed. After its end the coins are exchanged, and that can be."""
    ann, bob = await court.funded(order_rounds=10), court.wallet("bob")
    await ann.cashier.exchange(None)
    _, request = await bob.cashier.request(8, "", hold=True, reply=True)
    ann.wire.fate = lambda: "lost"
    with pytest.raises(PendingError):
        await ann.cashier.pay(request, now=True)
    await court.ticks(10 + SILENT_ROUNDS)
    ann.wire.fate = lambda: "both" if court.claims() else "lost"
    await court.resume_until(ann)
    states = [stored.state for stored in ann.purse.operations().values()]
    assert [state.phase for state in states if isinstance(state, PromisedState)] == [Phase.EXPIRED]
    (plan,) = [each for each in states if isinstance(each, PlanState) and each.want is Want.PAY]
    assert (plan.phase, plan.reason) == (Phase.REFUSED, "untold")
    assert (ann.units(), len(court.claims())) == (8, 1)


async def test_an_order_that_was_refused_spends_nothing(court: Court) -> None:
    """
    The bank refused a payment for good, and has the coin's signature of it. When it names that as what spent
    the coin, its two answers are kept, and the coin is asked for in public.
    """
    ann, eve, bob = await court.funded(), await court.funded("eve"), court.wallet("bob")
    await ann.cashier.exchange(None)
    _, request = await bob.cashier.request(8, "")
    await eve.cashier.pay(request, now=True)
    outcome = await ann.cashier.pay(request, now=True)
    refused = payment(ann)
    assert (outcome.state.phase, refused.reason, ann.units()) == (Phase.REFUSED, "taken", 8)
    honest = ann.wire.ask

    async def ask(conversation: bytes, body: bytes, expires_s: int, timeout_s: float) -> bytes:
        asked = decode_request(body)
        if court.claims() or not isinstance(asked, SignedOrder):
            return await honest(conversation, body, expires_s, timeout_s)
        spent = Spent(0, asked.order.inputs[0], refused.opened.seal, refused.opened.signatures[0])
        return sign_answer(court.key, court.signer.bank, asked.seal, spent)

    ann.wire.ask = ask  # type: ignore[method-assign]  # the wire to a lying bank
    await ann.cashier.exchange(None)
    assert ann.units(CoinState.DISPUTED) == 8
    assert "refused-and-spent" in {path.name.rpartition("-")[0] for path in ann.books.evidence()}
    await court.resume_until(ann)
    assert (ann.units(), len(court.claims())) == (8, 1)
