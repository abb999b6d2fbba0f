"""
A conversation: one request, its resends, its answer. Pure: state and event in, state and effects out.

    state       event               new state   effects
    none        Asked               waiting     -                   (the clock sends it)
    waiting     Asked, same body    waiting     -
    waiting     Clock, due          waiting     Send(attempt)       (at most as often as ATTEMPTS is long)
    waiting     NotTaken            waiting     -                   (that sending doesn't count)
    waiting     Answered            answered    -
    expired     Asked, later end    waiting     -                   (counts its sendings anew)
    expired     Answered            answered    -                   (late is better than unknown)
    answered    anything            answered    -                   (the first answer stays)
    any         Asked, other body   refused with UserError

"Expired" is "waiting" after ``expires_s``. Each Send is made with a fresh route and fresh reply blocks; id,
body and service stay the same. What counts as "the same request" is service and body.

Source: docs/spec/conversation.md, section 3.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mixmint.errors import UserError

NEVER = float("inf")

ATTEMPTS = (0, 1, 2, 3, 3, 4, 4, 4)
"""
Which attempt each sending is: after the first come four resends, and of the last two several packets each,
one after the other. Where each mix drops 5 % a round trip fails in 27 of 100 cases (a resend's, whose answer
comes two ways, in 16), so that five packets would fail one request in 6,000, and these eight one in a
million; they are hardly ever needed, so they cost nothing.
"""


@dataclass(frozen=True, slots=True)
class Conversation:
    """
    ``sendings``: how often it was sent. ``next_s``: when it is sent again (Unix seconds), infinity for never.
    ``answer`` is None while none came.
    """

    request_id: bytes
    service: str
    body: bytes = field(repr=False)
    expires_s: int
    sendings: int = 0
    next_s: float = 0.0
    answer: bytes | None = field(default=None, repr=False)

    def is_expired(self, now_s: float) -> bool:
        """Whether the service would drop it now."""
        return self.answer is None and now_s >= self.expires_s


@dataclass(frozen=True, slots=True)
class Asked:
    """The caller wants this asked, for the first time or again."""

    service: str
    body: bytes = field(repr=False)
    expires_s: int


@dataclass(frozen=True, slots=True)
class Clock:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The gateway didn't take the last sending, as far as we know."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer was opened."""

    body: bytes = field(repr=False)


Event = Clock | NotTaken | Answered


@dataclass(frozen=True, slots=True)
class Send:
    """Send it, with a fresh route and fresh blocks, as this attempt: 0 first, then 1 to 4."""

    attempt: int


def ask(state: Conversation | None, request_id: bytes, event: Asked, now_s: float) -> Conversation:
    """
    The caller asks: begin, go on, or begin anew what has expired.

    Raises UserError when the id stands for another request.
    """
    if state is None:
        return Conversation(request_id, event.service, event.body, event.expires_s, next_s=now_s)
    if (state.service, state.body) != (event.service, event.body):
        raise UserError("this request id was used for another request; use a new one")
    if state.is_expired(now_s) and event.expires_s > now_s:
        return replace(state, expires_s=event.expires_s, sendings=0, next_s=now_s)
    return state


def step(
    state: Conversation, event: Event, now_s: float, draw_wait_s: Callable[[int], float]
) -> tuple[Conversation, Send | None]:
    """
    The table above. ``draw_wait_s(sending)`` draws how long to wait for an answer after that sending, counted
    from 0; it isn't asked after the last one.
    """
    if state.answer is not None:
        return state, None
    if isinstance(event, Answered):
        return replace(state, answer=event.body, next_s=NEVER), None
    if isinstance(event, NotTaken):
        return replace(state, sendings=max(state.sendings - 1, 0), next_s=now_s), None
    if state.is_expired(now_s) or state.sendings >= len(ATTEMPTS) or now_s < state.next_s:
        return state, None
    sendings = state.sendings + 1
    next_s = now_s + draw_wait_s(state.sendings) if sendings < len(ATTEMPTS) else NEVER
    return replace(state, sendings=sendings, next_s=next_s), Send(ATTEMPTS[state.sendings])
