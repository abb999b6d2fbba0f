"""
A payment request that waits: its ids are watched on the board, and the bank is asked nothing.

    phase     event                               next      effects
    --------  ----------------------------------  --------  -------
    working   Seen, the last missing coin         settled   -
    working   Clock past last round and grace     expired   -
    working   Revoke: the payee cancels it        expired   -
    expired   Seen, the last missing coin         settled   -

A coin of another value than asked for arrives all the same (it is the payee's), but does not pay the request.
What comes after the end is the payee's too, and is shown (wallet/arrivals.py says what came).
"""

import msgspec

from bank.formats.coin import total_units
from wallet.machines.steps import Clock, Effect, Event, Phase, Revoke, Seen
from wallet.payment_request import PaymentRequest


class InvoiceState(msgspec.Struct, frozen=True, kw_only=True, tag="invoice"):
    """
    ``request``: the payment request's bytes. ``arrived``: its ids that the board has shown so far.
    ``replies``: the number under which what comes by its reply blocks is found, 0 without any. ``notices``:
    what came and is about this request, in bytes. ``refund_of``: the payment of ours that it asks back, 0 for
    none.
    """

    request: bytes
    grace_rounds: int
    phase: Phase = Phase.WORKING
    arrived: tuple[bytes, ...] = ()
    round: int = 0
    cancelled: bool = False
    replies: int = 0
    notices: tuple[bytes, ...] = ()
    refund_of: int = 0

    def opened(self) -> PaymentRequest:
        return PaymentRequest.decode(self.request)

    def wanted(self) -> frozenset[bytes]:
        return frozenset(output.coin for output in self.opened().outputs)

    def arrived_units(self) -> int:
        """Units that have come so far, by the values asked for."""
        return total_units(each.exponent for each in self.opened().outputs if each.coin in self.arrived)

    def __repr__(self) -> str:
        return f"InvoiceState({self.phase.value})"


def advance(state: InvoiceState, event: Event) -> tuple[InvoiceState, list[Effect]]:
    """
    One step of the table above. ``Seen.certified`` must hold only ids certified with the value asked for.
    """
    if state.phase is Phase.SETTLED:
        return state, []
    if isinstance(event, Seen):
        arrived = {*state.arrived, *(event.certified & state.wanted())}
        phase = Phase.SETTLED if arrived == state.wanted() else state.phase
        if len(arrived) == len(state.arrived):
            return state, []
        return msgspec.structs.replace(
            state, arrived=tuple(sorted(arrived)), phase=phase, round=event.round
        ), []
    if isinstance(event, Revoke) and state.phase is Phase.WORKING:
        return msgspec.structs.replace(state, phase=Phase.EXPIRED, cancelled=True), []
    # An order executed in the last round is on the board some rounds later: the bank's promise.
    over = isinstance(event, Clock) and event.round > state.opened().last_round + state.grace_rounds
    if over and state.phase is Phase.WORKING:
        return msgspec.structs.replace(state, phase=Phase.EXPIRED), []
    return state, []
