"""
The asker's side of a long request. Pure: state and event in, state and effects out.

    phase      event                      new phase   effects
    none       Asked                      sending     -
    sending    Clock, due                 asking      SendParts (a window of those that are missing)
    asking     Clock, due                 asking      SendAsk for the answer's first parts
    asking     State, parts are missing   sending     ForgetBlocks       (due at once)
    fetching   State, parts are missing   sending     ForgetBlocks       (the service had to forget them)
    asking     Arrived, the first part    fetching    KeepPart           (due at once)
    fetching   Clock, due                 fetching    SendAsk for a window of the parts that are wanted
    fetching   Arrived                    fetching    KeepPart           (all that was asked for: due at once)
    fetching   Arrived, the last part     done        KeepPart, ForgetBlocks

After its parts a question follows only when they must have arrived, so the service's answer names what is
really lost, and only that is sent again. Eight sendings without any news end it, until it is asked again with
a later expiry. What counts as "the same request" is service and body.

Source: docs/spec/long-conversation.md, section 4.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum

from mixmint.errors import UserError
from replyblocks.conversation import NEVER, Clock
from replyblocks.formats import MOST_ATTEMPT
from replyblocks.long.formats import MOST_PAIRS, Head

WINDOW = 128
"""Parts that are on their way at once: the service's mailbox and its neighbours' patience are not endless."""

MOST_SILENT = 8
NONE: frozenset[int] = frozenset()


class Phase(IntEnum):
    """What is done when it is due."""

    SENDING = 1
    ASKING = 2
    FETCHING = 3


@dataclass(frozen=True, slots=True)
class LongRequest:
    """
    ``head``: the request's bytes. ``missing``: parts of them that the service isn't known to have.

    ``answer``: the answer's bytes, once any part of it came; ``wanted``: parts of it that didn't come yet;
    ``asked``: those of them that were asked for. ``silent``: questions since the last news.
    """

    service: str
    head: Head
    missing: frozenset[int]
    phase: Phase = Phase.SENDING
    answer: Head | None = None
    wanted: frozenset[int] = NONE
    asked: frozenset[int] = NONE
    silent: int = 0
    next_s: float = 0.0

    @property
    def is_done(self) -> bool:
        return self.answer is not None and not self.wanted

    def is_expired(self, now_s: float) -> bool:
        """Whether the service would drop it now."""
        return not self.is_done and now_s >= self.head.expires_s


@dataclass(frozen=True, slots=True)
class State:
    """The service says which parts it has."""

    received: frozenset[int]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A part of the answer came."""

    answer: Head
    part: int


Event = Clock | State | Arrived


@dataclass(frozen=True, slots=True)
class SendParts:
    """Send these parts of the request."""

    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SendAsk:
    """Send a question with a fresh reply block for each of these parts of the answer."""

    attempt: int
    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KeepPart:
    """Store the part that came, in the same transaction."""

    part: int


@dataclass(frozen=True, slots=True)
class ForgetBlocks:
    """What still comes by the blocks that were given out is of no more use."""


Effect = SendParts | SendAsk | KeepPart | ForgetBlocks


@dataclass(frozen=True, slots=True)
class Waits:
    """
    Draw times in seconds: ``gap_s()``, until what was sent has arrived; ``trip_s(silent)``, until an answer
    to a question must be here, after so many without any.
    """

    gap_s: Callable[[], float]
    trip_s: Callable[[int], float]


def ask(state: LongRequest | None, service: str, head: Head, now_s: float) -> LongRequest:
    """
    The caller asks: begin, go on, or begin anew what has expired.

    Raises UserError when the id stands for another request.
    """
    if state is None:
        return LongRequest(service, head, frozenset(range(head.parts)), next_s=now_s)
    if (state.service, state.head.digest, state.head.size) != (service, head.digest, head.size):
        raise UserError("this request id was used for another request; use a new one")
    if state.is_expired(now_s) and head.expires_s > now_s:
        # The service has forgotten what it had, or not: it will say so.
        phase = Phase.ASKING if state.answer is None else Phase.FETCHING
        return replace(state, head=head, phase=phase, silent=0, next_s=now_s)
    return state


def step(
    state: LongRequest, event: Event, now_s: float, waits: Waits
) -> tuple[LongRequest, tuple[Effect, ...]]:
    """The table above."""
    if state.is_done:
        return state, ()
    if isinstance(event, State):
        return _state(state, event.received, now_s)
    if isinstance(event, Arrived):
        return _arrived(state, event, now_s)
    if state.is_expired(now_s) or state.silent >= MOST_SILENT or now_s < state.next_s:
        return state, ()
    if state.phase is Phase.SENDING:
        window = tuple(sorted(state.missing)[:WINDOW])
        phase = Phase.ASKING if state.answer is None else Phase.FETCHING
        return replace(state, phase=phase, next_s=now_s + waits.gap_s()), (SendParts(window),)
    # Infinity, not a time that has passed: whoever waits for the next step would wait in circles.
    next_s = now_s + waits.trip_s(state.silent) if state.silent + 1 < MOST_SILENT else NEVER
    attempt = min(state.silent, MOST_ATTEMPT)
    later = replace(state, silent=state.silent + 1, next_s=next_s)
    if state.phase is Phase.ASKING:
        # The second block is for an answer of two parts; of a resend, for the answer's second way.
        return later, (SendAsk(attempt, (0, 0) if attempt else (0, 1)),)
    window = tuple(sorted(state.wanted)[:WINDOW])
    asks = tuple(SendAsk(attempt, window[at : at + MOST_PAIRS]) for at in range(0, len(window), MOST_PAIRS))
    return replace(later, asked=frozenset(window)), asks


def _state(
    state: LongRequest, received: frozenset[int], now_s: float
) -> tuple[LongRequest, tuple[Effect, ...]]:
    if state.phase is Phase.SENDING or state.silent == 0:
        return state, ()  # to a question of before
    missing = frozenset(range(state.head.parts)) - received
    if not missing:
        return state, ()
    # A service that throws parts away would be sent them for ever.
    silent = 0 if len(missing) < len(state.missing) else state.silent
    next_s = now_s if silent < MOST_SILENT else NEVER
    later = replace(state, missing=missing, phase=Phase.SENDING, silent=silent, next_s=next_s)
    return later, (ForgetBlocks(),)


def _arrived(state: LongRequest, event: Arrived, now_s: float) -> tuple[LongRequest, tuple[Effect, ...]]:
    if state.answer is None:
        wanted = frozenset(range(event.answer.parts))
        state = replace(
            state,
            missing=NONE,
            phase=Phase.FETCHING,
            answer=event.answer,
            wanted=wanted,
            asked=wanted & {event.part} if len(wanted) > 2 else wanted,
        )
    if event.answer != state.answer or event.part not in state.wanted:
        return state, ()
    wanted, asked = state.wanted - {event.part}, state.asked - {event.part}
    next_s = state.next_s if asked else now_s
    effects: tuple[Effect, ...] = (KeepPart(event.part),)
    if not wanted:
        next_s, effects = NEVER, (*effects, ForgetBlocks())
    return replace(state, wanted=wanted, asked=asked, silent=0, next_s=next_s), effects
