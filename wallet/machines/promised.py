"""
An order of ours that somebody else carries out: the payee of a hold, or of a sealed payment.

A *hold* (it has a tau) is asked of the bank, which keeps the coins until a round; the payee has the h that
executes it. A *sealed* order (no tau) is signed and handed over whole; nobody but us knows of it before its
payee submits it.

    phase    event                              next      effects
    -------  ---------------------------------  --------  ----------------------------------------------------
    asked    Begin, and any other answer                  as any order (order.py)
    asked    hold                               kept      -
    asked    refused: the bank holds too much   refused   Free inputs, Void own outputs
    asked,   Clock far past its last round      lapsed    -
    held
    looking  Clock farther past it, or past     refused   Dispute inputs, Keep evidence, Void own outputs
             the round that Blamed names
    kept     Seen, all entries in one round     settled   Spend inputs, Forget
    kept     Clock at the end of it             lapsed    -
    kept     Revoke, if it is sealed            lapsed    -
    lapsed   Seen, all entries in one round     settled   Spend inputs, Forget
    lapsed   Returned                           expired   Void own outputs, Forget
    kept,    Blamed                             looking   -
    lapsed

Its end is the hold's last round, or the sealed order's own. But a lapsed hold can still be executed while its
coins are free, and what was executed in the last round is on the board later. So the coins stay set aside,
and the wallet exchanges them: either that succeeds, and the order is dead for good, or the bank shows that
the payee was first. That is the bank's word alone until the board shows it: what no board shows is asked for
in public. So does a bank keep no coin that never answers such an order: nobody claims the order,
but the exchange is claimed like any other.
"""

import msgspec

from bank.formats.answer import Hold, Refusal, Refused
from bank.formats.order import NOTHING, input_ids
from wallet.machines import order
from wallet.machines.order import OrderState
from wallet.machines.steps import (
    Answered,
    Blamed,
    Clock,
    Dispute,
    Effect,
    Event,
    Forget,
    Keep,
    Phase,
    Returned,
    Revoke,
    Void,
)

SILENT_ROUNDS = 120
"""So long after an order's last round the bank may still say that it was too late."""


class PromisedState(OrderState, frozen=True, kw_only=True, tag="promised", dict=True):
    """
    ``round``: the last one of the hold, or of the sealed order, while it is kept. ``hold``: the bank's signed
    answer, which the payee is shown. ``until``: the round by which the board shows that it was executed, when
    the bank has said so of its coins; 0 else.
    """

    hold: bytes = b""
    until: int = 0

    @property
    def is_sealed(self) -> bool:
        """Whether it was handed over whole, and the bank knows nothing of it."""
        return self.order.tau == NOTHING


def advance(state: PromisedState, event: Event) -> tuple[PromisedState | OrderState, list[Effect]]:
    """One step of the table above."""
    if state.phase is Phase.ASKED and isinstance(event, Answered):
        body, data = event.answer.body, event.answer.encode()
        if isinstance(body, Hold):
            kept = {"phase": Phase.KEPT, "round": body.to_round, "hold": data}
            return msgspec.structs.replace(state, **kept), []
        if body == Refused(Refusal.BUSY):
            # Of a hold it may be true, so it is no evidence. Should a stray copy be held later, that lapses:
            # nobody was told of it.
            return order.refuse(state, "busy", data)
    if state.phase in (Phase.ASKED, Phase.HELD) and isinstance(event, Clock):
        # A hold ends with its order, so whatever the bank kept it keeps no longer.
        if event.round < state.order.last_round + SILENT_ROUNDS:
            return order.advance(state, event)
        return msgspec.structs.replace(state, phase=Phase.LAPSED), []
    if state.phase is Phase.LOOKING and isinstance(event, Clock):
        if event.round < (state.until or state.order.last_round + order.MOST_PROMISED_ROUNDS):
            return state, []
        # Executed, it said, and no board ever showed it. What nobody has can be asked for in public.
        disputes = [Dispute(coin) for coin in input_ids(state.order)]
        evidence = Keep("overdue", state.proof + state.signed)
        return order.refuse(state, "spent", state.proof, *disputes, evidence)
    if isinstance(event, Blamed) and state.phase in (Phase.KEPT, Phase.LAPSED):
        looking = {"phase": Phase.LOOKING, "proof": event.proof, "until": event.until}
        return msgspec.structs.replace(state, **looking), []
    if state.phase is Phase.KEPT:
        is_over = isinstance(event, Clock) and event.round >= state.round
        if is_over or (isinstance(event, Revoke) and state.is_sealed):
            return msgspec.structs.replace(state, phase=Phase.LAPSED), []
    if state.phase is Phase.LAPSED and isinstance(event, Returned):
        over = msgspec.structs.replace(state, phase=Phase.EXPIRED)
        return over, [Void(state.mine), Forget(state.attempt)]
    return order.advance(state, event)
