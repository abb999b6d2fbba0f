"""The replay filter against a plain set: in whatever order things happen, it knows what was acknowledged."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mix.frame import FrameId
from mix.packet.geometry import KeyId, Tag
from mix.replay import ReplayFilter, create_filter, log
from mix.replay.log import segment_numbers, segment_path

CAPACITY = 40
KEYS = [KeyId(bytes([number]) * 16) for number in (1, 2, 3)]
Name = tuple[KeyId, Tag]
few_tags = st.integers(0, 60).map(lambda number: Tag(number.to_bytes(16, "big")))
names = st.lists(st.tuples(st.sampled_from(KEYS), few_tags), max_size=8)
frame_ids = st.integers(0, 20).map(lambda number: FrameId(number.to_bytes(16, "big")))


class Filter(RuleBasedStateMachine):
    """Commits, rollbacks, kills with torn records, retired keys, pruned epochs; segments of a few records."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "replay"
        self.keys = list(KEYS)
        self.seen: set[Name] = set()
        self.frames: dict[FrameId, int] = {}
        self.pending: set[Name] = set()
        self.pending_frames: dict[FrameId, int] = {}
        self.epoch = 1
        self.segment_bytes, log.SEGMENT_BYTES = log.SEGMENT_BYTES, 300
        create_filter(self.path, KEYS)
        self.replay = ReplayFilter(self.path, self.keys, CAPACITY)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            log.SEGMENT_BYTES = self.segment_bytes
            self.replay.close()
            shutil.rmtree(self.folder)

    @rule(asked=names, frame=frame_ids)
    def take(self, asked: list[Name], frame: FrameId) -> None:
        """Fresh is what was never seen, of keys that aren't full."""
        asked = [name for name in asked if name[0] in self.keys]
        expected = []
        for name in asked:
            known = name in self.seen or name in self.pending
            expected.append(not known and name[0] not in self.full())
            if expected[-1]:
                self.pending.add(name)
        assert self.replay.fresh(asked, frame, self.epoch) == expected
        self.pending_frames[frame] = self.epoch

    def full(self) -> set[KeyId]:
        return {key for key in self.keys if sum(of == key for of, _ in self.seen) >= CAPACITY}

    @rule()
    def commit(self) -> None:
        self.replay.commit()
        self.seen |= self.pending
        self.frames |= self.pending_frames
        self.forget_pending()
        assert self.replay.full == self.full()

    @rule()
    def roll_back(self) -> None:
        self.replay.rollback()
        self.forget_pending()

    def forget_pending(self) -> None:
        self.pending.clear()
        self.pending_frames.clear()

    @rule(torn=st.binary(max_size=60))
    def kill(self, torn: bytes) -> None:
        """And whatever the last record left on disk."""
        self.replay.close()
        newest = segment_path(self.path, segment_numbers(self.path)[-1])
        newest.write_bytes(newest.read_bytes() + torn)
        self.replay = ReplayFilter(self.path, self.keys, CAPACITY)
        self.forget_pending()

    @precondition(lambda self: not self.pending_frames and len(self.keys) > 1)
    @rule()
    def retire(self) -> None:
        gone = self.keys.pop(0)
        self.replay.retire(gone)
        self.seen = {name for name in self.seen if name[0] != gone}

    @precondition(lambda self: not self.pending_frames)
    @rule()
    def next_epoch(self) -> None:
        self.epoch += 1
        self.replay.prune(self.epoch - 1)
        self.frames = {frame: epoch for frame, epoch in self.frames.items() if epoch >= self.epoch - 1}

    @invariant()
    def frames_are_known(self) -> None:
        if not hasattr(self, "folder"):
            return
        for number in range(21):
            frame = FrameId(number.to_bytes(16, "big"))
            assert self.replay.knows_frame(frame) == (frame in self.frames or frame in self.pending_frames)


Filter.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestFilter = Filter.TestCase
