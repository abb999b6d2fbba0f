"""The state machine of a conversation, alone and against a service under loss, copies and reordering."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmint.errors import UserError
from replyblocks.conversation import (
    ATTEMPTS,
    NEVER,
    Answered,
    Asked,
    Clock,
    Conversation,
    NotTaken,
    Send,
    ask,
    step,
)
from replyblocks.formats import MOST_ATTEMPT
from replyblocks.timing import WAITS

ID = bytes(16)
ASKED = Asked("bank", b"body", 1000)


def wait_s(sending: int) -> float:
    return 10.0 * WAITS[sending]


def run(state: Conversation, *times: float) -> tuple[Conversation, list[tuple[float, int]]]:
    """The clock at these times; what was sent when."""
    sent = []
    for now_s in times:
        state, send = step(state, Clock(), now_s, wait_s)
        if send is not None:
            sent.append((now_s, send.attempt))
    return state, sent


def test_sendings_come_at_drawn_times_and_end() -> None:
    """The first at once, then four resends, the last two of several packets; never two at the same time."""
    state = ask(None, ID, ASKED, 0)
    state, sent = run(state, *range(1000))
    assert sent == [(0, 0), (10, 1), (30, 2), (70, 3), (90, 3), (130, 4), (140, 4), (150, 4)]
    assert max(ATTEMPTS) == MOST_ATTEMPT
    assert len(WAITS) == len(ATTEMPTS) - 1
    assert state.next_s == NEVER


def test_an_answer_ends_it_and_the_first_answer_stays() -> None:
    """A second answer, whatever it says, changes nothing."""
    state, _ = run(ask(None, ID, ASKED, 0), 0)
    state, effect = step(state, Answered(b"first"), 1, wait_s)
    assert (state.answer, effect) == (b"first", None)
    again, _ = step(state, Answered(b"second"), 2, wait_s)
    assert again == state
    assert run(state, *range(1000)) == (state, [])
    assert ask(state, ID, ASKED, 2000) == state


def test_a_sending_that_was_not_taken_does_not_count() -> None:
    """A gateway that is away for long doesn't use up the resends."""
    state = ask(None, ID, ASKED, 0)
    for now_s in range(20):
        state, send = step(state, Clock(), now_s, wait_s)
        assert send == Send(0)
        state, _ = step(state, NotTaken(), now_s, wait_s)
    assert state.sendings == 0


def test_nothing_is_sent_after_expiry_and_asking_again_begins_anew() -> None:
    """The same id may live again, with a later end; asked with the old end it stays expired."""
    state, sent = run(ask(None, ID, ASKED, 995), 995, 1000, 1010, 2000)
    assert sent == [(995, 0)]
    assert state.is_expired(1000)
    assert ask(state, ID, ASKED, 2000) == state
    renewed = ask(state, ID, Asked("bank", b"body", 3000), 2000)
    assert run(renewed, 2000, 2010)[1] == [(2000, 0), (2010, 1)]


def test_a_late_answer_is_better_than_none() -> None:
    """The blocks live longer than the request."""
    state, _ = run(ask(None, ID, ASKED, 0), 0)
    state, _ = step(state, Answered(b"late"), 5000, wait_s)
    assert state.answer == b"late"
    assert not state.is_expired(6000)


@pytest.mark.parametrize("other", [Asked("bank", b"other", 1000), Asked("board", b"body", 1000)])
def test_the_same_id_for_another_request_is_refused(other: Asked) -> None:
    """Another body or another service: the caller has mixed up his ids."""
    with pytest.raises(UserError):
        ask(ask(None, ID, ASKED, 0), ID, other, 1)


def test_bodies_stay_out_of_reprs() -> None:
    """Logs must not hold requests or answers."""
    state, _ = step(ask(None, ID, ASKED, 0), Answered(b"secret"), 1, wait_s)
    assert "body" not in repr(state).replace("body=", "")
    assert "secret" not in repr(state) + repr(Answered(b"secret"))


@dataclass
class World:
    """A conversation, the packets on their way, and a service that keeps its promise."""

    state: Conversation
    now_s: float = 0
    requests: list[int] = field(default_factory=list)
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    used_blocks: set[int] = field(default_factory=set)
    stored: bytes | None = None
    executed: int = 0
    opened: list[bytes] = field(default_factory=list)

    def clock(self, seconds: int) -> None:
        self.now_s += seconds
        self.state, send = step(self.state, Clock(), self.now_s, wait_s)
        if send is not None:
            self.requests.append(send.attempt)

    def serve(self, at: int, copies: int) -> None:
        """One of the requests on their way arrives (and perhaps stays, to arrive again)."""
        if self.requests:
            attempt = self.requests[at % len(self.requests)]
            if copies == 0:
                self.requests.remove(attempt)
            if self.stored is None:
                self.executed += 1
                self.stored = b"answer %d" % attempt
            self.answers.append((attempt, self.stored))

    def open(self, at: int, copies: int) -> None:
        """One of the answers arrives; its block opens once."""
        if self.answers:
            attempt, body = self.answers[at % len(self.answers)]
            if copies == 0:
                self.answers.remove((attempt, body))
            if attempt not in self.used_blocks:
                self.used_blocks.add(attempt)
                self.state, _ = step(self.state, Answered(body), self.now_s, wait_s)
                if self.state.answer is not None:
                    self.opened.append(self.state.answer)

    def lose(self, at: int) -> None:
        for way in (self.requests, self.answers):
            if way:
                del way[at % len(way)]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("clock"), st.integers(0, 50)),
        st.tuples(st.just("serve"), st.integers(0, 9), st.integers(0, 1)),
        st.tuples(st.just("open"), st.integers(0, 9), st.integers(0, 1)),
        st.tuples(st.just("lose"), st.integers(0, 9)),
    ),
    max_size=60,
)


@given(STEPS)
def test_at_most_one_answer_and_always_the_same(steps: list[tuple[str, int]]) -> None:
    """Whatever is lost, copied or late: executed once, one answer, never another, and the sendings end."""
    world = World(ask(None, ID, ASKED, 0))
    for name, *arguments in steps:
        getattr(world, name)(*arguments)
        assert world.state.sendings <= len(ATTEMPTS)
    assert world.executed <= 1
    assert len(set(world.opened)) <= 1
    assert world.state.answer in (None, world.stored)


@given(STEPS)
def test_an_answer_comes_as_soon_as_one_way_is_open(steps: list[tuple[str, int]]) -> None:
    """However bad it was: while a resend is left and the network mends, the answer arrives."""
    world = World(ask(None, ID, Asked("bank", b"body", 10**9), 0))
    for name, *arguments in steps:
        getattr(world, name)(*arguments)
    if world.state.answer is None and world.state.sendings < len(ATTEMPTS):
        world.clock(1000)
        world.serve(len(world.requests) - 1, 1)
        world.open(len(world.answers) - 1, 1)
        assert world.state.answer == world.stored is not None
