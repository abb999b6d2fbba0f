"""A payment coin by coin: orders v -> v, the first of them alone, the others at times of their own."""

from contextlib import suppress
from dataclasses import replace

import msgspec
import pytest

from mixmint.errors import PendingError, UserError
from tests.unit.wallet.test_crashes import CrashAt
from tests.unit.wallet.town import NOW_S, Crash, Town, Wallet
from wallet import views
from wallet.errands.apart import LEAST_ROUNDS
from wallet.machines.order import OrderState
from wallet.machines.steps import Phase
from wallet.marks.mark import Mark, Part
from wallet.outcome import Outcome
from wallet.payment_request import PaymentRequest
from wallet.purse import CoinState
from wallet.receipts.checking import Trusted, check_receipt
from wallet.receipts.receipt import is_receipt, read_receipt

SPREAD_S = 600.0
UNITS = 13


async def rich(town: Town, name: str, units: int = 25, **settings: object) -> Wallet:
    """A wallet with clean coins of 16 + 8 + 1 (or other ``units``), exchanged once."""
    wallet = town.wallet(name, **settings)
    await town.fund(wallet, units)
    await wallet.cashier.withdraw(units)
    await wallet.cashier.exchange(None)
    return wallet


def payments(wallet: Wallet) -> list[OrderState]:
    """The orders that pay somebody, the oldest first."""
    states = [stored.state for stored in wallet.purse.operations().values()]
    return [state for state in states if isinstance(state, OrderState) and state.purpose == "payment"]


def view(wallet: Wallet, row: int) -> dict[str, object]:
    return views.outcome(wallet.books, Outcome(row, wallet.purse.operation(row)))


def plan_of(wallet: Wallet) -> int:
    """The payment's row."""
    return payments(wallet)[0].parent


async def waiting(town: Town, *, rounds: int | None = None) -> tuple[Wallet, Wallet, int, PaymentRequest]:
    """Ann has paid the first of three coins of 13 units to Bob; the others wait for their times."""
    ann, bob = await rich(town, "ann"), town.wallet("bob")
    row, request = await bob.cashier.request(UNITS, "", rounds)
    with pytest.raises(PendingError, match=r"of 13 units are paid; the rest goes at times of its own"):
        await ann.cashier.pay(request, now=False, spread_s=SPREAD_S)
    assert len(payments(ann)) == 1
    return ann, bob, row, request


async def the_end(town: Town, wallet: Wallet) -> Outcome:
    """Somebody looks now and then, until the payment is over."""
    while True:
        town.now_s += SPREAD_S
        with suppress(PendingError):
            (over,) = await wallet.cashier.resume()
            return over


async def test_each_coin_is_paid_by_an_order_like_an_exchange(town: Town) -> None:
    """One input, one output of its value, no change; seals, notes and request ids have nothing in common."""
    ann, bob = await rich(town, "ann"), town.wallet("bob")
    row, request = await bob.cashier.request(UNITS, "two books")
    outcome = await ann.cashier.pay(request, now=False, note="for the roof")
    orders = payments(ann)
    assert [(len(each.order.inputs), each.mine) for each in orders] == [(1, ())] * 3
    assert {each.order.outputs[0] for each in orders} == set(request.outputs)
    # The guard is the same for whoever pays.
    assert orders[0].order.outputs == request.outputs[:1]
    for unique in ("note", "request_id"):
        assert len({getattr(each.order, unique) for each in orders}) == 3
    for each in orders:
        mark = Mark.decode(each.mark)
        assert mark.commitment() == each.order.note
        assert mark.parts[Part.REQUEST].content == request.digest()
        assert mark.parts[Part.NOTE].content == b"for the roof"
    assert (outcome.state.phase, outcome.state.units) == (Phase.SETTLED, UNITS)
    assert (await bob.cashier.look_for(row)).state.phase is Phase.SETTLED
    assert (ann.units(), bob.units()) == (12, UNITS)
    shown = view(ann, outcome.row)
    assert (shown["state"], shown["round"]) == ("settled", max(each.round for each in orders))
    assert sorted(each["units"] for each in shown["orders"]) == [1, 4, 8]


