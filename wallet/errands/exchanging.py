"""Exchanges for their own sake, and coins back to the account."""

import msgspec

from bank.formats.order import MOST_INPUTS
from wallet.errands.desk import Desk, after_last
from wallet.machines.steps import Phase
from wallet.operations import PlanState
from wallet.plans import Exchange, Held, exact, next_exchanges, total
from wallet.purse import CoinState


def exchange(desk: Desk, row: int, plan: PlanState) -> list[int]:
    """One step of ``Want.EXCHANGE``."""
    children = desk.children(row)
    if not children:
        ids = set(plan.coins)
        free = desk.purse.coins(CoinState.FREE)
        coins = [Held.of(number, record) for number, record in free.items() if record.id() in ids]
        if not coins:
            return desk.end(row, plan, "not-enough")
        return desk.start(row, [Exchange((coin,), (coin.exponent,)) for coin in coins])
    done = [child for child in children if child.phase is Phase.SETTLED]
    units = sum(1 << output.exponent for child in done for output in child.own_outputs())
    reason = next((child.reason for child in children if child.phase is not Phase.SETTLED), "")
    return desk.settle(row, plan, units, reason) if done else desk.end(row, plan, reason)


def deposit(desk: Desk, row: int, plan: PlanState) -> list[int]:
    """One step of ``Want.DEPOSIT``: only coins that the wallet has exchanged itself."""
    if plan.last:
        return after_last(desk, row, plan)
    held, missing = desk.held(), plan.amount - plan.units
    if total(held) < missing:
        return desk.end(row, plan, "not-enough")
    chosen = exact([coin for coin in held if coin.clean], missing)
    if chosen is None:
        return desk.start(row, next_exchanges(held, missing))
    with desk.purse.transaction():
        # More coins than an order carries: several deposits, one after the other, each whole by itself.
        last = desk.counter.deposit(chosen[:MOST_INPUTS], desk.last_round(), row)
        desk.purse.set_operation(row, msgspec.structs.replace(plan, last=last))
    desk.teller.at("order-written")
    return [last]
