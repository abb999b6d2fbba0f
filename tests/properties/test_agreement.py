"""
Authorities agree on one directory of each number, whatever is lost, repeated, late or restarted, and get on
once they hear each other.
"""

from dataclasses import dataclass, field
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mix.directory.agreement.acceptor import Acceptor, AcceptorState
from mix.directory.agreement.messages import Proposal, Refused, Vote, seal, unseal
from mix.directory.agreement.proposer import Attempt, next_ballot
from mix.directory.network import Authorities
from mix.directory.verify import SignedDirectory
from mixmint.keys import SigningKey
from mixmint.wire import Message, decode, encode

SEQUENCE = 7
KEYS = sorted((SigningKey(bytes([number]) * 32) for number in range(1, 6)), key=lambda key: key.public)


@dataclass
class World:
    """Authorities whose states are what a disk would have; messages are lost as the generator says."""

    count: int
    threshold: int
    rng: Random
    loss: float
    states: dict[bytes, AcceptorState] = field(default_factory=dict)
    decided: set[bytes] = field(default_factory=set)
    proposals: int = 0
    deaf: frozenset[bytes] = frozenset()

    def __post_init__(self) -> None:
        self.keys = KEYS[: self.count]
        self.authorities = Authorities(tuple(key.public for key in self.keys), self.threshold)
        self.states = {key.public: AcceptorState(SEQUENCE) for key in self.keys}

    def compose(self) -> tuple[bytes, tuple[bytes, ...]]:
        self.proposals += 1
        return b"document %d" % self.proposals, (b"descriptor",)

    def ask(self, key: SigningKey, message: Message) -> Message | None:
        """One authority asked; its state is on disk before the answer leaves, and either may get lost."""
        if key.public in self.deaf or self.rng.random() < self.loss:
            return None
        acceptor = Acceptor(key, self.authorities)
        state, answer = acceptor.answer(self.states[key.public], SEQUENCE, message, lambda *_: None)
        # What is written can be read back, and the envelope carries the answer whole.
        self.states[key.public] = decode(encode(state), AcceptorState, 1 << 20)
        sender, answer_read = unseal(seal("test", key, answer), "test", self.authorities)
        assert (sender, answer_read) == (key.public, answer)
        return None if self.rng.random() < self.loss else answer

    def attempt(self, key: SigningKey, steps: int = 3) -> Attempt:
        """One attempt of this authority, which dies after so many steps."""
        above = max(state.promised for state in self.states.values()) if self.rng.random() < 0.7 else 0
        ballot = next_ballot(self.authorities, key.public, above)
        made = Attempt(self.authorities, SEQUENCE, ballot, self.compose)
        for _ in range(steps):
            message = made.to_send
            if message is None:
                break
            for other in self.rng.sample(self.keys, len(self.keys)):
                answer = self.ask(other, message)
                if answer is not None:
                    made.take(other.public, answer)
                    made.take(other.public, answer)
            if not made.go_on():
                break
        if made.signed is not None:
            self.decided.add(decode(made.signed, SignedDirectory, 1 << 20).document)
        return made


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(((3, 2), (4, 3), (5, 3))),
    st.randoms(use_true_random=False),
    st.sampled_from((0.0, 0.2, 0.5)),
    st.integers(1, 12),
)
def test_one_directory_of_each_number(
    sizes: tuple[int, int], rng: Random, loss: float, attempts: int
) -> None:
    """
    Proposers that die at any step, concurrently with others' messages lost: at most one document is signed;
    and when all hear each other, a few attempts are enough, whatever came before.
    """
    world = World(*sizes, rng, loss)
    for _ in range(attempts):
        world.attempt(rng.choice(world.keys), steps=rng.randrange(1, 4))
        assert len(world.decided) <= 1
    # As many as may be down are; the rest gets on.
    down = rng.sample(world.keys, world.count - world.threshold)
    world.loss, world.deaf = 0.0, frozenset(key.public for key in down)
    alive = [key for key in world.keys if key not in down]
    assert any(world.attempt(rng.choice(alive)).signed for _ in range(20))
    assert len(world.decided) == 1
    signed = {state.signed for state in world.states.values() if state.signed}
    assert signed == world.decided


def forks(count: int, threshold: int, seed: int) -> bool:
    """
    Whether two directories get signed: each attempt reaches a threshold of authorities, among them one that
    forgets everything it said, and so promises, votes and signs as it is asked.
    """
    world = World(count, threshold, Random(seed), 0.0)
    liar, *others = world.rng.sample(world.keys, count)
    for _ in range(6):
        reached = world.rng.sample(others, threshold - 1)
        world.deaf = frozenset(key.public for key in others if key not in reached)
        world.attempt(world.rng.choice(reached))
        world.states[liar.public] = AcceptorState(SEQUENCE)
    return len(world.decided) > 1


def test_one_liar_of_four_makes_no_fork_but_one_of_three_does() -> None:
    """What a threshold protects from: fewer than 2k - n liars, as the page says."""
    assert not any(forks(4, 3, seed) for seed in range(40))
    assert not any(forks(5, 4, seed) for seed in range(20))
    assert any(forks(3, 2, seed) for seed in range(20))


def test_a_proposer_is_bound_to_what_may_be_decided() -> None:
    """One that proposes his own although somebody voted is refused by whoever is asked."""
    world = World(3, 2, Random(1), 0.0)
    first, second, third = world.keys
    made = world.attempt(first, steps=2)
    assert made.signed is None
    ballot = next_ballot(world.authorities, second.public, made.highest_ballot)
    eager = Attempt(world.authorities, SEQUENCE, ballot, world.compose)
    world.deaf = frozenset({first.public})
    for key in world.keys:
        answer = world.ask(key, eager.to_send) if eager.to_send else None
        if answer is not None:
            eager.take(key.public, answer)
    assert eager.go_on()
    proposal = eager.to_send
    assert isinstance(proposal, Proposal)
    assert proposal.document == b"document 1"
    own = replace(proposal, document=b"his own")
    answer = world.ask(third, own)
    assert isinstance(answer, Refused)
    assert answer.reason == "another may be decided"
    assert isinstance(world.ask(third, proposal), Vote)