async def test_of_two_payers_one_is_refused_before_he_has_paid_anything(town: Town) -> None:
    """Both begin with the same coin; the second one has asked once, and all his coins are free again."""
    ann, eve, bob = await rich(town, "ann"), await rich(town, "eve"), town.wallet("bob")
    _, request = await bob.cashier.request(UNITS, "")
    await ann.cashier.pay(request, now=False)
    outcome = await eve.cashier.pay(request, now=False)
    assert (outcome.state.phase, outcome.state.reason) == (Phase.REFUSED, "taken")
    assert len(payments(eve)) == 1
    assert (eve.units(), eve.units(CoinState.RESERVED)) == (25, 0)
    with pytest.raises(UserError, match="was refused, so there is nothing to prove"):
        await eve.cashier.prove(outcome.row, "")
    with pytest.raises(UserError, match="was refused, so there is nothing to ask back"):
        await eve.cashier.ask_refund(outcome.row)
    await bob.teller.sync()
    assert bob.units() == UNITS


async def test_the_rest_goes_at_its_own_times(town: Town) -> None:
    """Each coin when its time has come, and signed only then. The payee sees what came so far."""
    ann, bob, row, _ = await waiting(town)
    plan = ann.purse.operation(plan_of(ann))
    times = sorted(part.due_s for part in plan.parts[1:])
    assert repr(plan.parts[1].coin) not in repr(plan.parts)
    assert NOW_S < times[0] < times[1] <= NOW_S + SPREAD_S
    assert ann.units(CoinState.RESERVED) == UNITS - (1 << payments(ann)[0].order.outputs[0].exponent)
    # It waits, and is nothing that holds anything else up.
    assert not ann.cashier.undecided()
    for _ in range(3):
        with pytest.raises(PendingError, match="the rest goes"):
            await ann.cashier.resume()
        await town.tick()
    assert len(payments(ann)) == 1
    assert (await bob.cashier.look_for(row)) is None
    first = view(bob, row)
    assert (first["state"], first["arrived"]) == ("partial", view(ann, plan_of(ann))["units"])
    town.now_s = times[0]
    with pytest.raises(PendingError, match="the rest goes"):
        await ann.cashier.resume()
    assert len(payments(ann)) == 2
    town.now_s = times[1]
    (over,) = await ann.cashier.resume()
    assert (over.state.phase, over.state.units) == (Phase.SETTLED, UNITS)
    assert len({each.order.last_round for each in payments(ann)}) == 3
    assert (await bob.cashier.look_for(row)).state.phase is Phase.SETTLED


async def test_the_rest_waits_no_longer_than_the_request_lives(town: Town) -> None:
    """When half of the rounds that were left are over, all that is left goes at once."""
    ann, bob, row, request = await waiting(town, rounds=60)
    plan = ann.purse.operation(plan_of(ann))
    assert town.board.closed < plan.until_round < request.last_round - 20
    while town.board.closed < plan.until_round:
        await town.tick()
    (over,) = await ann.cashier.resume()
    assert over.state.units == UNITS
    assert (await bob.cashier.look_for(row)).state.phase is Phase.SETTLED


@pytest.mark.parametrize("rounds", [5, LEAST_ROUNDS - 1])
async def test_what_ends_too_soon_is_paid_whole_or_not_at_all(town: Town, rounds: int) -> None:
    """The first coin would be paid, and the others would come too late."""
    ann, bob = await rich(town, "ann"), town.wallet("bob")
    row, request = await bob.cashier.request(UNITS, "", rounds)
    with pytest.raises(UserError, match="ends too soon to be paid coin by coin"):
        await ann.cashier.pay(request, now=False)
    assert not payments(ann)
    await ann.cashier.pay(request, now=True)
    assert (await bob.cashier.look_for(row)).state.phase is Phase.SETTLED


async def test_what_ends_before_the_first_coin_has_gone_is_not_paid(town: Town) -> None:
    """Nobody was there for long, with the coins ready: all of them are free again."""
    ann, bob = await rich(town, "ann"), town.wallet("bob")
    row, request = await bob.cashier.request(UNITS, "", 60)
    crash = CrashAt("coins-chosen", 1)
    crash.armed = True
    town.close(ann)
    crashing = town.wallet("ann", at=crash)
    with pytest.raises(Crash):
        await crashing.cashier.pay(request, now=False)
    town.close(crashing)
    while town.board.closed < request.last_round - 5:
        await town.tick()
    ann = town.wallet("ann")
    (over,) = await ann.cashier.resume()
    assert (over.state.phase, over.state.reason) == (Phase.REFUSED, "ending")
    assert (ann.units(), ann.units(CoinState.RESERVED)) == (25, 0)
    assert bob.cashier.payee.arrivals(row).came == 0


