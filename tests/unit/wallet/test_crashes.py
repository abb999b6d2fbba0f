"""The process dropped at every named step, opened again, resumed: nothing lost or made, nothing twice."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mixmint.errors import PendingError
from tests.unit.wallet.town import Crash, Town, Wallet
from wallet.bearer import read_bearer
from wallet.machines.steps import Phase
from wallet.purse import CoinState

STEPS = (
    "plan-written",
    "order-written",
    "before-asking",
    "answered",
    "answer-booked",
    "board-booked",
    "coins-chosen",
    "file-written",
)


class CrashAt:
    """Ends the process when a step is reached for the nth time."""

    def __init__(self, step: str, time: int) -> None:
        self.step = step
        self.left = time
        self.armed = False

    def __call__(self, step: str) -> None:
        if self.armed and step == self.step:
            self.left -= 1
            if self.left == 0:
                raise Crash(step)


Work = Callable[[Wallet], Awaitable[object]]


async def crash_and_resume(town: Town, work: Work, step: str, time: int) -> tuple[Wallet, bool]:
    """Do ``work`` until the crash, then again from the disk; the new wallet, and whether it crashed."""
    crash = CrashAt(step, time)
    ann = town.wallet("ann", at=crash)
    await town.fund(ann, 32)
    await ann.cashier.withdraw(25)
    crash.armed = True
    crashed = False
    try:
        await work(ann)
    except Crash:
        crashed = True
    town.close(ann)
    # Answers that the post had not handed over yet wait there, as they would on disk.
    again = town.wallet("ann")
    for _ in range(3):
        try:
            await again.cashier.resume()
            break
        except PendingError:
            await town.tick()
    return again, crashed


def settled(wallet: Wallet) -> bool:
    return (
        all(
            stored.state.phase is Phase.SETTLED
            for stored in wallet.purse.operations().values()
            if not stored.is_open or stored.state.phase is not Phase.WORKING
        )
        and not wallet.purse.open_operations()
    )


@pytest.mark.parametrize("time", [1, 2, 4])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("now", [True, False])
async def test_payment_survives_a_crash_anywhere(town: Town, step: str, time: int, now: bool) -> None:
    """Paid once, whole, and every unit is either the payee's or the payer's."""
    bob = town.wallet("bob")
    row, request = await bob.cashier.request(13, "")
    ann, crashed = await crash_and_resume(town, lambda ann: ann.cashier.pay(request, now=now), step, time)
    assert settled(ann), ann.purse.operations()
    assert (await bob.cashier.look_for(row)).state.phase is Phase.SETTLED
    assert (ann.units(), bob.units(), town.outstanding()) == (12, 13, 25)
    if (step, time) == ("before-asking", 1):
        assert crashed


@pytest.mark.parametrize("time", [1, 2])
@pytest.mark.parametrize("step", STEPS)
async def test_withdrawal_happens_once_after_a_crash(town: Town, step: str, time: int) -> None:
    """The account is debited once, for coins that are there; or not at all, when nothing had been written."""
    ann, crashed = await crash_and_resume(town, lambda ann: ann.cashier.withdraw(7), step, time)
    assert not ann.purse.open_operations()
    written = len(ann.purse.operations()) == 2
    assert written or crashed
    more = 7 if written else 0
    assert (ann.units(), await town.balance(ann)) == (25 + more, 7 - more)
    assert town.outstanding() == 25 + more


@pytest.mark.parametrize("time", [1, 2, 4])
@pytest.mark.parametrize("step", STEPS)
async def test_deposit_happens_once_after_a_crash(town: Town, step: str, time: int) -> None:
    """What left the purse is in the account."""
    ann, _ = await crash_and_resume(town, lambda ann: ann.cashier.deposit(10), step, time)
    assert settled(ann)
    done = len(ann.purse.operations()) > 1
    assert (ann.units(), await town.balance(ann)) == ((15, 17) if done else (25, 7))


@pytest.mark.parametrize("time", [1, 2])
@pytest.mark.parametrize("step", STEPS)
async def test_hand_over_writes_the_file_in_the_end(town: Town, tmp_path: Path, step: str, time: int) -> None:
    """Coins that are marked as handed over are in the file, and the file's coins are nowhere else."""
    file = tmp_path / "coins"
    ann, _ = await crash_and_resume(town, lambda ann: ann.cashier.hand_over(5, file, now=False), step, time)
    assert settled(ann)
    if len(ann.purse.operations()) == 1:
        assert not file.exists()
        assert ann.units() == 25
        return
    bearer = read_bearer(file)
    assert bearer.units == 5
    assert (ann.units(), ann.units(CoinState.HANDED)) == (20, 5)
    bob = town.wallet("bob")
    assert (await bob.cashier.receive(bearer)).state.units == 5


@pytest.mark.parametrize("time", [1, 2, 3])
@pytest.mark.parametrize("step", STEPS)
async def test_receipt_of_bearer_coins_survives_a_crash(
    town: Town, tmp_path: Path, step: str, time: int
) -> None:
    """The secrets from the file are on the payee's disk before the first exchange."""
    file = tmp_path / "coins"
    giver = town.wallet("giver")
    await town.fund(giver, 5)
    await giver.cashier.withdraw(5)
    await giver.cashier.hand_over(5, file, now=True)
    bearer = read_bearer(file)
    ann, _ = await crash_and_resume(town, lambda ann: ann.cashier.receive(bearer), step, time)
    assert settled(ann)
    received = 5 if len(ann.purse.operations()) > 1 else 0
    assert ann.units() == 25 + received
    assert town.outstanding() == 30
