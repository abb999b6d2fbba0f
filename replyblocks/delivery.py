"""
What became of something that was sent, as far as anybody can know. Pure.

    queued      the gateway hasn't taken it yet
    sent        it is on its way, and not late
    at service  the service has all of it (known of long requests only, whose parts are acknowledged)
    answered    the answer is here
    overdue     later than practically all answers; what can be sent again is sent again by itself
    lost        nothing can come any more: its time, or its reply blocks' time, is over

"Lost" says nothing about what the other side did: a request may have been worked on, a message read.

Source: docs/spec/conversation.md, section 3; docs/spec/message.md, section 5.
"""

from dataclasses import dataclass
from enum import StrEnum

from replyblocks.conversation import Conversation
from replyblocks.long.conversation import LongRequest, Phase

PEOPLE_S = 86400
"""After a day a message's answer counts as overdue. People take their time; machines don't."""


class Delivery(StrEnum):
    """A state of delivery, as the command line shows it."""

    QUEUED = "queued"
    SENT = "sent"
    AT_SERVICE = "at service"
    ANSWERED = "answered"
    OVERDUE = "overdue"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class SentRequest:
    """
    One request of ours: to which service, how often it was sent (a long one: since something was last heard
    of it), and what became of it.
    """

    service: str
    sendings: int
    delivery: Delivery


def of_request(state: Conversation, now_s: float) -> Delivery:
    """Of a request to a service. Overdue from its first resend on, which comes after 99 in 100 answers."""
    if state.answer is not None:
        return Delivery.ANSWERED
    if state.is_expired(now_s):
        return Delivery.LOST
    if state.sendings == 0:
        return Delivery.QUEUED
    if state.sendings > 1 or now_s >= state.next_s:
        return Delivery.OVERDUE
    return Delivery.SENT


def of_long_request(state: LongRequest, now_s: float) -> Delivery:
    """Of a long request: once the answer has begun to come, or nothing is missing, it is at the service."""
    if state.is_done:
        return Delivery.ANSWERED
    if state.is_expired(now_s):
        return Delivery.LOST
    if state.silent > 1:
        return Delivery.OVERDUE
    if state.answer is not None:
        return Delivery.AT_SERVICE
    is_new = state.phase is Phase.SENDING and len(state.missing) == state.head.parts
    return Delivery.QUEUED if is_new else Delivery.SENT


def of_message(state: str, sent_s: float, given: int, *, is_answerable: bool, now_s: float) -> Delivery:
    """
    Of a message between people, in the outbox with ``state`` since ``sent_s``.

    ``given``: how many reply blocks went with it; without any it is never overdue, nor known to be lost.
    ``is_answerable``: whether one of them can still bring an answer.
    """
    if state == "answered":
        return Delivery.ANSWERED
    if state == "expired":
        return Delivery.LOST
    if state == "queued":
        return Delivery.QUEUED
    if given and not is_answerable:
        return Delivery.LOST
    if given and now_s >= sent_s + PEOPLE_S:
        return Delivery.OVERDUE
    return Delivery.SENT
