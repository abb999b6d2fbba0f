"""
One order: from the first byte to the board.

    phase      event                              next        effects
    ---------  ---------------------------------  ----------  ------------------------------------------------
    asked      Begin                              asked       Ask, the very same bytes again
    asked      certificates                       answered    Spend inputs, Certify own outputs
    asked      spent, by this order or its        looking     -
               earlier form
    asked      spent, by a stranger's order       refused     Lose that coin, Free the others, Void outputs
    asked      taken, an own output               asked       MakeOutputs; then Renewed: Ask the new form
               the same, too often                asked       Keep evidence; asked anew when resumed
    asked      taken, the payee's output:
               certified                          refused     Free inputs, Void outputs
               promised to a held order           held        -
    asked      held                               held        -
    held       Clock past the hold, or the        asked       Ask again
               order's last round
    asked      too late                           refused     Free inputs, Void outputs
    asked      unknown certificate, expired coin  refused     Dispute that coin, Free the others, Keep proof
    asked      any other refusal                  refused     Keep evidence, Free inputs, Void outputs
    asked      Wrong                              asked       Keep evidence; asked anew when resumed
    any        Seen, all entries in one round     settled     Spend inputs, Forget
    answered   Seen, the last of the outputs      settled     Forget
    answered   Clock past the promised round      answered    Keep evidence, once
    looking    Clock far past the last round      looking     Keep evidence, once

Why a refusal may free the coins: each one that does is final for these bytes. *Spent* and *taken* name a
thing that never goes away, and the board's clock never goes back. The one that is not (an id promised to a
held order may be freed again) keeps the operation alive: an own output is made anew with the same inputs, of
which only one form can be executed; a payee's is waited for.
"""

from functools import cached_property

import msgspec

from bank.formats.answer import Certificates, Held, Promise, Refusal, Refused, Spent, Taken
from bank.formats.coin import coin_id
from bank.formats.order import Order, Output, SignedOrder, input_ids
from bank.formats.request import encode_request
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
    Forget,
    Free,
    Keep,
    Lose,
    MakeOutputs,
    Phase,
    Renewed,
    Seen,
    Spend,
    Void,
    Wrong,
)

MOST_PROMISED_ROUNDS = 1000
"""Beyond what a bank promises: what it executed by an order's last round is on the board so much later."""

MOST_FORMS = 16
"""Another copy of the wallet takes an id or two. More often only a bank says so that wants no end of it."""


class OrderState(msgspec.Struct, frozen=True, kw_only=True, tag="order", dict=True):
    """
    An order on its way. ``signed`` is its opening, the payer's receipt: salt, order, signatures.

    ``mine``: the ids of the outputs that are the wallet's own. ``earlier``: the seals of forms that were
    refused with *taken*. ``conversation``: 16 random bytes, from which the post's ids derive. ``round``: the
    promised round when answered, the hold's last one when held, the board's when settled. ``late``: outputs
    that the board has shown without the rest; ``spent_in``: the round that so
    showed the inputs, or 0. ``proof``: the answer that ended it; and the one with the certificates, as long
    as the board doesn't show them. ``posted``: whether we have put on the board what
    the bank certified for others. ``mark``: what the order's note binds, with its salts (wallet/marks).
    ``patient_until``: after a change of the bank's key, the round until which an unknown certificate
    isn't final.
    """

    signed: bytes
    mine: tuple[bytes, ...]
    purpose: str
    conversation: bytes
    parent: int = 0
    phase: Phase = Phase.ASKED
    attempt: int = 0
    earlier: tuple[bytes, ...] = ()
    round: int = 0
    spent_in: int = 0
    overdue: bool = False
    late: tuple[bytes, ...] = ()
    reason: str = ""
    proof: bytes = b""
    posted: bool = False
    mark: bytes = b""
    patient_until: int = 0
    claim: ClaimRecord = ClaimRecord()

    @cached_property
    def opened(self) -> SignedOrder:
        return SignedOrder.decode(self.signed)

    @property
    def order(self) -> Order:
        return self.opened.order

    def own_outputs(self) -> tuple[Output, ...]:
        return tuple(output for output in self.order.outputs if output.coin in self.mine)

    def wanted(self) -> frozenset[bytes]:
        """The coin ids that the board must show."""
        return frozenset(output.coin for output in self.order.outputs)

    def question(self) -> bytes:
        """What the bank is asked, in bytes."""
        return encode_request(self.opened)

    def __repr__(self) -> str:
        return f"OrderState({self.purpose}, {self.phase.value})"


