"""
Orders of ours that the bank had refused, and by which it says later that a coin was spent.

Whoever refuses an order keeps its signatures, and can show one for ever as the proof of a spending that no
board has. Said to us alone that is worth nothing, so the coin is claimed by an exchange of its own
(``RECLAIM``). Said there, in public, the order is claimed itself: nobody else can show what it asked for. The
bank shows its certificates then, and the money is back; or it denies what it has said, which convicts it.
"""

import os
from typing import TypeGuard

from wallet.machines.claim import REVIVE
from wallet.machines.foreign import ForeignState
from wallet.machines.order import OrderState
from wallet.purse import Purse


def revive(purse: Purse, row: int) -> None:
    """Put the order of operation ``row`` on file once more, to be claimed. Again it is nothing."""
    old = purse.operation(row)
    if not isinstance(old, OrderState) or isinstance(old, ForeignState):
        return
    states = [stored.state for stored in purse.operations().values()]
    if any(_is_revived(state) and state.signed == old.signed for state in states):
        return
    order = OrderState(
        signed=old.signed, mine=old.mine, purpose=REVIVE, conversation=os.urandom(16), mark=old.mark
    )
    purse.add_operation(order, purse.stored(row).made_s)


def original_of(purse: Purse, row: int) -> int:
    """Of an order that was revived: the operation that it was refused to; 0 of any other."""
    state = purse.operation(row)
    if not _is_revived(state):
        return 0
    stored = purse.operations().items()
    return next((other for other, each in stored if other != row and _has_order(each.state, state)), 0)


def _is_revived(state: object) -> TypeGuard[OrderState]:
    return isinstance(state, OrderState) and state.purpose == REVIVE


def _has_order(state: object, revived: OrderState) -> bool:
    return isinstance(state, OrderState) and state.signed == revived.signed
