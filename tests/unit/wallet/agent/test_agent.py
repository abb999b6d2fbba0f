"""The agent on a real purse, against the real bank: stock, figure, and no standing in the member's way."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from random import Random
from unittest.mock import Mock

import msgspec
import pytest
from click.testing import CliRunner
from prometheus_client import generate_latest

from bank.formats.entry import TermsEntry
from mixmint.errors import FatalError, PendingError, Unavailable, UserError
from mixmint.settings import load
from replyblocks.member import HomeInUse, lock_home
from tests.unit.wallet.town import NOW_S, Town, Wallet
from wallet.agent.commands import agent as agent_command
from wallet.agent.daemon import BUSY_STEPS, FAILED_STEPS, Agent, build_app
from wallet.agent.run import prepare
from wallet.agent.settings import AgentSettings
from wallet.anonymity.churn import Aim
from wallet.cashier import Cashier
from wallet.machines.order import OrderState
from wallet.machines.steps import Phase
from wallet.operations import is_wish
from wallet.purse import CoinState

EXAMPLE = Path(__file__).parents[4] / "configs" / "example" / "agent.toml"


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


class Kept:
    """An agent beside a wallet of the town; ``work`` lets time pass, a step each gap."""

    def __init__(self, wallet: Wallet, **changes: object) -> None:
        values = {
            "home": wallet.home,
            "operations_port": 1,
            "exchange_gap_s": 60,
            "stock": (1, 1, 1, 1),
            "rest_s": 0,
        }
        self.wallet = wallet
        self.clock = Clock()
        self.settings = AgentSettings(**(values | {"churn_to": 1, "hold_s": 60.0} | changes))
        self.agent = Agent(self.settings, self.open, now_s=self.clock, rng=Random(4))
        self.error: Exception | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Cashier]:
        if self.error is not None:
            raise self.error
        yield self.wallet.cashier

    async def work(self, gaps: float) -> None:
        until_s = self.clock.now_s + gaps * 60
        while self.clock.now_s < until_s:
            await self.agent.step()
            self.clock.now_s += 30

    def orders(self) -> list[OrderState]:
        states = [stored.state for stored in self.wallet.purse.operations().values()]
        return [state for state in states if isinstance(state, OrderState)]

    def exchanges(self) -> set[int]:
        """The free coins' own exchanges."""
        return {coin.exchanges for coin in self.wallet.purse.coins(CoinState.FREE).values()}

    def steps(self, how: str) -> float:
        return self.agent.metrics.registry.get_sample_value("mixmint_agent_steps_total", {"how": how}) or 0.0


async def kept(town: Town, units: int, **changes: object) -> Kept:
    ann = town.wallet("ann", settle_wait_s=30)
    await town.fund(ann, units)
    await ann.cashier.withdraw(units)
    return Kept(ann, **changes)


async def test_it_makes_the_stock_by_standard_exchanges(town: Town) -> None:
    """One coin of 16 becomes one of each value, and a spare one; each order has a standard shape."""
    place = await kept(town, 16)
    await place.work(40)
    assert place.wallet.values() == [1, 1, 2, 4, 8]
    assert 0 not in place.exchanges()
    for order in place.orders():
        shape = (len(order.order.inputs), len(order.order.outputs))
        assert shape in {(1, 1), (1, 2), (2, 1)}
        assert order.phase is Phase.SETTLED


async def test_a_payment_from_the_kept_stock_needs_no_exchange(town: Town) -> None:
    """What the exchanges were for: nothing is made on the spot, and each coin is paid as it is."""
    place, bob = await kept(town, 16), town.wallet("bob")
    await place.work(40)
    before = len(place.orders())
    _, request = await bob.cashier.request(7, "")
    outcome = await place.wallet.cashier.pay(request, now=False)
    assert outcome.state.phase is Phase.SETTLED
    payments = place.orders()[before:]
    assert [(each.purpose, each.mine) for each in payments] == [("payment", ())] * 3


async def test_no_coin_rests_for_ever(town: Town) -> None:
    """Stock and all: each coin moves again and again, so that one that is paid doesn't stand out."""
    place = await kept(town, 15, churn_to=0, rest_s=600)
    await place.work(30)
    first = {coin.id() for coin in place.wallet.purse.coins(CoinState.FREE).values()}
    before = len(place.orders())
    await place.work(60)
    made = place.orders()[before:]
    # Four coins, ten minutes each, an hour: some two dozen exchanges.
    assert 12 <= len(made) <= 36
    assert {(len(order.order.inputs), len(order.order.outputs)) for order in made} == {(1, 1)}
    assert first.isdisjoint(coin.id() for coin in place.wallet.purse.coins(CoinState.FREE).values())
    assert place.wallet.values() == [1, 2, 4, 8]