def advance(state: OrderState, event: Event) -> tuple[OrderState, list[Effect]]:
    """One step of the table above. Of the final states only *refused* takes one: the board overrules it."""
    if isinstance(event, Seen):
        return _seen(state, event) if state.phase is not Phase.SETTLED else (state, [])
    if state.phase in FINAL:
        return state, []
    if isinstance(event, Begin):
        return state, [_ask(state)] if state.phase is Phase.ASKED else []
    if isinstance(event, Clock):
        return _clock(state, event.round)
    if state.phase is not Phase.ASKED:
        return state, []
    if isinstance(event, Renewed):
        # The new form is another order with the same inputs: at most one of the two can be executed.
        renewed = msgspec.structs.replace(
            state,
            signed=event.signed,
            mine=tuple(output.coin for output in event.outputs),
            earlier=(*state.earlier, state.opened.seal),
            attempt=state.attempt + 1,
        )
        return renewed, [_ask(renewed)]
    if isinstance(event, Wrong):
        asked_anew = msgspec.structs.replace(state, attempt=state.attempt + 1)
        return asked_anew, [Forget(state.attempt), Keep(event.reason, event.data)]
    return _answered(state, event) if isinstance(event, Answered) else (state, [])


def _ask(state: OrderState) -> Ask:
    return Ask(state.attempt, state.question())


def _answered(state: OrderState, event: Answered) -> tuple[OrderState, list[Effect]]:
    body, data = event.answer.body, event.answer.encode()
    if isinstance(body, Certificates):
        return _certified(state, body, data)
    if isinstance(body, Held):
        # A hold without end would keep the coins for good: at the order's own end the bank is asked again.
        until = min(body.last_round, state.order.last_round)
        return msgspec.structs.replace(state, phase=Phase.HELD, round=until), []
    if isinstance(body, Spent):
        if body.seal in (state.opened.seal, *state.earlier):
            return msgspec.structs.replace(state, phase=Phase.LOOKING, proof=data), []
        lose = Lose(body.coin_key, body.seal, body.signature)
        return refuse(state, "spent", data, lose, without=coin_id(body.coin_key))
    if isinstance(body, Taken):
        output = state.order.outputs[body.index]
        if output.coin in state.mine and len(state.earlier) >= MOST_FORMS:
            again = msgspec.structs.replace(state, attempt=state.attempt + 1)
            return again, [Forget(state.attempt), Keep("taken-again", data + state.signed)]
        if output.coin in state.mine:
            exponents = tuple(each.exponent for each in state.own_outputs())
            return state, [MakeOutputs(exponents)]
        if isinstance(body.proof, Promise):
            # It may lapse, and then these bytes are good again: freed coins could pay a second time.
            until = min(body.proof.last_round, state.order.last_round)
            return msgspec.structs.replace(state, phase=Phase.HELD, round=until), []
        return refuse(state, "taken", data)
    if isinstance(body, Refused):
        return _refused(state, body, data)
    return state, []


def _certified(state: OrderState, body: Certificates, data: bytes) -> tuple[OrderState, list[Effect]]:
    pairs = zip(state.order.outputs, body.certificates, strict=True)
    own = [(output, certificate) for output, certificate in pairs if output.coin in state.mine]
    effects: list[Effect] = [Spend(input_ids(state.order))]
    if own:
        outputs, certificates = zip(*own, strict=True)
        effects.append(Certify(outputs, certificates, body.epoch, body.round))
    return msgspec.structs.replace(state, phase=Phase.ANSWERED, round=body.round, proof=data), effects


