"""The asker's states of a long request."""

from dataclasses import replace

import pytest

from mixmint.errors import UserError
from replyblocks.conversation import NEVER, Clock
from replyblocks.delivery import Delivery, of_long_request
from replyblocks.long.conversation import (
    MOST_SILENT,
    WINDOW,
    Arrived,
    Effect,
    Event,
    ForgetBlocks,
    KeepPart,
    LongRequest,
    SendAsk,
    SendParts,
    State,
    Waits,
    ask,
    step,
)
from replyblocks.long.formats import Head
from replyblocks.long.parts import PART_BYTES

WAITS = Waits(lambda: 5.0, lambda silent: 10.0 * (1 + silent))
HEAD = Head(bytes(16), b"d" * 16, 4 * PART_BYTES, 1000)
ANSWER = Head(bytes(16), b"a" * 16, 10 * PART_BYTES)


def take(state: LongRequest, event: Event, now_s: float = 0) -> tuple[LongRequest, tuple[Effect, ...]]:
    return step(state, event, now_s, WAITS)


def asked() -> LongRequest:
    """The parts are sent, and the question after them."""
    state, effects = take(ask(None, "echo", HEAD, 0), Clock())
    assert effects == (SendParts((0, 1, 2, 3)),)
    assert take(state, Clock(), 4.9)[1] == ()
    state, effects = take(state, Clock(), 5)
    assert effects == (SendAsk(0, (0, 1)),)
    return state


def fetching() -> LongRequest:
    """The first part of the answer is here, and the others are asked for."""
    state, effects = take(asked(), Arrived(ANSWER, 0), 6)
    assert effects == (KeepPart(0),)
    state, effects = take(state, Clock(), 6)
    assert effects == (SendAsk(0, (1, 2, 3, 4, 5, 6, 7)), SendAsk(0, (8, 9)))
    return state


def test_only_what_is_missing_is_sent_again() -> None:
    """The service names what it has; the answers to older questions are of no more use."""
    state, effects = take(asked(), State(frozenset({0, 3})), 8)
    assert effects == (ForgetBlocks(),)
    state, effects = take(state, Clock(), 8)
    assert effects == (SendParts((1, 2)),)
    # A second answer to the question of before changes nothing.
    assert take(state, State(frozenset({0})), 9) == (state, ())
    assert take(state, Clock(), 13)[1] == (SendAsk(0, (0, 1)),)


def test_only_the_parts_that_did_not_come_are_asked_for_again() -> None:
    """Each with a fresh block; when all that was asked for is here, nobody waits."""
    state = fetching()
    for part in (1, 2, 4, 5, 6, 7, 8):
        state, effects = take(state, Arrived(ANSWER, part), 7)
        assert effects == (KeepPart(part),)
    assert take(state, Arrived(ANSWER, 1), 7) == (state, ())
    assert take(state, Clock(), 15.9)[1] == ()
    state, effects = take(state, Clock(), 16)
    assert effects == (SendAsk(0, (3, 9)),)
    state, _ = take(state, Arrived(ANSWER, 3), 17)
    assert state.next_s == 26
    done, effects = take(state, Arrived(ANSWER, 9), 17)
    assert effects == (KeepPart(9), ForgetBlocks())
    assert (done.is_done, done.next_s) == (True, NEVER)
    assert take(done, Clock(), 99) == (done, ())


def test_parts_of_another_answer_are_not_mixed_in() -> None:
    """A service that changes its mind isn't listened to."""
    state = fetching()
    assert take(state, Arrived(replace(ANSWER, digest=b"b" * 16), 1), 7) == (state, ())


def test_a_large_request_goes_window_by_window() -> None:
    """No more than so many packets at once, and the next window after the service's answer."""
    state, (first,) = take(ask(None, "echo", replace(HEAD, size=300 * PART_BYTES), 0), Clock())
    assert first == SendParts(tuple(range(WINDOW)))
    state, _ = take(state, Clock(), 5)
    state, _ = take(state, State(frozenset(range(WINDOW)) - {7}), 6)
    assert take(state, Clock(), 6)[1] == (SendParts((7, *range(WINDOW, 2 * WINDOW - 1))),)


def test_silence_ends_it_and_asking_again_goes_on() -> None:
    """Eight questions without an answer; the next time is never, so nobody waits in circles."""
    state, now_s, sent = asked(), 5.0, 1
    while state.next_s != NEVER:
        now_s = state.next_s
        state, effects = take(state, Clock(), now_s)
        sent += len(effects)
    assert sent == MOST_SILENT
    assert of_long_request(state, now_s) is Delivery.OVERDUE
    assert of_long_request(state, 1000) is Delivery.LOST
    assert ask(state, "echo", replace(HEAD, expires_s=2000), 999) == state
    again = ask(state, "echo", replace(HEAD, expires_s=2000), 1000)
    assert take(again, Clock(), 1000)[1] == (SendAsk(0, (0, 1)),)


def test_a_service_that_throws_parts_away_is_not_sent_them_for_ever() -> None:
    """Without progress a state is no news."""
    state, now_s, rounds = asked(), 5.0, 0
    while state.next_s != NEVER:
        state, _ = take(state, State(frozenset()), now_s)
        now_s = min(state.next_s, 999)
        state, effects = take(state, Clock(), now_s)
        rounds += any(isinstance(effect, SendParts) for effect in effects)
        now_s = max(now_s, min(state.next_s, 999))
        state, _ = take(state, Clock(), now_s)
    assert rounds <= MOST_SILENT


def test_a_service_that_had_to_forget_gets_the_parts_again() -> None:
    """While the answer is being fetched; then fetching goes on."""
    state, effects = take(fetching(), State(frozenset()), 8)
    assert effects == (ForgetBlocks(),)
    state, effects = take(state, Clock(), 8)
    assert effects == (SendParts((0, 1, 2, 3)),)
    assert take(state, Clock(), 13)[1] == (SendAsk(1, (1, 2, 3, 4, 5, 6, 7)), SendAsk(1, (8, 9)))


def test_the_same_id_for_another_request_is_refused() -> None:
    """Another body, or another service."""
    with pytest.raises(UserError):
        ask(asked(), "echo", replace(HEAD, digest=b"e" * 16), 1)
    with pytest.raises(UserError):
        ask(asked(), "bank", HEAD, 1)


def test_deliveries_of_a_long_request() -> None:
    """It is the one kind of request of which one knows that the service has it before the answer is here."""
    new = ask(None, "echo", HEAD, 0)
    late, _ = take(asked(), Clock(), 15)
    states = (new, asked(), fetching(), late)
    assert [of_long_request(state, 20) for state in states] == [
        Delivery.QUEUED,
        Delivery.SENT,
        Delivery.AT_SERVICE,
        Delivery.OVERDUE,
    ]
