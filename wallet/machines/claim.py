"""
A claim beside an operation: what the bank leaves without an answer is shown on the board.

    event                               what becomes of the claim
    ----------------------------------  -------------------------------------------------------------------
    Begin or Clock, while it waits      the wait begins with the first one
    Claimed                             its entry is on file, before anyone is shown it
    Planned                             it is due, and leaves in this round (``wallet/claims.py``)
    Posted                              the board has taken it
    Shown                               the board shows it: from that round on the bank's time runs
    Told: what the bank answers there   as an answer to the operation itself
    certificates there (Seen)           as always: they settle the operation
    Clock past a hold that it named     MakeOutputs: the order is signed anew, under other ids
    a change of the bank's key behind   void: it waits, and is claimed, anew, at the successor
    another request is signed           it had its turn; the next request may be claimed in its turn

The operation's own machine goes on beside it, and whatever answers first ends it. But a bank that says "too
late" to the member, when the claim was on the board in time, has to say it there.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from bank.formats.answer import Certificates, Refusal, Refused, Spent, Statements
from mixmint.keys import Label, labelled_hash
from wallet.machines.account import AccountState
from wallet.machines.foreign import ForeignState, contradicts
from wallet.machines.order import MOST_FORMS, OrderState
from wallet.machines.record import ClaimRecord
from wallet.machines.steps import (
    FINAL,
    Answered,
    Ask,
    Begin,
    Claimed,
    Clock,
    Effect,
    Event,
    Forget,
    Keep,
    MakeOutputs,
    Phase,
    Planned,
    Posted,
    Shown,
    Told,
)

AHEAD_ROUNDS = 4
"""So long before its last round a claim leaves at the latest: it takes a round or two to be on the board."""
RECLAIM = "reclaim"
"""The purpose of an exchange of a coin that the bank denied: only the board's answer ends it."""
REVIVE = "revive"
"""
The purpose of an order that the bank had refused, and by which it says in public that a coin was spent. It is
claimed itself: the bank shows its certificates then, or denies what it said (``execution-denied``).
"""
CLAIM_TIME_LABEL = Label("mixmint/claim-time/v1")

S = TypeVar("S", OrderState, AccountState)


def may_claim(state: object) -> bool:
    """
    Whether the operation asks for something that can be claimed. An order that a payee carries out is his to
    claim, if its payer gave him what makes it valid.
    """
    if isinstance(state, AccountState):
        return bool(state.requests)
    return type(state) is OrderState or (isinstance(state, ForeignState) and state.is_claimable)


def last_round(state: OrderState | AccountState) -> int:
    """The last round in which a claim of it is of use; 0: any."""
    if isinstance(state, ForeignState):
        # Behind it the coins may be the payer's again.
        return state.until() or state.order.last_round
    if isinstance(state, OrderState):
        return state.order.last_round
    return state.signed().request.last_round if state.requests else 0


def is_waiting(state: OrderState | AccountState) -> bool:
    """Whether the bank owes it something."""
    if isinstance(state, AccountState):
        return state.phase is Phase.ASKED or (state.phase is Phase.READING and bool(state.requests))
    return state.phase in (Phase.ASKED, Phase.LOOKING)


