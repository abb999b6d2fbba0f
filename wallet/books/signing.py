"""Orders signed with the purse's coins; and signed anew, with fresh ids, where theirs were taken."""

import os
from collections.abc import Sequence

from bank.formats.coin import Coin, coin_id
from bank.formats.fields import Reader
from bank.formats.order import Order, Output, SignedOrder, sign_order
from mixmint.errors import FatalError
from mixmint.keys import SigningKey
from wallet.derivation import Purpose
from wallet.machines.account import AccountState
from wallet.machines.invoice import InvoiceState
from wallet.machines.steps import Renewed
from wallet.operations import Machine, PlanState
from wallet.purse import CoinState, Purse
from wallet.restoring.copies import Copies


def sign(purse: Purse, order: Order, outputs: Sequence[Output], parent: int) -> SignedOrder:
    """An order with these outputs, under a new request id and salt, signed by its inputs' coin keys."""
    fresh = Order(
        order.bank,
        os.urandom(16),
        order.last_round,
        tuple(sorted(order.inputs)),
        tuple(sorted(outputs, key=lambda output: output.coin)),
        order.account,
        order.tau,
        order.note,
    )
    return sign_order(fresh, [_key(purse, coin_id(public), parent) for public in fresh.inputs])


def renew(purse: Purse, copies: Copies, row: int, state: Machine, exponents: tuple[int, ...]) -> Renewed:
    """Fresh ids where ours were taken (a second device made them first), and the order signed anew."""
    if isinstance(state, InvoiceState):
        raise FatalError("a payment request asks the bank nothing")
    old = purse.coin(state.mine[0])
    if old is None:
        raise FatalError("an operation's own coin isn't in the purse")
    void(purse, state.mine)
    record = old[1]
    copies.jump(Purpose(record.purpose))
    outputs = purse.expect(
        Purpose(record.purpose),
        exponents,
        row,
        exchanges=record.exchanges,
        recognisable=record.recognisable,
    )
    if isinstance(state, AccountState):
        return Renewed(outputs)
    others = [output for output in state.order.outputs if output.coin not in state.mine]
    signed = sign(purse, state.order, (*others, *outputs), state.parent)
    return Renewed(outputs, signed.encode())


def void(purse: Purse, coins: Sequence[bytes]) -> None:
    """These ids were never certified, as far as anybody knows."""
    for coin in coins:
        found = purse.coin(coin)
        if found is not None and found[1].state is CoinState.EXPECTED:
            purse.change_coin(*found, state=CoinState.VOID)


def _key(purse: Purse, coin: bytes, parent: int) -> SigningKey:
    found = purse.coin(coin)
    if found is not None:
        return found[1].key()
    plan = purse.operation(parent) if parent else None
    for data in plan.coins if isinstance(plan, PlanState) else ():
        bearer = Coin.read(Reader(data))
        if bearer.id() == coin:
            return bearer.key()
    raise FatalError("the secret of an order's coin isn't in the purse")
