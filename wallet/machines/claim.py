"""
A claim beside an operation: what the bank leaves without an answer is shown on the board.

    event                               what becomes of the claim
    ----------------------------------  -------------------------------------------------------------------
    Begin or Clock, while it waits      the wait begins with the first one
    Claimed                             its entry is on file, before anyone is shown it
    Posted                              the board has taken it
    Shown                               the board shows it: from that round on the bank's time runs
    Told: what the bank answers there   as an answer to the operation itself
    certificates there (Seen)           as always: they settle the operation
    another request is signed           it had its turn; the next request may be claimed in its turn

The operation's own machine goes on beside it, and whatever answers first ends it. But a bank that says "too
late" to the member, when the claim was on the board in time, has to say it there.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from bank.formats.answer import Refusal, Refused, Spent, Statements
from mixmint.keys import Label, labelled_hash
from wallet.machines.account import AccountState
from wallet.machines.order import OrderState
from wallet.machines.record import ClaimRecord
from wallet.machines.steps import (
    FINAL,
    Answered,
    Begin,
    Claimed,
    Clock,
    Effect,
    Event,
    Forget,
    Keep,
    Phase,
    Posted,
    Shown,
    Told,
)

RECLAIM = "reclaim"
"""The purpose of an exchange of a coin that the bank denied: only the board's answer ends it."""
CLAIM_TIME_LABEL = Label("mixmint/claim-time/v1")

S = TypeVar("S", OrderState, AccountState)


def may_claim(state: object) -> bool:
    """
    Whether the operation asks for something that can be claimed. Orders that a payee carries out are his, and
    one that the wallet didn't sign is its payer's.
    """
    if isinstance(state, AccountState):
        return bool(state.requests) and not state.is_replacement
    return type(state) is OrderState


def is_waiting(state: OrderState | AccountState) -> bool:
    """Whether the bank owes it something."""
    if isinstance(state, AccountState):
        return state.phase is Phase.ASKED or (state.phase is Phase.READING and bool(state.requests))
    return state.phase in (Phase.ASKED, Phase.LOOKING)


def is_due(state: OrderState | AccountState, closed: int, after_rounds: int) -> bool:
    """
    Whether it is time to claim, in the round after ``closed``: ``after_rounds`` since it was asked, and up to
    half as many more. How many is drawn from what nobody else knows: claims that follow their orders at one
    distance would tell which anonymous order was asked when.
    """
    record = state.claim
    if record.entry or not record.asked or not is_waiting(state):
        return False
    seed = state.conversation if isinstance(state, OrderState) else state.request_id
    drawn = int.from_bytes(labelled_hash(CLAIM_TIME_LABEL, seed)[:8]) % (after_rounds // 2 + 1)
    return closed >= record.asked + after_rounds + drawn


def advance(
    state: S, event: Event, inner: Callable[[S, Event], tuple[S, list[Effect]]]
) -> tuple[S, list[Effect]]:
    """One step of the table above; ``inner``: the operation's own machine."""
    record = state.claim
    if isinstance(event, Claimed | Posted | Shown):
        return _with(state, _of_claim(record, event)), []
    if isinstance(event, Clock | Begin):
        state = _clock(state, event.round) if event.round else state
    elif isinstance(event, Told):
        if state.phase in FINAL:
            return state, []
        state, event = _as_answer(state, event)
    elif isinstance(event, Answered) and type(event.answer.body) is Spent:
        if isinstance(state, OrderState) and state.purpose == RECLAIM and _is_another(state, event):
            # Said to us alone, and the board doesn't show it. Whoever has signatures of ours can say so.
            return _again(state), [Forget(state.attempt), Keep("spent", event.answer.encode() + state.signed)]
    elif isinstance(event, Answered) and isinstance(event.answer.body, Refused):
        reason = event.answer.body.reason
        if reason is Refusal.TOO_LATE and record.posted:
            return state, []
        if isinstance(state, OrderState) and state.purpose == RECLAIM and _denies(reason):
            # That is why it is claimed. Only what the bank says in public ends it.
            data = event.answer.encode() + state.signed
            return _again(state), [Forget(state.attempt), Keep(reason.name.lower().replace("_", "-"), data)]
    after, effects = inner(state, event)
    if _request_of(after) != _request_of(state):
        after = _with(after, ClaimRecord())
    return after, effects


def _is_another(state: OrderState, event: Answered) -> bool:
    """Whether the answer names another order than this one as the one that spent the coin."""
    body = event.answer.body
    return isinstance(body, Spent) and body.seal not in (state.opened.seal, *state.earlier)


def _denies(reason: Refusal) -> bool:
    return reason in (Refusal.UNKNOWN_CERTIFICATE, Refusal.EXPIRED_COIN)


def _again(state: S) -> S:
    return msgspec.structs.replace(state, attempt=state.attempt + 1)


def _of_claim(record: ClaimRecord, event: Claimed | Posted | Shown) -> ClaimRecord:
    if isinstance(event, Claimed):
        return msgspec.structs.replace(record, entry=event.entry)
    if isinstance(event, Posted):
        return msgspec.structs.replace(record, posted=True)
    return msgspec.structs.replace(record, posted=True, round=record.round or event.round)


def _clock(state: S, newest: int) -> S:
    if state.claim.entry or not may_claim(state):
        return state
    if not is_waiting(state):
        return _with(state, ClaimRecord()) if state.claim.asked else state
    return state if state.claim.asked else _with(state, ClaimRecord(asked=newest))


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