def is_due(state: OrderState | AccountState, closed: int, after_rounds: int) -> bool:
    """
    Whether it is time to claim, in the round after ``closed``: ``after_rounds`` since it was asked, and up to
    half as many more. How many is drawn from what nobody else knows: claims that follow their orders at one
    distance would tell which anonymous order was asked when. Sooner when what somebody else has signed for us
    is about to end.
    """
    record = state.claim
    if record.is_made or not record.asked or not is_waiting(state):
        return False
    seed = state.conversation if isinstance(state, OrderState) else state.request_id
    drawn = int.from_bytes(labelled_hash(CLAIM_TIME_LABEL, seed)[:8]) % (after_rounds // 2 + 1)
    wait = record.asked + after_rounds + drawn
    if isinstance(state, ForeignState):
        wait = max(record.asked + 1, min(wait, last_round(state) - AHEAD_ROUNDS))
    return closed >= wait


def advance(
    state: S, event: Event, inner: Callable[[S, Event], tuple[S, list[Effect]]]
) -> tuple[S, list[Effect]]:
    """One step of the table above; ``inner``: the operation's own machine."""
    record, is_told = state.claim, isinstance(event, Told)
    if isinstance(event, Claimed | Planned | Posted | Shown):
        return _with(state, _of_claim(record, event)), []
    if isinstance(event, Clock | Begin):
        state = _clock(state, event.round) if event.round else state
    elif isinstance(event, Told):
        if state.phase in FINAL:
            return state, []
        state, event = _as_answer(state, event)
    elif isinstance(event, Answered) and getattr(state, "purpose", "") == REVIVE and not is_told:
        if not isinstance(event.answer.body, Certificates):
            return state, []
    elif isinstance(event, Answered) and type(event.answer.body) is Spent:
        if isinstance(state, OrderState) and state.purpose == RECLAIM and _is_another(state, event):
            # Said to us alone, and the board doesn't show it. Whoever has signatures of ours can say so.
            return _again(state), [Forget(state.attempt), Keep("spent", event.answer.encode() + state.signed)]
    elif isinstance(event, Answered) and isinstance(event.answer.body, Refused):
        reason = event.answer.body.reason
        if reason is Refusal.TOO_LATE and record.posted and not record.void:
            return state, []
        is_reclaimed = isinstance(state, OrderState) and state.purpose == RECLAIM and not record.void
        if isinstance(state, OrderState) and is_reclaimed and _denies(reason):
            # That is why it is claimed. Only what the bank says in public ends it.
            data = event.answer.encode() + state.signed
            return _again(state), [Forget(state.attempt), Keep(reason.name.lower().replace("_", "-"), data)]
        if isinstance(state, ForeignState) and not is_told and contradicts(state, reason):
            data = event.answer.encode() + state.word()
            return _again(state), [Forget(state.attempt), Keep(reason.name.lower().replace("_", "-"), data)]
    after, effects = inner(state, event)
    is_over = isinstance(event, Clock) and state.phase is Phase.HELD and after.phase is Phase.ASKED
    if is_over and record.is_made:
        after, effects = _claimed_anew(after, effects)
    if _request_of(after) != _request_of(state):
        after = _with(after, ClaimRecord())
    return after, effects


def _claimed_anew(after: S, effects: list[Effect]) -> tuple[S, list[Effect]]:
    """
    The hold that the bank named on the board is over, and the claim had its turn: a bank that falls silent
    now would keep the coin. Under new ids the order is another one, which may be claimed in its turn; of both
    at most one can be executed. Ids of a payee's can't be made anew.
    """
    if type(after) is not OrderState or not after.mine or len(after.earlier) >= MOST_FORMS:
        return after, effects
    exponents = tuple(output.exponent for output in after.own_outputs())
    return after, [*(each for each in effects if not isinstance(each, Ask)), MakeOutputs(exponents)]


def _is_another(state: OrderState, event: Answered) -> bool:
    """Whether the answer names another order than this one as the one that spent the coin."""
    body = event.answer.body
    return isinstance(body, Spent) and body.seal not in (state.opened.seal, *state.earlier)


def _denies(reason: Refusal) -> bool:
    return reason in (Refusal.UNKNOWN_CERTIFICATE, Refusal.EXPIRED_COIN)


def _again(state: S) -> S:
    return msgspec.structs.replace(state, attempt=state.attempt + 1)


def _of_claim(record: ClaimRecord, event: Claimed | Planned | Posted | Shown) -> ClaimRecord:
    if isinstance(event, Planned):
        return msgspec.structs.replace(record, planned=event.round)
    if isinstance(event, Claimed):
        return ClaimRecord(asked=record.asked, planned=record.planned, entry=event.entry)
    if isinstance(event, Posted):
        return msgspec.structs.replace(record, posted=True)
    return record.shown_in(event.round)


def _clock(state: S, newest: int) -> S:
    record = state.claim
    if record.is_made or not may_claim(state) or bool(record.asked) == is_waiting(state):
        return state
    asked = 0 if record.asked else newest
    return _with(state, msgspec.structs.replace(record, asked=asked, planned=0))


def _as_answer(state: S, event: Told) -> tuple[S, Answered]:
    """The phase in which the operation's machine takes this answer."""
    if isinstance(state, AccountState) and isinstance(event.answer.body, Statements):
        phase = Phase.READING
    else:
        phase = Phase.ASKED
    return msgspec.structs.replace(state, phase=phase), Answered(event.answer)


def _with(state: S, record: ClaimRecord) -> S:
    return msgspec.structs.replace(state, claim=record)


def _request_of(state: OrderState | AccountState) -> bytes:
    """The bytes that a claim shows."""
    if isinstance(state, OrderState):
        return state.signed
    return state.requests[state.current] if state.requests else b""
