"""Which coins are churned and when; and a churn in a real purse, against the real bank."""

from collections.abc import Callable
from random import Random

import pytest

from mixmint.errors import UserError
from tests.unit.wallet.town import NOW_S, Crash, Town, Wallet
from wallet.anonymity.churn import Aim, Coin, all_left, due, is_over_rest, wait_s
from wallet.counter import Counter
from wallet.errands.churning import MOST_REFUSED, Churning
from wallet.errands.desk import Desk
from wallet.machines.order import OrderState
from wallet.machines.steps import Phase
from wallet.purse import CoinState
from wallet.teller import nothing


def test_each_coin_needs_what_it_lacks() -> None:
    """Coins that have it are left alone, and so are other values."""
    coins = [Coin(1, 3, 7, 0), Coin(2, 3, 7, 2), Coin(3, 1, 7, 1)]
    assert [coin.row for coin in due(coins, Aim(2), 7)] == [1, 3]
    assert all_left(coins, Aim(2), 7) == 3
    assert [coin.row for coin in due(coins, Aim(2, exponents=(3,)), 7)] == [1]


def test_a_lonely_coin_moves_to_the_newest_epoch_once() -> None:
    """There only other people make its crowd larger, so exchanging again would be for nothing."""
    aim = Aim(1, public=10)
    assert all_left([Coin(1, 3, 6, 5, public=4)], aim, 7) == 1
    assert all_left([Coin(1, 3, 7, 5, public=4)], aim, 7) == 0
    assert all_left([Coin(1, 3, 6, 5, public=10)], aim, 7) == 0
    assert all_left([Coin(1, 3, 6, 5)], aim, 7) == 0


def test_times_fill_the_stated_time_and_no_more() -> None:
    """A hundred exchanges in an hour: spread evenly on average, all of them in time, gaps of every length."""
    rng = Random(3)
    middles, gaps = [], []
    for _ in range(100):
        now_s = 0.0
        for number in range(100):
            gap_s = wait_s(100 - number, 3600 - now_s, rng)
            gaps.append(gap_s)
            now_s += gap_s
            if number == 49:
                middles.append(now_s)
        assert now_s <= 3600
    assert 1750 < sum(middles) / len(middles) < 1850
    # Exponential: a third of the gaps is longer than the mean, one in twenty three times as long.
    assert 0.33 < sum(gap > 36 for gap in gaps) / len(gaps) < 0.41
    assert 0.03 < sum(gap > 108 for gap in gaps) / len(gaps) < 0.07
    assert wait_s(0, 3600, rng) == wait_s(5, 0, rng) == 0.0


def test_coins_rest_for_exponential_times() -> None:
    """Ten coins that rest a day each: ten exchanges a day, however often one looks."""
    rng = Random(9)
    for passed_s in (30.0, 900.0):
        looks = int(100 * 86400 / passed_s)
        found = sum(is_over_rest(10, passed_s, 86400, rng) for _ in range(looks))
        assert 850 < found < 1100
    assert not any(is_over_rest(10, 1e9, 0, rng) for _ in range(100))
    assert not any(is_over_rest(0, 1e9, 1, rng) for _ in range(100))


class Clock:
    """A wallet's clock that tests move."""

    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


async def rich(town: Town, units: int, at: Callable[[str], None] = nothing) -> Wallet:
    """A wallet that has withdrawn so much."""
    ann = town.wallet("ann", at=at, settle_wait_s=30)
    await town.fund(ann, units)
    await ann.cashier.withdraw(units)
    return ann


def churning(wallet: Wallet, clock: Clock) -> Churning:
    """A churn's driver with a clock of its own."""
    desk = Desk(wallet.teller, Counter(wallet.books, clock), wallet.settings)
    return Churning(desk, clock, Random(1))


def exchanges(wallet: Wallet) -> list[OrderState]:
    """Every order that a wallet ever made."""
    states = [stored.state for stored in wallet.purse.operations().values()]
    return [state for state in states if isinstance(state, OrderState)]