async def test_what_is_due_together_is_spread_once_more(town: Town) -> None:
    """Nobody was there for days: the coins don't go in one burst now."""
    ann, bob, row, _ = await waiting(town)
    town.now_s += 100 * SPREAD_S
    for paid in (2, 3):
        assert len(payments(ann)) == paid - 1
        with suppress(PendingError):
            await ann.cashier.resume()
        assert len(payments(ann)) == paid
        town.now_s += 100 * SPREAD_S
        await town.tick()
    assert len({each.order.last_round for each in payments(ann)}) == 3
    assert (await bob.cashier.look_for(row)).state.phase is Phase.SETTLED


async def test_near_the_requests_end_no_last_round_is_shared(town: Town) -> None:
    """An order that ends with its request would have the same unusual last round as its others."""
    ann, bob = await rich(town, "ann"), town.wallet("bob")
    row, request = await bob.cashier.request(UNITS, "", 400)
    outcome = await ann.cashier.pay(request, now=False)
    ends = {each.order.last_round for each in payments(ann)}
    assert len(ends) == 3
    assert request.last_round - 100 < min(ends) <= max(ends) <= request.last_round
    assert outcome.state.units == UNITS
    assert (await bob.cashier.look_for(row)).state.phase is Phase.SETTLED


async def test_a_clock_that_is_set_back_holds_nothing_up(town: Town) -> None:
    """The coins wait for the spread at most, from when somebody looks."""
    ann, _, _, _ = await waiting(town)
    town.now_s -= 3600
    with pytest.raises(PendingError, match=r"within \d+ min"):
        await ann.cashier.resume()
    for _ in range(2):
        town.now_s += SPREAD_S
        with suppress(PendingError):
            await ann.cashier.resume()
    assert (ann.purse.open_operations(), len(payments(ann))) == ({}, 3)


async def test_what_somebody_else_has_paid_meanwhile_ends_it_in_part(town: Town) -> None:
    """Who has a copy of the request can give its payee a coin: the payer keeps his, and is told."""
    ann, bob, row, request = await waiting(town)
    eve = await rich(town, "eve")
    await eve.cashier.pay(replace(request, outputs=request.outputs[1:2]), now=True)
    gift = 1 << request.outputs[1].exponent
    over = await the_end(town, ann)
    assert (over.state.phase, over.state.units) == (Phase.SETTLED, UNITS - gift)
    assert (ann.units(), ann.units(CoinState.RESERVED)) == (12 + gift, 0)
    shown = view(ann, over.row)
    assert (shown["state"], shown["reason"]) == ("paid with others", "taken")
    assert f"{UNITS - gift} of 13 units were paid by this wallet" in str(shown["meaning"])
    assert "ask-refund" not in str(shown["meaning"])
    with pytest.raises(UserError, match="has been paid already"):
        await ann.cashier.pay(request, now=False)
    # The payee has it all, whoever paid; the payer proves what was his.
    assert (await bob.cashier.look_for(row)).state.phase is Phase.SETTLED
    for _ in range(3):
        await town.tick()
    found = check_receipt(await ann.cashier.prove(over.row, ""), Trusted(town.board.maker.verifier))
    assert (found.problems, found.units, found.asked) == ((), UNITS - gift, UNITS)


async def test_what_comes_too_late_ends_it_in_part(town: Town) -> None:
    """The wallet was away until the request was over: what was kept is free again."""
    ann, bob, row, request = await waiting(town, rounds=40)
    paid = 1 << request.outputs[0].exponent
    while town.board.closed < request.last_round:
        await town.tick()
    (over,) = await ann.cashier.resume()
    assert (over.state.units, over.state.reason) == (paid, "expired")
    assert (ann.units(), len(payments(ann))) == (25 - paid, 1)
    await bob.teller.sync()
    assert view(bob, row)["arrived"] == paid


async def test_another_coin_pays_where_one_is_gone(town: Town) -> None:
    """Another copy of the wallet has spent a coin that was kept: one of its value is made from the others."""
    ann, bob, row, request = await waiting(town)
    plan = ann.purse.operation(plan_of(ann))
    with ann.purse.transaction():
        ann.purse.change_coin(*ann.purse.coin(plan.parts[1].coin), state=CoinState.LOST)
    over = await the_end(town, ann)
    assert (over.state.phase, over.state.units) == (Phase.SETTLED, UNITS)
    assert ann.units() == 12 - (1 << request.outputs[1].exponent)
    assert (await bob.cashier.look_for(row)).state.phase is Phase.SETTLED


