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

from functools import cached_property

import msgspec

from bank.formats.account import (
    NO_HEAD,
    AccountRequest,
    Operation,
    SignedAccountRequest,
    SignedStatement,
    Statement,
    sign_request,
)
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
from bank.formats.coin import CoinId, coin_id
from bank.formats.fields import Reader
from bank.formats.order import NOTHING, Output, SignedOrder, input_ids
from bank.formats.request import Deposit, Replace, Withdraw, encode_request, sign_read
from mixmint.keys import SigningKey
from wallet.machines.record import ClaimRecord
from wallet.machines.steps import (
    FINAL,
    Answered,
    Ask,
    Begin,
    Certify,
    Clock,
    Dispute,
    Effect,
    Event,
    Extend,
    Forget,
    Free,
    Head,
    Keep,
    Lose,
    MakeOutputs,
    Phase,
    Renewed,
    Replaced,
    Seen,
    Spend,
    Void,
    Wrong,
)

MOST_FORMS = 16
"""Another copy of the wallet takes an id or two. More often only a bank says so that wants no end of it."""
BLOCKED = "sequence"
"""The bank refuses the next request of the chain, and its statements show no reason."""


class AccountState(msgspec.Struct, frozen=True, kw_only=True, tag="account", dict=True):
    """
    A withdrawal (``outputs``: coin id and exponent each), a deposit (``order``: the signed order), or a
    replacement (``replaced``: as outputs, coins of a withdrawal; ``receipt``: that withdrawal's signed
    request, then the bank's signed statement).

    ``requests``: every account request that was ever signed for it, the newest last. ``current``: the one
    that is asked. ``since``: the first statement that is asked for; on file, because the head may move on
    while the question is under way, and one conversation carries one question. ``round``: promised when
    answered, the board's when settled. ``shown``: the round in which the board showed it before the bank's
    answer came. ``late``: outputs that the board has shown without the rest.
    """

    operation: int
    bank: bytes
    request_id: bytes
    last_round: int
    outputs: tuple[tuple[bytes, int], ...] = ()
    order: bytes = b""
    parent: int = 0
    phase: Phase = Phase.READING
    requests: tuple[bytes, ...] = ()
    current: int = 0
    since: int = 0
    attempt: int = 0
    round: int = 0
    shown: int = 0
    overdue: bool = False
    late: tuple[bytes, ...] = ()
    reason: str = ""
    proof: bytes = b""
    claim: ClaimRecord = ClaimRecord()
    replaced: tuple[tuple[bytes, int], ...] = ()
    receipt: bytes = b""

    @cached_property
    def opened(self) -> SignedOrder:
        return SignedOrder.decode(self.order)

    @property
    def is_deposit(self) -> bool:
        return self.operation == Operation.DEPOSIT

    @property
    def is_replacement(self) -> bool:
        return self.operation == Operation.REPLACE

    @cached_property
    def withdrawal(self) -> tuple[SignedAccountRequest, SignedStatement]:
        """What a replacement shows: the withdrawal that made its coins."""
        reader = Reader(self.receipt)
        return SignedAccountRequest.read(reader), SignedStatement.read(reader)

    @property
    def mine(self) -> tuple[bytes, ...]:
        return tuple(coin for coin, _ in self.outputs)

    def inputs(self) -> tuple[bytes, ...]:
        """The ids of the coins that a deposit spends."""
        return input_ids(self.opened.order) if self.is_deposit else ()

    def signed(self) -> SignedAccountRequest:
        """The request that is asked."""
        return SignedAccountRequest.read(Reader(self.requests[self.current]))

    def wanted(self) -> frozenset[bytes]:
        """The coin ids that the board must show."""
        return frozenset(self.mine)

    def __repr__(self) -> str:
        return f"AccountState({Operation(self.operation).name.lower()}, {self.phase.value})"


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
        return _sign(renewed, head, key, [])
    return _answered(state, event, head, key) if isinstance(event, Answered) else (state, [])


def _begin(state: AccountState, head: Head, key: SigningKey) -> tuple[AccountState, list[Effect]]:
    if state.phase is Phase.READING:
        if head is not None and not state.requests:
            # The chain's head is usually still the newest: one round trip instead of two.
            return _sign(state, head, key, [])
        reading = state if state.since else msgspec.structs.replace(state, since=_after(head))
        return reading, [_read(reading, key)]
    if state.phase is Phase.ASKED:
        return state, [_ask(state)]
    return state, []


def _after(head: Head) -> int:
    """The sequence of the statement after the chain's head."""
    return 1 if head is None else head.sequence + 1


def _read(state: AccountState, key: SigningKey) -> Ask:
    return Ask(state.attempt, encode_request(sign_read(key, state.bank, state.since)))


def _ask(state: AccountState) -> Ask:
    signed = state.signed()
    if state.is_replacement:
        return Ask(state.attempt, encode_request(Replace(signed, *state.withdrawal)))
    body = Deposit(signed, state.opened) if state.is_deposit else Withdraw(signed)
    return Ask(state.attempt, encode_request(body))


def _next(state: AccountState, phase: Phase, **changes: object) -> AccountState:
    """The state for another conversation: each asks for other bytes, so each has a number of its own."""
    return msgspec.structs.replace(state, phase=phase, attempt=state.attempt + 1, **changes)


def _sign(
    state: AccountState, head: Head, key: SigningKey, before: list[Effect]
) -> tuple[AccountState, list[Effect]]:
    request = AccountRequest(
        bank=state.bank,
        account=key.public,
        sequence=_after(head),
        head=NO_HEAD if head is None else head.head(),
        operation=Operation(state.operation),
        request_id=state.request_id,
        last_round=state.last_round,
        seal=_seal(state),
        outputs=tuple(
            Output(CoinId(coin), exponent) for coin, exponent in sorted(state.outputs or state.replaced)
        ),
    )
    requests = (*state.requests, sign_request(key, request).encode())
    asked = _next(state, Phase.ASKED, requests=requests, current=len(requests) - 1)
    return asked, [*before, _ask(asked)]


def _seal(state: AccountState) -> bytes:
    """Of the deposit's order, or the digest of the withdrawal that a replacement is about."""
    if state.is_replacement:
        return state.withdrawal[0].request.digest()
    return state.opened.seal if state.is_deposit else NOTHING


def _answered(
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
            reading = _next(state, Phase.READING, since=_after(head))
            return reading, [_read(reading, key)]
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
        asked = _next(state, Phase.ASKED, current=executed)
        return asked, [*effects, _ask(asked)]
    if len(body.statements) == MOST_STATEMENTS:
        more = _next(state, Phase.READING, since=_after(newest))
        return more, [*effects, _read(more, key)]
    wanted = 0 if not state.requests else state.signed().request.sequence
    alive = newest is not None and wanted and state.signed().request.head == newest.head()
    if newest is not None and alive and wanted == newest.sequence + 1:
        # The request is the chain's very next, and was refused all the same: no new one may be signed, since
        # this one is still alive. The bank is asked again when the member resumes.
        asked = _next(state, Phase.ASKED)
        return asked, [*effects, Keep(BLOCKED, state.requests[state.current])]
    if newest is None:
        return _refuse(state, "no-account", b"")
    return _sign(state, newest, key, effects)


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