async def test_coins_are_renewed_ahead_of_their_expiry(town: Town) -> None:
    """Near the end of their life, v -> v, and not all of them in one step."""
    place = await kept(town, 15, stock=(), churn_to=0, rest_s=0, exchange_gap_s=60)
    terms = town.signer.terms.published(town.key, town.signer.bank, 1)
    with place.wallet.purse.transaction():
        place.wallet.books.learn_terms([TermsEntry(terms)], 0)
    place.wallet.cashier._now_s = place.clock
    old = {coin.epoch for coin in place.wallet.purse.coins(CoinState.FREE).values()}
    await place.work(4)
    assert place.agent.keeper.begun == 0
    # Two days before the end of the last epoch of their life.
    later_s = (min(old) + terms.life_epochs) * terms.epoch_s - 2 * 86400
    town.now_s = place.clock.now_s = later_s
    await place.agent.step()
    assert place.agent.keeper.begun == 2
    for _ in range(60):
        await place.agent.step()
        town.now_s = place.clock.now_s = place.clock.now_s + 1800
    new = {coin.epoch for coin in place.wallet.purse.coins(CoinState.FREE).values()}
    assert new == {min(old) + terms.life_epochs - 1}
    assert place.wallet.values() == [1, 2, 4, 8]
    assert len(place.orders()) == 4


async def test_coins_in_their_grace_do_not_wait_for_what_stays_open(town: Town) -> None:
    """An order that nobody ever answers mustn't cost the coins beside it."""
    place = await kept(town, 15, stock=(), churn_to=0, rest_s=0, exchange_gap_s=60)
    terms = town.signer.terms.published(town.key, town.signer.bank, 1)
    with place.wallet.purse.transaction():
        place.wallet.books.learn_terms([TermsEntry(terms)], 0)
    place.wallet.cashier._now_s = place.clock
    place.wallet.wire.fate = lambda: "lost"
    with pytest.raises(PendingError):
        await place.wallet.cashier.exchange(1)
    assert place.wallet.cashier.undecided()
    epoch = next(iter(place.wallet.purse.coins(CoinState.FREE).values())).epoch
    grace_s = (epoch + terms.life_epochs) * terms.epoch_s
    place.clock.now_s = grace_s - 86400
    await place.agent.step()
    assert place.agent.keeper.begun == 0
    place.clock.now_s = grace_s + 86400
    await place.agent.step()
    assert place.agent.keeper.begun == 3
    assert place.wallet.values() == []


async def test_a_machine_that_slept_does_not_make_up_for_it(town: Town) -> None:
    """One exchange at the most after a long night, not all coins at once."""
    place = await kept(town, 15, stock=(), churn_to=0, rest_s=600)
    place.clock.now_s += 86400
    await place.agent.step()
    assert place.agent.keeper.begun <= 1


async def test_without_resting_times_it_comes_to_rest(town: Town) -> None:
    """With stock and figure reached no order is made any more."""
    place = await kept(town, 15, churn_to=2)
    await place.work(60)
    assert place.exchanges() == {2}
    before = len(place.orders())
    await place.work(30)
    assert len(place.orders()) == before


async def test_exchanges_come_at_their_own_times(town: Town) -> None:
    """One at a time, gaps around the stated mean, none at the start."""
    place = await kept(town, 16, stock=(), churn_to=40)
    times: list[float] = []
    await place.agent.step()
    assert place.agent.keeper.begun == 0
    for _ in range(1200):
        before = place.agent.keeper.begun
        await place.agent.step()
        assert place.agent.keeper.begun - before in (0, 1)
        if place.agent.keeper.begun > before:
            times.append(place.clock.now_s)
        place.clock.now_s += 3
    gaps = [later - earlier for earlier, later in zip([NOW_S, *times], times, strict=False)]
    assert len(times) == 40
    assert 40 < sum(gaps) / len(gaps) < 85
    assert max(gaps) > 120
    assert min(gaps) < 20


async def test_it_leaves_the_members_own_wish_alone(town: Town) -> None:
    """While an operation is open the coins are his: the agent only helps it along."""
    place = await kept(town, 16)
    place.wallet.wire.fate = lambda: "lost"
    with pytest.raises(UserError):
        await place.wallet.cashier.exchange(None)
    await place.work(5)
    assert place.agent.keeper.begun == 0
    place.wallet.wire.fate = lambda: "both"
    await place.work(2)
    assert not place.wallet.cashier.undecided()


