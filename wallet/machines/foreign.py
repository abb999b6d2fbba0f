"""
An order that its payer signed and the payee carries out: a hold that is captured, a sealed payment.

    phase     event                                next       effects
    --------  -----------------------------------  ---------  ------------------------------------------------
    asked     Begin                                asked      Ask: seal and h, or the whole order
    asked     certificates                         answered   Certify our outputs
    asked     spent, by this order                 looking    -
    asked     spent, by another order              refused    Keep evidence if that broke a hold
    asked     held, by another order               held       Keep evidence if that broke a hold
    asked     taken: certified                     refused    -
    asked     taken: promised to a held order      held       -
    asked     any other refusal                    refused    -
    held      Clock past that hold                 asked      Ask again
    held      Clock at the request's end           refused    -, if it was sealed
    asked     held once more, if it was sealed     refused    -
    answered, looking, any                                    as any order (order.py)

The inputs aren't ours: nothing is freed, lost or disputed, and what the bank says of them (never certified,
sums that differ) may be true. Our outputs can't be made anew either, since they are under the payer's
signature; but they stay ours, whatever brings them. Where the bank's hold, or certificates that the payer has
shown, contradict a refusal, only the board's answer to a claim ends it (claim.py).

A sealed payment says itself how long it may be executed, and its sender may be anyone who has seen the
request: with a coin that he holds again and again it would be open for ever. So it waits for one hold, and no
longer than the request. Nothing is lost: should the board show its outputs, they are ours.

When the bank's key was changed, what the old one held is held no more, and the successor knows nothing of it
(``unheld``). Then the order is asked for like any that has a tau, and its h is shown once it is held anew:

    asked     hold, once it was ``unheld``         asked      Forget, Ask: seal and h

So it is with a hold that the bank has forgotten, some while after its end:

    asked     no hold, near its end or later       asked      Forget, Ask: the whole order; ``unheld``

A *hold* is the bank's word that it gives these coins to nobody else up to a round. What contradicts it well
before that round is kept, with the word, as evidence.
"""

import msgspec

from bank.formats.answer import (
    Answer,
    CertifiedBefore,
    Held,
    Hold,
    Promise,
    Refusal,
    Refused,
    Spent,
    Taken,
)
from bank.formats.request import Execute, encode_request
from wallet.machines import order
from wallet.machines.order import OrderState, refuse
from wallet.machines.steps import Answered, Ask, Clock, Effect, Event, Forget, Keep, Phase

MARGIN_ROUNDS = 2
"""The bank hears of a closed round before its readers do: so near a hold's end it may be right already."""
BROKEN = "hold-broken"


class ForeignState(OrderState, frozen=True, kw_only=True, tag="foreign", dict=True):
    """
    ``mine``: the outputs that are ours. ``parent``: the request that they belong to. ``h``: 32 bytes that
    execute it, for a hold; ``hold``: the bank's signed answer to its payer. ``is_near``: whether that hold
    was (nearly) over when the board was last read. ``unheld``: that hold is by a key that the bank has no
    more, or is forgotten, so it binds nobody. ``certificates``: of the inputs of a sealed payment, as
    its payer showed them and they were checked, 69 bytes each. ``end``: the last round in which a sealed
    payment may wait, 0 where that isn't known; ``waited``: whether it has waited for a hold.
    """

    h: bytes = b""
    hold: bytes = b""
    is_near: bool = False
    unheld: bool = False
    certificates: tuple[bytes, ...] = ()
    end: int = 0
    waited: bool = False

    @property
    def is_sealed(self) -> bool:
        """Whether it is a sealed payment, which the bank has promised nobody to keep."""
        return not self.h

    def question(self) -> bytes:
        if self.h and not self.unheld:
            return encode_request(Execute(self.opened.seal, self.h))
        return encode_request(self.opened)

    def word(self) -> bytes:
        """What the bank was asked by the payer, and its hold: request and answer, length 2 before each."""
        parts = encode_request(self.opened), self.hold
        return b"".join(len(part).to_bytes(2) + part for part in parts)

    @property
    def is_claimable(self) -> bool:
        """Whether what makes it valid can be shown to everyone: the bank's hold, or the certificates."""
        return bool(self.h and self.hold and not self.unheld) or bool(self.certificates)

    def until(self) -> int:
        """The hold's last round; 0 without one that counts."""
        body = Answer.decode(self.hold).body if self.hold and not self.unheld else None
        return body.to_round if isinstance(body, Hold) else 0


def advance(state: ForeignState, event: Event) -> tuple[OrderState, list[Effect]]:
    """One step of the table above."""
    if isinstance(event, Clock):
        state = at(state, event.round)
        if state.phase is Phase.HELD and state.is_sealed and state.end and event.round >= state.end:
            return refuse(state, "held", b"")
    if state.phase is Phase.ASKED and isinstance(event, Answered):
        ours = _answered(state, event.answer)
        if ours is not None:
            return ours
    return order.advance(state, event)


def at(state: ForeignState, closed: int) -> ForeignState:
    """The state, knowing that this is the board's newest round."""
    if not _is_live(state) or closed + MARGIN_ROUNDS < state.until():
        return state
    return msgspec.structs.replace(state, is_near=True)


def _answered(state: ForeignState, answer: Answer) -> tuple[OrderState, list[Effect]] | None:
    """What ends or delays it; None for what order.py does as it is."""
    body, data = answer.body, answer.encode()
    if isinstance(body, Hold) and state.unheld:
        attempt = state.attempt + 1
        held = msgspec.structs.replace(state, hold=data, unheld=False, is_near=False, attempt=attempt)
        return held, [Forget(state.attempt), Ask(attempt, held.question())]
    if isinstance(body, Held | Spent) and body.seal != state.opened.seal:
        broken: list[Effect] = [Keep(BROKEN, state.word() + data)] if _is_live(state) else []
        if isinstance(body, Held) and state.is_sealed:
            if state.waited:
                return refuse(state, "held", data)
            state = msgspec.structs.replace(state, waited=True)
        if isinstance(body, Held):
            waiting, effects = order.advance(state, Answered(answer))
            return waiting, broken + effects
        return refuse(state, "spent", data, *broken)
    if isinstance(body, Taken) and isinstance(body.proof, CertifiedBefore):
        return refuse(state, "taken", data)
    if body == Refused(Refusal.NO_HOLD) and state.h and state.is_near and not state.unheld:
        attempt = state.attempt + 1
        forgotten = msgspec.structs.replace(state, unheld=True, attempt=attempt)
        return forgotten, [Forget(state.attempt), Ask(attempt, forgotten.question())]
    if isinstance(body, Taken) and isinstance(body.proof, Promise):
        until = min(body.proof.last_round, state.order.last_round)
        return msgspec.structs.replace(state, phase=Phase.HELD, round=until), []
    if isinstance(body, Refused):
        return refuse(state, body.reason.name.lower().replace("_", "-"), data)
    return None


def contradicts(state: ForeignState, reason: Refusal) -> bool:
    """Whether what the payer has shown contradicts this refusal."""
    if state.h and state.hold and not state.unheld:
        # The bank held the order: it certified the coins, and the sums were right.
        if reason is Refusal.NO_HOLD:
            return not state.is_near
        return reason in (Refusal.UNKNOWN_CERTIFICATE, Refusal.EXPIRED_COIN, Refusal.SUMS)
    return bool(state.certificates) and reason is Refusal.UNKNOWN_CERTIFICATE


def _is_live(state: ForeignState) -> bool:
    return bool(state.hold) and not state.is_near and not state.unheld
