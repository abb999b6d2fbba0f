"""Coins handed over as bearer files, and exchanged by whoever gets one."""

from pathlib import Path

import msgspec

from bank.formats.coin import Coin, exponents_of
from bank.formats.fields import Reader
from wallet.bearer import MOST_COINS, Bearer, write_bearer
from wallet.errands.desk import MOST_TRIES, Desk
from wallet.machines.order import OrderState
from wallet.machines.steps import Phase
from wallet.operations import PlanState
from wallet.plans import Exchange, Held, exact, merge, next_exchanges, pay_at_once, total
from wallet.purse import CoinState


def hand_over(desk: Desk, row: int, plan: PlanState) -> list[int]:
    """One step of ``Want.HAND_OVER``."""
    if plan.coins:
        return _write(desk, row, plan)
    held = desk.held()
    chosen = exact([coin for coin in held if coin.clean], plan.amount)
    if chosen is not None and len(chosen) <= MOST_COINS:
        records = desk.purse.coins(CoinState.FREE)
        ids = tuple(records[coin.row].id() for coin in chosen)
        with desk.purse.transaction():
            for coin in chosen:
                desk.purse.change_coin(coin.row, records[coin.row], state=CoinState.HANDED, operation=row)
            desk.purse.set_operation(row, msgspec.structs.replace(plan, coins=ids))
        desk.teller.at("coins-chosen")
        return []
    if total(held) < plan.amount:
        return desk.end(row, plan, "not-enough")
    exchanges = _exchanges(plan, held)
    return desk.start(row, exchanges) if exchanges else desk.end(row, plan, "too-many-coins")


def _exchanges(plan: PlanState, held: list[Held]) -> list[Exchange]:
    exponents = tuple(exponents_of(plan.amount))
    if plan.now:
        at_once = pay_at_once(held, plan.amount, len(exponents))
        if at_once is not None:
            return [Exchange(at_once.inputs, (*exponents, *at_once.change))]
    exchanges = next_exchanges(held, plan.amount)
    if exchanges:
        return exchanges
    merged = merge(held)
    return [] if merged is None else [merged]


def _write(desk: Desk, row: int, plan: PlanState) -> list[int]:
    found = [desk.purse.coin(coin) for coin in plan.coins]
    coins = tuple(each[1].coin() for each in found if each is not None)
    # The coins count as gone before the file exists: money may wait here, but is never in two places.
    write_bearer(Path(plan.path), Bearer(desk.books.bank.id, coins))
    desk.teller.at("file-written")
    return desk.settle(row, plan, plan.amount)


def receive(desk: Desk, row: int, plan: PlanState) -> list[int]:
    """One step of ``Want.RECEIVE``: a standard exchange for each coin, so a spent one holds up no other."""
    latest: dict[bytes, OrderState] = {}
    tries: dict[bytes, int] = {}
    for child in desk.children(row):
        key = child.order.inputs[0]
        latest[key], tries[key] = child, tries.get(key, 0) + 1
    missing, units, reason = [], 0, ""
    for coin in (Coin.read(Reader(data)) for data in plan.coins):
        public = coin.key().public
        order = latest.get(public)
        if order is not None and order.phase is Phase.SETTLED:
            units += coin.units
        elif order is None or (order.reason == "too-late" and tries[public] < MOST_TRIES):
            missing.append(coin)
        else:
            reason = order.reason
    if missing:
        with desk.purse.transaction():
            rows = [desk.counter.bearer_exchange(coin, desk.last_round(), row) for coin in missing]
        desk.teller.at("order-written")
        return rows
    return desk.settle(row, plan, units, reason) if units else desk.end(row, plan, reason)