async def test_a_churn_exchanges_one_coin_an_order_at_its_times(town: Town) -> None:
    """Nothing before its time; then one v -> v order each; in the end every coin has what was asked for."""
    ann, clock = await rich(town, 13), Clock()
    work = churning(ann, clock)
    row = await work.begin(Aim(2), 3600)
    assert work.progress(row).packets == 12
    began: list[float] = []
    progress = await work.go_on(row, 30)
    while not progress.is_over:
        assert progress.left + progress.under_way + progress.done == 6
        clock.now_s = progress.next_s - 0.001
        assert (await work.go_on(row, 30)).done == progress.done
        clock.now_s = progress.next_s
        began.append(clock.now_s)
        progress = await work.go_on(row, 30)
    assert (progress.phase, progress.done) == (Phase.SETTLED, 6)
    assert began == sorted(set(began))
    assert began[0] > NOW_S
    assert began[-1] <= NOW_S + 3600
    for order in exchanges(ann):
        assert (len(order.order.inputs), len(order.order.outputs)) == (1, 1)
    assert {coin.exchanges for coin in ann.purse.coins(CoinState.FREE).values()} == {2}
    assert ann.values() == [1, 4, 8]


async def test_what_is_late_is_done_at_once(town: Town) -> None:
    """A machine that was off: past the stated time everything that is left goes out, an order each."""
    ann, clock = await rich(town, 13), Clock()
    work = churning(ann, clock)
    row = await work.begin(Aim(1), 60)
    clock.now_s += 61
    progress = await work.go_on(row, 30)
    assert (progress.phase, progress.done) == (Phase.SETTLED, 3)


async def test_only_the_named_values_are_churned(town: Town) -> None:
    """`--value 4` leaves the others as they are."""
    ann, clock = await rich(town, 13), Clock()
    work = churning(ann, clock)
    row = await work.begin(Aim(1, exponents=(2,)), 0)
    assert (await work.go_on(row, 30)).is_over
    counts = {coin.units: coin.exchanges for coin in ann.purse.coins(CoinState.FREE).values()}
    assert counts == {1: 0, 4: 1, 8: 0}


async def test_other_commands_leave_a_churn_alone(town: Town) -> None:
    """Resuming neither waits for it nor calls it undecided; and there is one at a time."""
    ann, clock = await rich(town, 13), Clock()
    work = churning(ann, clock)
    row = await work.begin(Aim(3), 3600)
    assert await ann.cashier.resume() == []
    assert not ann.cashier.undecided()
    assert exchanges(ann) == []
    with pytest.raises(UserError, match="under way"):
        await work.begin(Aim(1), 60)
    work.stop(row)
    assert work.progress(row).is_over
    assert work.open() == 0


async def test_nothing_to_do_is_said(town: Town) -> None:
    """Coins that have been exchanged that often."""
    ann, clock = await rich(town, 4), Clock()
    await ann.cashier.exchange(None)
    with pytest.raises(UserError, match="nothing to do"):
        await churning(ann, clock).begin(Aim(1), 60)


@pytest.mark.parametrize("step", ["order-written", "before-asking", "answered", "answer-booked"])
async def test_killed_at_any_step_it_goes_on(town: Town, step: str) -> None:
    """Whatever was under way is finished, nothing is done twice, and the number of exchanges is as asked."""

    def die(at: str) -> None:
        if at == step and armed:
            raise Crash

    armed: list[bool] = []
    ann, clock = await rich(town, 5, die), Clock()
    row = await churning(ann, clock).begin(Aim(2), 600)
    armed.append(True)
    clock.now_s += 300

    async def work_on() -> None:
        while True:
            clock.now_s += 50
            await churning(ann, clock).go_on(row, 30)

    with pytest.raises(Crash):
        await work_on()
    town.close(ann)
    ann = town.wallet("ann", settle_wait_s=30)
    clock.now_s += 600
    await ann.cashier.resume()
    work = churning(ann, clock)
    for _ in range(6):
        progress = await work.go_on(row, 30)
    assert (progress.phase, progress.done) == (Phase.SETTLED, 4)
    assert {coin.exchanges for coin in ann.purse.coins(CoinState.FREE).values()} == {2}
    assert ann.values() == [1, 4]


async def test_a_bank_that_refuses_everything_ends_it(town: Town) -> None:
    """Not an endless row of orders."""
    ann, clock = await rich(town, 1), Clock()
    work = churning(ann, clock)
    row = await work.begin(Aim(1), 0)
    work._desk.last_round = lambda: 0  # type: ignore[method-assign]  # orders that are always too late
    for _ in range(MOST_REFUSED + 1):
        progress = await work.go_on(row, 30)
    assert (progress.phase, progress.reason) == (Phase.REFUSED, "too-late")
    assert ann.values() == [1]
