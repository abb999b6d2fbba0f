"""The keys' plan under any clock: no key in use is erased, each epoch has one key, and it is there ahead."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from mix.epochs.plan import is_clock_credible, plan

EPOCH_S = 60
START_S = 1000 * EPOCH_S
jumps_s = st.one_of(st.just(0), st.integers(-5 * EPOCH_S, 50 * EPOCH_S), st.integers(-START_S, 10**9))


class Node(RuleBasedStateMachine):
    """True time goes on; this node's clock says anything; directories come late, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.true_s = START_S
        self.off_s = 0
        self.directory_epoch: int | None = None
        self.held: dict[int, int] = {}
        self.made = 0

    @property
    def epoch(self) -> int:
        return self.true_s // EPOCH_S

    def turn(self) -> None:
        now_s = max(0, self.true_s + self.off_s)
        plans = plan(now_s, EPOCH_S, self.held, self.directory_epoch)
        for each in plans.make:
            assert each not in self.held, "a second key of one epoch"
            self.made += 1
            self.held[each] = self.made
        for each in plans.erase:
            # Somebody with a right clock may use it until the end of the epoch after its own.
            assert each < self.epoch - 1, "erased in use"
            del self.held[each]
        current = now_s // EPOCH_S
        assert {current, current + 1} <= self.held.keys()
        assert set(plans.listed) <= self.held.keys()
        assert len(plans.listed) <= 4
        assert not plan(now_s, EPOCH_S, self.held, self.directory_epoch).make
        assert not plan(now_s, EPOCH_S, self.held, self.directory_epoch).erase
        if not self.off_s and self.directory_epoch == self.epoch:
            assert all(each >= self.epoch - 1 for each in self.held), "an old key stays"

    @rule(seconds=st.integers(0, 3 * EPOCH_S))
    def time_passes(self, seconds: int) -> None:
        self.true_s += seconds
        self.turn()

    @rule(off_s=jumps_s)
    def clock_jumps(self, off_s: int) -> None:
        self.off_s = off_s
        self.turn()

    @rule(late=st.integers(0, 3))
    def directory_comes(self, late: int) -> None:
        """Agreed on by authorities, whose clocks are right; readers go forward only."""
        self.directory_epoch = max(self.directory_epoch or 0, self.epoch - late)
        self.turn()


Node.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestKeys = Node.TestCase


@given(st.integers(1, 10**6), st.integers(0, 10**9))
def test_a_key_is_listed_a_whole_epoch_before_it_is_used(epoch_s: int, now_s: int) -> None:
    """From the first second of the epoch before."""
    first_s = now_s // epoch_s * epoch_s
    assert first_s // epoch_s + 1 in plan(first_s, epoch_s, (), None).listed


@given(st.integers(2, 10**6), st.floats(-1e9, 1e9))
def test_a_clock_half_an_epoch_off_turns_no_keys(epoch_s: int, ahead_s: float) -> None:
    """Either way."""
    assert is_clock_credible(ahead_s, epoch_s) is (abs(ahead_s) < epoch_s / 2)