async def test_what_the_member_asks_for_is_told_and_what_the_agent_does_is_not(town: Town) -> None:
    """The history isn't drowned in exchanges that nobody asked for."""
    place = await kept(town, 16)
    await place.work(40)
    states = [stored.state for stored in place.wallet.purse.operations().values()]
    assert len(states) > 4
    assert len([state for state in states if is_wish(state)]) == 1


async def test_it_goes_on_with_a_churn_that_was_left_to_it(town: Town) -> None:
    """`wallet churn --leave` needs nobody else."""
    place = await kept(town, 13, stock=(), churn_to=0)
    row = await place.wallet.cashier.churning.begin(Aim(2), 0)
    await place.work(8)
    assert place.wallet.cashier.churning.progress(row).is_over
    assert place.exchanges() == {2}


async def test_trouble_is_said_after_some_steps_and_forgotten_with_the_next_good_one(town: Town) -> None:
    """One lost poll is nothing; a board that stays away is."""
    place = await kept(town, 4)
    place.error = Unavailable("the board can't be reached")
    for _ in range(FAILED_STEPS - 1):
        await place.agent.step()
    assert place.agent.trouble == ""
    await place.agent.step()
    assert place.agent.trouble == "the board can't be reached"
    place.error = None
    await place.agent.step()
    assert place.agent.trouble == ""
    assert (place.steps("failed"), place.steps("done")) == (FAILED_STEPS, 1)


async def test_a_command_at_work_is_no_trouble(town: Town) -> None:
    """It is the member's wallet."""
    place = await kept(town, 4)
    place.error = HomeInUse("another command")
    for _ in range(2 * FAILED_STEPS):
        await place.agent.step()
    assert place.agent.trouble == ""
    assert place.steps("busy") == 2 * FAILED_STEPS


async def test_a_home_that_is_never_free_is_trouble(town: Town) -> None:
    """No command works for so long: something hangs with the lock in its hand."""
    place = await kept(town, 4)
    place.error = HomeInUse("another command works on this home")
    for _ in range(BUSY_STEPS):
        await place.agent.step()
    assert "another command" in place.agent.trouble
    place.error = None
    await place.agent.step()
    assert place.agent.trouble == ""


