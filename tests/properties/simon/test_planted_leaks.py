"""The comparison of views can fail: each leak, planted in the wallet's own code, is found at once."""

import asyncio
from collections.abc import Sequence
from typing import Any
from unittest import mock

import pytest

import bank.formats.order
import wallet.counter
import wallet.errands.paying
from mixmint.errors import PendingError
from tests.properties.simon.chains import UNITS, Chain, deaf, seen
from tests.properties.simon.party import WITHDRAW, How, Input
from tests.properties.simon.tapes import Tapes
from tests.properties.simon.views import first_difference
from tests.properties.simon.world import TICK_S
from wallet.errands.apart import Apart
from wallet.operations import PlanState
from wallet.parts import Piece
from wallet.plans import Held, Payment, pay_at_once
from wallet.teller import Teller

PAST = [Input("bob", WITHDRAW, 15 * 2 * UNITS)]
"""Bob has a past, Cid has none: what a careless wallet lets the bank see."""
MANY_COINS = 4


def chains_differ(how: How, units: int = UNITS, silent: int = 0, seed: int = 1) -> str:
    """The same chain over Bob and over Cid; ``silent``: messages that the bank doesn't answer at first."""
    ways = (How.HAND_OVER, how, How.HAND_OVER)
    mood = deaf(silent) if silent else None
    views = [
        seen(
            PAST + Chain((name,), ways).inputs()[:2] + [Input(name, "dan", units, how)],
            seed,
            mood=mood,
            after=3,
        )
        for name in ("bob", "cid")
    ]
    return first_difference(*views)


@pytest.mark.parametrize(
    ("how", "units", "silent"), [(How.INVOICE, UNITS, 2), (How.INVOICE, 24, 0), (How.NOW, 24, 0)]
)
def test_without_a_leak_nothing_differs(how: How, units: int, silent: int) -> None:
    """The runs in which the leaks below are planted."""
    assert chains_differ(how, units, silent) == ""


def test_a_delay_that_depends_on_the_party_is_seen() -> None:
    """A wallet that takes longer the more coins it has on file."""
    ask = Teller._ask

    async def late(teller: Teller, row: int, question: Any) -> Any:
        if len(teller.purse.coins()) > MANY_COINS:
            await asyncio.sleep(1.5 * TICK_S)
        return await ask(teller, row, question)

    with mock.patch.object(Teller, "_ask", late):
        assert chains_differ(How.INVOICE)


def test_a_delay_of_less_than_a_tick_is_no_leak() -> None:
    """The network's rounds hide it: the comparison isn't red for whatever is patched."""
    ask = Teller._ask

    async def late(teller: Teller, row: int, question: Any) -> Any:
        if len(teller.purse.coins()) > MANY_COINS:
            await asyncio.sleep(TICK_S / 10)
        return await ask(teller, row, question)

    with mock.patch.object(Teller, "_ask", late):
        assert chains_differ(How.INVOICE) == ""


def test_a_habit_of_asking_again_is_seen() -> None:
    """A wallet with a long history that asks a silent bank twice as often."""
    ask = Teller._ask

    async def impatient(teller: Teller, row: int, question: Any) -> Any:
        try:
            return await ask(teller, row, question)
        except PendingError:
            if len(teller.purse.coins()) > MANY_COINS:
                return await ask(teller, row, question)
            raise

    with mock.patch.object(Teller, "_ask", impatient):
        assert chains_differ(How.INVOICE, silent=2)


def test_a_pace_of_the_coins_of_a_payment_is_seen() -> None:
    """A wallet that waits the longer between a payment's coins the more of them it has."""
    left_s = Apart._left_s

    def unhurried(apart: Apart, plan: PlanState, piece: Piece) -> float:
        many = len(apart._desk.purse.coins()) > 2 * MANY_COINS
        return left_s(apart, plan, piece) * (2.0 if many else 1.0)

    with mock.patch.object(Apart, "_left_s", unhurried):
        assert any(chains_differ(How.INVOICE, units=24, seed=seed) for seed in range(3))


def test_a_choice_of_change_is_seen() -> None:
    """A wallet that fills up its own stock with the change of a payment."""

    def choose(coins: Sequence[Held], amount: int, paid_outputs: int) -> Payment | None:
        payment = pay_at_once(coins, amount, paid_outputs)
        if payment is None or len(coins) <= MANY_COINS - 1 or not payment.change:
            return payment
        *rest, last = payment.change
        return Payment(payment.inputs, (*rest, last - 1, last - 1))

    with mock.patch.object(wallet.errands.paying, "pay_at_once", choose):
        assert chains_differ(How.NOW, units=24)


def test_an_order_of_outputs_that_tells_roles_is_seen() -> None:
    """What is paid first, then the change; and a bank that doesn't refuse such orders, as ours does."""
    segment = [Input("ann", WITHDRAW, 2), Input("ann", "bob", 2), Input("bob", "cid", 1, How.NOW)]
    first, then = Input("bob", "dan", 1), Input("cid", "dan", 1)
    renamed = {"payer of 3": "payee of 3", "payee of 3": "payer of 3"}

    def differ(seed: int) -> str:
        one = seen([*segment, first, then], Tapes(seed), sealed=True)
        other = seen([*segment, then, first], Tapes(seed, coins=renamed), sealed=True)
        return first_difference(one, other)

    def as_they_come(items: Any, key: Any = None) -> Any:
        return list(items) if key else sorted(items)

    with (
        mock.patch.object(wallet.counter, "sorted", as_they_come, create=True),
        mock.patch.object(bank.formats.order, "pairwise", return_value=()),
    ):
        assert any(differ(seed) for seed in range(2))