def _refused(state: OrderState, body: Refused, data: bytes) -> tuple[OrderState, list[Effect]]:
    name = body.reason.name.lower().replace("_", "-")
    if body.reason is Refusal.TOO_LATE:
        return refuse(state, name, data)
    if body.reason is Refusal.UNKNOWN_CERTIFICATE and state.patient_until:
        # The order that made this coin may be answered by the successor a moment later.
        return msgspec.structs.replace(state, phase=Phase.HELD, round=0), []
    evidence = Keep(name, data + state.signed)
    if body.reason in (Refusal.UNKNOWN_CERTIFICATE, Refusal.EXPIRED_COIN) and body.index < len(
        state.order.inputs
    ):
        coin = coin_id(state.order.inputs[body.index])
        return refuse(state, name, data, Dispute(coin), evidence, without=coin)
    return refuse(state, name, data, evidence)


def refuse(
    state: OrderState, reason: str, proof: bytes, *more: Effect, without: bytes = b""
) -> tuple[OrderState, list[Effect]]:
    """It is over for these bytes: free what it kept, but for the coin (id) that was the reason."""
    freed = tuple(coin for coin in input_ids(state.order) if coin != without)
    effects: list[Effect] = [*more, Void(state.mine), Forget(state.attempt)]
    if freed:
        effects.insert(len(more), Free(freed))
    return msgspec.structs.replace(state, phase=Phase.REFUSED, reason=reason, proof=proof), effects


def _seen(state: OrderState, event: Seen) -> tuple[OrderState, list[Effect]]:
    if event.spent >= set(state.order.inputs) and event.certified >= state.wanted():
        # "Spent, by this very order" was no proof against anybody, and a promise that was kept is none.
        proof = b"" if state.phase in (Phase.LOOKING, Phase.ANSWERED) else state.proof
        settled = msgspec.structs.replace(state, phase=Phase.SETTLED, round=event.round, proof=proof)
        return settled, [Spend(input_ids(state.order)), Forget(state.attempt)]
    # Entries of one order are never split over rounds; this board or this bank breaks the rule. A certificate
    # alone breaks none: its holder may have posted it.
    evidence: list[Effect] = [Keep("split-order", state.signed)] if event.spent else []
    late = event.certified.union(state.late)
    if not state.spent_in and event.spent >= set(state.order.inputs):
        state = msgspec.structs.replace(state, spent_in=event.round)
    if state.phase is Phase.ANSWERED and late >= state.wanted():
        # The inputs were spent by the bank's own signed answer.
        settled = msgspec.structs.replace(state, phase=Phase.SETTLED, round=event.round, late=(), proof=b"")
        return settled, [*evidence, Forget(state.attempt)]
    if late == set(state.late):
        return state, evidence
    return msgspec.structs.replace(state, late=tuple(sorted(late))), evidence


def _clock(state: OrderState, newest: int) -> tuple[OrderState, list[Effect]]:
    if state.phase is Phase.HELD and newest >= state.round:
        patient = state.patient_until if newest < state.patient_until else 0
        again = msgspec.structs.replace(
            state, phase=Phase.ASKED, attempt=state.attempt + 1, patient_until=patient
        )
        return again, [Forget(state.attempt), _ask(again)]
    if state.phase is Phase.ANSWERED and newest >= state.round and not state.overdue:
        return msgspec.structs.replace(state, overdue=True), [Keep("overdue", state.proof + state.signed)]
    unseen = state.phase is Phase.LOOKING and newest >= state.order.last_round + MOST_PROMISED_ROUNDS
    if unseen and not state.overdue:
        evidence = Keep("overdue", state.proof + state.signed)
        return msgspec.structs.replace(state, overdue=True), [evidence]
    return state, []
