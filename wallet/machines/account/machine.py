"""
A withdrawal or a deposit, along the account's chain of statements.

    phase      event                              next      effects
    ---------  ---------------------------------  --------  --------------------------------------------------
    reading    Begin                              reading   Ask for the statements after the chain's head
    reading    statements, six of them            reading   Extend the chain, Ask for more
    reading    statements, the last ones          asked     Extend; Ask with a request (see below)
    asked      Begin                              asked     Ask, the very same bytes again
    asked      withdrawn / credited               answered  Extend, Certify outputs / Spend inputs
    asked      refused: sequence                  reading   Ask for the statements after the chain's head
    asked      taken                              asked     MakeOutputs; then Renewed: Ask with a new request
    asked      taken, too often                   refused   Void outputs
    asked      spent / held / unknown coin        refused   as for an order
    asked      refused: balance, too late, ...    refused   Void outputs / Free inputs
    asked      Seen, everything in one round      asked     Spend inputs; the statement is still wanted
    asked      credited, a replacement            settled   Extend, Replaced coins; the board's entries follow
    answered   Seen, everything in one round      settled   Forget
    refused    Seen, everything in one round      settled   the board overrules a refusal

Never twice: a request names the sequence of the statement it wants. Once the chain has that statement, the
request was executed (the statement carries its digest) or it is dead. So a new request is signed only after
the chain was read and every link verified, and none of the statements carries the digest of any request that
this operation ever signed; else the executed one is sent again, and the bank gives its first answer again.
"""

import msgspec

from mixmint.keys import SigningKey
from wallet.machines.account.answers import answered
from wallet.machines.account.asking import after, ask, read, sign
from wallet.machines.account.state import AccountState
from wallet.machines.steps import (
    FINAL,
    Answered,
    Begin,
    Clock,
    Effect,
    Event,
    Forget,
    Head,
    Keep,
    Phase,
    Renewed,
    Seen,
    Spend,
    Wrong,
)


def advance(
    state: AccountState, event: Event, head: Head, key: SigningKey
) -> tuple[AccountState, list[Effect]]:
    """
    One step of the table above. ``head``: the last verified statement of the chain, None before the first.
    ``key``: the account's. Answers must have been verified against the same head (wallet/answers.py).
    """
    if isinstance(event, Seen):
        return _seen(state, event) if state.phase is not Phase.SETTLED else (state, [])
    if state.phase in FINAL:
        return state, []
    if isinstance(event, Begin):
        return _begin(state, head, key)
    if isinstance(event, Clock):
        return _clock(state, event.round)
    if isinstance(event, Wrong):
        again = msgspec.structs.replace(state, attempt=state.attempt + 1)
        return again, [Forget(state.attempt), Keep(event.reason, event.data)]
    if isinstance(event, Renewed):
        # Same sequence, same head: of the two requests at most one can be executed.
        renewed = msgspec.structs.replace(
            state, outputs=tuple((output.coin, output.exponent) for output in event.outputs)
        )
        return sign(renewed, head, key, [])
    return answered(state, event, head, key) if isinstance(event, Answered) else (state, [])


def _begin(state: AccountState, head: Head, key: SigningKey) -> tuple[AccountState, list[Effect]]:
    if state.phase is Phase.READING:
        if head is not None and not state.requests:
            # The chain's head is usually still the newest: one round trip instead of two.
            return sign(state, head, key, [])
        reading = state if state.since else msgspec.structs.replace(state, since=after(head))
        return reading, [read(reading, key)]
    if state.phase is Phase.ASKED:
        return state, [ask(state)]
    return state, []


def _seen(state: AccountState, event: Seen) -> tuple[AccountState, list[Effect]]:
    late = event.certified.union(state.late)
    if state.is_deposit:
        done = event.spent >= set(state.opened.order.inputs)
    else:
        done = bool(event.certified) and late >= state.wanted()
    if done:
        spent: list[Effect] = [Spend(state.inputs())] if state.is_deposit else []
        if state.phase in (Phase.ASKED, Phase.READING):
            # The coins are where they belong. The bank gives its answer, with the statement, at any time.
            return msgspec.structs.replace(state, shown=event.round), spent
        settled = msgspec.structs.replace(state, phase=Phase.SETTLED, round=event.round)
        return settled, [*spent, Forget(state.attempt)]
    if late != set(state.late):
        state = msgspec.structs.replace(state, late=tuple(sorted(late)))
    if event.spent or event.certified - event.posted:
        return state, [Keep("split-order", state.order or state.requests[state.current])]
    return state, []


def _clock(state: AccountState, newest: int) -> tuple[AccountState, list[Effect]]:
    if state.phase is Phase.ANSWERED and newest >= state.round and not state.overdue:
        overdue = msgspec.structs.replace(state, overdue=True)
        return overdue, [Keep("overdue", state.requests[state.current])]
    return state, []
