"""
What the bank's answer to an account's question leads to. Pure.

Never twice: a new request is signed only after the chain was read, and none of its statements carries the
digest of any request that the operation ever signed.
"""

import msgspec

from bank.formats.account import SignedAccountRequest, SignedStatement, Statement
from bank.formats.answer import (
    MOST_STATEMENTS,
    Credited,
    Held,
    Refusal,
    Refused,
    Spent,
    Statements,
    Taken,
    Withdrawn,
)
from bank.formats.coin import coin_id
from bank.formats.fields import Reader
from mixmint.keys import SigningKey
from wallet.machines.account.asking import after, ask, going_on, read, sign
from wallet.machines.account.state import AccountState
from wallet.machines.order import MOST_FORMS
from wallet.machines.steps import (
    Answered,
    Certify,
    Dispute,
    Effect,
    Extend,
    Forget,
    Free,
    Head,
    Keep,
    Lose,
    MakeOutputs,
    Phase,
    Replaced,
    Spend,
    Void,
)

BLOCKED = "sequence"
"""The bank refuses the next request of the chain, and its statements show no reason."""


def answered(
    state: AccountState, event: Answered, head: Head, key: SigningKey
) -> tuple[AccountState, list[Effect]]:
    body, data = event.answer.body, event.answer.encode()
    if state.phase is Phase.READING:
        if isinstance(body, Statements):
            return _caught_up(state, body, head, key)
        return _refuse(state, _reason(body), data)
    if state.phase is not Phase.ASKED:
        return state, []
    if isinstance(body, Withdrawn | Credited):
        return _booked(state, body, head)
    if isinstance(body, Refused):
        if body.reason is Refusal.SEQUENCE:
            reading = going_on(state, Phase.READING, since=after(head))
            return reading, [read(reading, key)]
        return _refused(state, body, data)
    if isinstance(body, Taken):
        if len(state.requests) > MOST_FORMS:
            # Should one of them be booked all the same, the board and the next statements show it.
            return _refuse(state, "taken", data)
        return state, [MakeOutputs(tuple(exponent for _, exponent in state.outputs))]
    if isinstance(body, Held):
        # Not worth waiting for: nothing happened, and the coin is free again after the stranger's hold.
        return _refuse(state, "held", data)
    if isinstance(body, Spent):
        lose = Lose(body.coin_key, body.seal, body.signature)
        return _refuse(state, "spent", data, lose, without=coin_id(body.coin_key))
    return state, []


def _caught_up(
    state: AccountState, body: Statements, head: Head, key: SigningKey
) -> tuple[AccountState, list[Effect]]:
    """The chain's new statements, verified: what they say about the requests that were signed so far."""
    known = 0 if head is None else head.sequence
    new = [each for each in body.statements if each.statement.sequence > known]
    effects: list[Effect] = [Extend(each.encode()) for each in new]
    newest = new[-1].statement if new else head
    executed = _executed(state, [each.statement for each in body.statements])
    if executed is not None:
        asked = going_on(state, Phase.ASKED, current=executed)
        return asked, [*effects, ask(asked)]
    if len(body.statements) == MOST_STATEMENTS:
        more = going_on(state, Phase.READING, since=after(newest))
        return more, [*effects, read(more, key)]
    wanted = 0 if not state.requests else state.signed().request.sequence
    alive = newest is not None and wanted and state.signed().request.head == newest.head()
    if newest is not None and alive and wanted == newest.sequence + 1:
        # The request is the chain's very next, and was refused all the same: no new one may be signed, since
        # this one is still alive. The bank is asked again when the member resumes.
        asked = going_on(state, Phase.ASKED)
        return asked, [*effects, Keep(BLOCKED, state.requests[state.current])]
    if newest is None:
        return _refuse(state, "no-account", b"")
    return sign(state, newest, key, effects)


def _executed(state: AccountState, statements: list[Statement]) -> int | None:
    """Which of the signed requests one of these statements names, if any."""
    digests = {statement.digest for statement in statements}
    for index, data in enumerate(state.requests):
        if SignedAccountRequest.read(Reader(data)).request.digest() in digests:
            return index
    return None


def _booked(state: AccountState, body: Withdrawn | Credited, head: Head) -> tuple[AccountState, list[Effect]]:
    signed: SignedStatement = body.statement
    effects: list[Effect] = []
    if head is None or signed.statement.sequence > head.sequence:
        effects.append(Extend(signed.encode()))
    if state.is_replacement:
        # The signed statement is the money. What the board shows of it concerns nobody but the bank.
        effects += [Replaced(tuple(coin for coin, _ in state.replaced)), Forget(state.attempt)]
        return msgspec.structs.replace(state, phase=Phase.SETTLED, round=signed.statement.round), effects
    request = state.signed().request
    outputs = tuple((output.coin, output.exponent) for output in request.outputs)
    if isinstance(body, Withdrawn):
        certificates = body.certificates
        effects.append(
            Certify(request.outputs, certificates.certificates, certificates.epoch, certificates.round)
        )
    else:
        effects.append(Spend(state.inputs()))
    if state.shown:
        # The board was faster than the answer.
        effects.append(Forget(state.attempt))
        return msgspec.structs.replace(
            state, phase=Phase.SETTLED, round=state.shown, outputs=outputs
        ), effects
    answered = msgspec.structs.replace(
        state, phase=Phase.ANSWERED, round=signed.statement.round, outputs=outputs
    )
    return answered, effects


def _refused(state: AccountState, body: Refused, data: bytes) -> tuple[AccountState, list[Effect]]:
    reason = _reason(body)
    if body.reason in (Refusal.BALANCE, Refusal.TOO_LATE, Refusal.NO_ACCOUNT, Refusal.NOT_YET):
        return _refuse(state, reason, data)
    evidence = Keep(reason, data + state.requests[state.current] + state.order)
    if body.reason in (Refusal.UNKNOWN_CERTIFICATE, Refusal.EXPIRED_COIN) and body.index < len(
        state.inputs()
    ):
        coin = state.inputs()[body.index]
        return _refuse(state, reason, data, Dispute(coin), evidence, without=coin)
    return _refuse(state, reason, data, evidence)


def _reason(body: object) -> str:
    return body.reason.name.lower().replace("_", "-") if isinstance(body, Refused) else "wrong-answer"


def _refuse(
    state: AccountState, reason: str, proof: bytes, *more: Effect, without: bytes = b""
) -> tuple[AccountState, list[Effect]]:
    effects: list[Effect] = [*more]
    freed = tuple(coin for coin in state.inputs() if coin != without)
    if freed:
        effects.append(Free(freed))
    if state.outputs:
        effects.append(Void(state.mine))
    effects.append(Forget(state.attempt))
    return msgspec.structs.replace(state, phase=Phase.REFUSED, reason=reason, proof=proof), effects