async def test_an_answer_that_is_lost_holds_up_no_other_coin(town: Town) -> None:
    """The bank is silent about the second; the third goes when it is due, and is paid."""
    ann, _, _, request = await waiting(town)
    plan = ann.purse.operation(plan_of(ann))
    one, other = sorted(plan.parts[1:], key=lambda part: part.due_s)
    town.now_s = one.due_s
    ann.wire.fate = lambda: "lost"
    with pytest.raises(PendingError):
        await ann.cashier.resume()
    assert len(payments(ann)) == 2
    fates = iter(["lost", "both", "both"])
    ann.wire.fate = lambda: next(fates, "lost")
    town.now_s = other.due_s
    with pytest.raises(PendingError):
        await ann.cashier.resume()
    assert sorted(each.phase is Phase.SETTLED for each in payments(ann)) == [False, True, True]
    ann.wire.fate = lambda: "both"
    (over,) = await ann.cashier.resume()
    assert over.state.units == UNITS
    assert request.units == UNITS


@pytest.mark.parametrize("step", ["order-written", "before-asking", "answered", "answer-booked"])
async def test_a_crash_while_the_rest_goes_pays_each_coin_once(town: Town, step: str) -> None:
    """Dropped at each step of the second coin, opened again."""
    ann, bob, row, _ = await waiting(town)
    town.now_s += SPREAD_S
    crash = CrashAt(step, 1)
    crash.armed = True
    town.close(ann)
    crashing = town.wallet("ann", at=crash)
    with pytest.raises(Crash):
        await crashing.cashier.resume()
    town.close(crashing)
    again = town.wallet("ann")
    await the_end(town, again)
    assert not again.purse.open_operations()
    assert (await bob.cashier.look_for(row)).state.phase is Phase.SETTLED
    assert (again.units(), bob.units(), town.outstanding()) == (12, UNITS, 25)


async def test_the_board_corrects_what_the_bank_denied(town: Town) -> None:
    """A payment that ended in part is whole when the board shows the order that had been refused."""
    ann, _, _, _ = await waiting(town)
    over = await the_end(town, ann)
    row = over.row
    paid = payments(ann)[-1]
    number = next(at for at, each in ann.purse.operations().items() if each.state == paid)
    units = 1 << paid.order.outputs[0].exponent
    with ann.purse.transaction():
        ann.purse.set_operation(row, msgspec.structs.replace(over.state, units=UNITS - units, reason="taken"))
        ann.books._paid_after_all(number, paid)
    plan = ann.purse.operation(row)
    assert (plan.phase, plan.units, plan.reason) == (Phase.SETTLED, UNITS, "")


async def test_one_receipt_proves_all_of_it(town: Town) -> None:
    """Three orders in one file: whole, signed for its reader, and no order counts twice."""
    ann, bob = await rich(town, "ann"), town.wallet("bob")
    _, request = await bob.cashier.request(UNITS, "two books")
    outcome = await ann.cashier.pay(request, now=False, note="for the roof")
    for _ in range(3):
        await town.tick()
    receipt = await ann.cashier.prove(outcome.row, "question 17")
    data = receipt.encode()
    assert is_receipt(data)
    assert read_receipt(data) == receipt
    trusted = Trusted(town.board.maker.verifier)
    found = check_receipt(receipt, trusted)
    assert (found.problems, found.units, found.asked, found.note) == ((), UNITS, UNITS, "for the roof")
    assert found.round == max(each.round for each in payments(ann))
    one, other, third = receipt.orders
    for orders, why in (
        ((one, one, other, third), "an order is shown twice"),
        ((one, replace(other, signatures=third.signatures), third), "a signature for the reader is false"),
        ((one, replace(other, opening=third.opening), third), "isn't what the order binds"),
        ((one, replace(other, entries=third.entries), third), "doesn't show"),
    ):
        assert why in "; ".join(check_receipt(replace(receipt, orders=orders), trusted).problems)
    part = check_receipt(replace(receipt, orders=(one, other)), trusted)
    assert part.holds
    assert part.units < part.asked == UNITS
    assert check_receipt(replace(receipt, to="somebody else"), trusted).problems


async def test_what_a_payee_carries_out_is_one_order(town: Town) -> None:
    """A hold is captured whole or not at all; so its order shows its coins together."""
    ann, bob = await rich(town, "ann"), town.wallet("bob")
    _, request = await bob.cashier.request(UNITS, "", hold=True, reply=True)
    held = await ann.cashier.pay(request, now=False)
    order = ann.purse.operation(held.state.last)
    assert len(order.order.inputs) == len(order.order.outputs) == 3