async def test_steps_that_come_nowhere_in_their_time_are_trouble(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A board that never answers cuts each step off: nothing is done, and /healthz must say so."""
    place = await kept(town, 4, stock=(), hold_s=0.05)
    sync = place.wallet.teller.sync

    async def never() -> int:
        await asyncio.sleep(3600)
        return 0

    monkeypatch.setattr(place.wallet.teller, "sync", never)
    for _ in range(FAILED_STEPS):
        await place.agent.step()
    assert place.steps("late") == FAILED_STEPS
    assert "no step comes through" in place.agent.trouble
    monkeypatch.setattr(place.wallet.teller, "sync", sync)
    place.agent._settings = msgspec.structs.replace(place.settings, hold_s=60.0)
    await place.agent.step()
    assert place.agent.trouble == ""


async def test_a_long_way_on_the_board_is_no_trouble(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wallet that was away for months reads for many steps, each cut off and each farther."""
    place = await kept(town, 4, stock=(), hold_s=0.05)
    sync = place.wallet.teller.sync

    async def slowly() -> int:
        await town.tick()
        await sync()
        await asyncio.sleep(3600)
        return 0

    monkeypatch.setattr(place.wallet.teller, "sync", slowly)
    place.agent._settings = msgspec.structs.replace(place.settings, hold_s=1.0)
    await place.agent.step()
    assert (place.steps("cut"), place.steps("late")) == (1, 0)
    assert place.agent.trouble == ""


async def test_a_wallet_in_doubt_stops_it(town: Town) -> None:
    """Recovery decides, not another try."""
    place = await kept(town, 4)
    place.error = FatalError("the purse is damaged")
    with pytest.raises(FatalError):
        await place.agent.step()


async def test_a_step_that_takes_too_long_is_cut_and_goes_on_in_the_next(town: Town) -> None:
    """The home is free again in time, whatever the bank does; nothing is lost or done twice."""
    place = await kept(town, 8, stock=(), hold_s=0.2)
    place.wallet.wire.fate = lambda: "lost"
    place.clock.now_s += 3600
    await place.agent.step()
    assert place.wallet.units(CoinState.RESERVED) == 8
    place.wallet.wire.fate = lambda: "twice"
    place.agent._settings = msgspec.structs.replace(place.settings, hold_s=60.0)
    for _ in range(4):
        await place.agent.step()
    assert place.wallet.values() == [8]
    assert len(place.orders()) == 1


async def test_metrics_tell_no_amounts(town: Town) -> None:
    """Whoever reads the operator's port learns that an agent works, and no more."""
    place = await kept(town, 16)
    await place.work(20)
    shown = generate_latest(place.agent.metrics.registry).decode()
    names = {line.split("{")[0].split(" ")[0] for line in shown.splitlines() if not line.startswith("#")}
    assert names == {
        "mixmint_agent_steps_total",
        "mixmint_agent_steps_created",
        "mixmint_agent_newest_step_seconds",
    }
    newest = place.agent.metrics.registry.get_sample_value("mixmint_agent_newest_step_seconds")
    assert newest is not None
    assert newest % 60 == 0


async def test_the_homes_lock_tells_a_command_at_work_from_other_trouble(tmp_path: Path) -> None:
    """The agent must know it: that one is no failure."""
    async with lock_home(tmp_path):
        with pytest.raises(HomeInUse):
            async with lock_home(tmp_path, patience_s=0.1):
                pass


def test_the_example_shows_every_setting_with_its_default() -> None:
    """configs/example/agent.toml is documentation that can't go stale."""
    example = load(EXAMPLE, AgentSettings)
    made = AgentSettings(home=EXAMPLE.parent, operations_port=example.operations_port)
    assert msgspec.structs.replace(example, home=EXAMPLE.parent) == made
    shown = set(re.findall(r"^([a-z_]+) = ", EXAMPLE.read_text(), re.MULTILINE))
    assert shown == {field.name for field in msgspec.structs.fields(AgentSettings)}
    for info in msgspec.inspect.type_info(AgentSettings).fields:  # type: ignore[attr-defined]  # a struct's
        assert "description" in (info.type.extra_json_schema or {}), info.name


def test_init_writes_what_run_reads(tmp_path: Path) -> None:
    """Every setting with its default, never over another file; a missing one names the command."""
    missing = CliRunner().invoke(agent_command, ["run", "--config", str(tmp_path / "agent.toml")])
    assert "mixmint agent init" in str(missing.exception)
    words = ["init", "--home", str(tmp_path), "--operations-port", "9400", "--json"]
    assert "has no wallet" in str(CliRunner().invoke(agent_command, words).exception)
    (tmp_path / "wallet.db").touch()
    made = CliRunner().invoke(agent_command, words)
    file = tmp_path / "agent.toml"
    assert json.loads(made.output) == {"config": str(file)}
    assert load(file, AgentSettings) == AgentSettings(home=tmp_path, operations_port=9400)
    text = file.read_text()
    file.write_text(re.sub(r"^# ([a-z_]+ = )", r"\1", text, flags=re.MULTILINE))
    assert load(file, AgentSettings) == AgentSettings(home=tmp_path, operations_port=9400)
    shown = set(re.findall(r"^(?:# )?([a-z_]+) = ", text, re.MULTILINE))
    assert shown == {field.name for field in msgspec.structs.fields(AgentSettings)}
    again = CliRunner().invoke(agent_command, words)
    assert "exists already" in str(again.exception)


def test_a_home_without_a_wallet_is_said_in_one_line(tmp_path: Path) -> None:
    """Before anything runs."""
    config = tmp_path / "agent.toml"
    config.write_text('home = "."\noperations_port = 9401\n')
    result = CliRunner().invoke(agent_command, ["run", "--config", str(config), "--check"])
    assert isinstance(result.exception, UserError)
    assert "has no wallet" in str(result.exception)


def test_a_policy_that_is_missing_is_found_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--check` reads all that a step needs."""
    (tmp_path / "wallet.db").touch()
    (tmp_path / "wallet.toml").write_text('policy = "nowhere"\n')
    (tmp_path / "agent.toml").write_text('home = "."\noperations_port = 9401\n')
    for name in ("unlock_home", "member_with", "bank_of"):
        monkeypatch.setattr(f"wallet.agent.run.{name}", Mock())
    with pytest.raises(UserError, match="nowhere"):
        prepare(tmp_path / "agent.toml")


async def test_the_app_stops_its_loop(town: Town) -> None:
    """Leaving the app ends the agent, in the middle of whatever it does."""
    place = await kept(town, 8, poll_s=0.2)

    def open_() -> AbstractAsyncContextManager[Cashier]:
        return place.open()

    app = build_app(place.settings, open_)
    (context,) = app.cleanup_ctx
    running = context(app)
    await anext(running)
    with pytest.raises(StopAsyncIteration):
        await anext(running)
