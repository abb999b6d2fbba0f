"""The replay filter, and what is left of it after a crash."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mix.frame import FrameId
from mix.packet.geometry import KeyId, Tag
from mix.replay import ReplayFilter, create_filter
from mixmint.errors import FatalError, UserError

KEY, OTHER_KEY = KeyId(b"k" * 16), KeyId(b"o" * 16)
EPOCH = 100


def tags(count: int, key: KeyId = KEY) -> list[tuple[KeyId, Tag]]:
    return [(key, Tag(os.urandom(16))) for _ in range(count)]


def frame_id() -> FrameId:
    return FrameId(os.urandom(16))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_filter(tmp_path / "replay.db", [KEY, OTHER_KEY])
    return tmp_path / "replay.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[[], ReplayFilter]]:
    """Opens the filter; opening it again without closing is what a restart after kill -9 does."""
    filters: list[ReplayFilter] = []

    def open_() -> ReplayFilter:
        for old in filters:
            # A killed process writes nothing more: close the connection without commit.
            old.close()
        filters.clear()
        filters.append(ReplayFilter(path, [KEY, OTHER_KEY]))
        return filters[0]

    yield open_
    for each in filters:
        each.close()


def test_a_tag_is_fresh_once(opened: Callable[[], ReplayFilter]) -> None:
    """Also twice in one frame, and after a restart."""
    replay, seen = opened(), tags(3)
    assert replay.fresh([*seen, seen[1]], frame_id(), EPOCH) == [True, True, True, False]
    replay.commit()
    assert replay.fresh([seen[0], *tags(1)], frame_id(), EPOCH) == [False, True]
    replay.commit()
    assert opened().fresh(seen, frame_id(), EPOCH) == [False, False, False]


def test_a_replayed_tag_does_not_stop_the_others(opened: Callable[[], ReplayFilter]) -> None:
    replay, seen = opened(), tags(1)
    replay.fresh(seen, frame_id(), EPOCH)
    replay.commit()
    assert replay.fresh([*tags(2), *seen, *tags(2)], frame_id(), EPOCH) == [True, True, False, True, True]


def test_each_key_has_a_filter_of_its_own(opened: Callable[[], ReplayFilter]) -> None:
    """The same tag under another key is another packet."""
    replay = opened()
    tag = Tag(os.urandom(16))
    assert replay.fresh([(KEY, tag), (OTHER_KEY, tag)], frame_id(), EPOCH) == [True, True]


def test_killed_before_the_commit_nothing_is_left(opened: Callable[[], ReplayFilter]) -> None:
    """The frame isn't acknowledged and comes again; its packets must be fresh then."""
    replay, seen, frame = opened(), tags(2), frame_id()
    replay.fresh(seen, frame, EPOCH)
    again = opened()
    assert not again.knows_frame(frame)
    assert again.fresh(seen, frame, EPOCH) == [True, True]


def test_killed_after_the_commit_tags_and_frame_are_there(opened: Callable[[], ReplayFilter]) -> None:
    """One transaction: never the one without the other."""
    replay, seen, frame = opened(), tags(2), frame_id()
    replay.fresh(seen, frame, EPOCH)
    replay.commit()
    again = opened()
    assert again.knows_frame(frame)
    assert again.fresh(seen, frame_id(), EPOCH) == [False, False]


def test_frames_share_a_commit_and_a_rollback(opened: Callable[[], ReplayFilter]) -> None:
    replay, frames = opened(), [frame_id() for _ in range(3)]
    for frame in frames[:2]:
        replay.fresh(tags(2), frame, EPOCH)
    replay.commit()
    replay.fresh(tags(2), frames[2], EPOCH)
    replay.rollback()
    assert [replay.knows_frame(frame) for frame in frames] == [True, True, False]


def test_old_frames_are_forgotten_their_tags_are_not(opened: Callable[[], ReplayFilter]) -> None:
    """So a frame that comes again after pruning brings only known packets."""
    replay, seen, old, new = opened(), tags(2), frame_id(), frame_id()
    replay.fresh(seen, old, EPOCH)
    replay.fresh(tags(2), new, EPOCH + 1)
    replay.commit()
    replay.prune(EPOCH + 1)
    assert [replay.knows_frame(old), replay.knows_frame(new)] == [False, True]
    assert replay.fresh(seen, old, EPOCH + 1) == [False, False]


def test_a_retired_key_never_comes_back(path: Path, opened: Callable[[], ReplayFilter]) -> None:
    """With an empty filter, everything once sent under it could be replayed."""
    replay = opened()
    replay.retire(OTHER_KEY)
    with pytest.raises(KeyError):
        replay.fresh(tags(1, OTHER_KEY), frame_id(), EPOCH)
    replay.rollback()
    with pytest.raises(UserError, match="no replay filter"):
        opened()
    with pytest.raises(UserError, match="already"):
        create_filter(path, [OTHER_KEY])


def test_a_lost_filter_is_not_replaced(tmp_path: Path) -> None:
    """Nothing is made at run: an empty filter for a used key would accept replays."""
    with pytest.raises(UserError, match="missing"):
        ReplayFilter(tmp_path / "replay.db", [KEY])
    create_filter(tmp_path / "replay.db", [KEY])
    with pytest.raises(UserError, match="no replay filter"):
        ReplayFilter(tmp_path / "replay.db", [OTHER_KEY])
    with pytest.raises(UserError, match="already"):
        create_filter(tmp_path / "replay.db", [KEY])


def test_a_filter_can_be_added_for_a_new_key(path: Path) -> None:
    new = KeyId(b"n" * 16)
    create_filter(path, [new])
    replay = ReplayFilter(path, [KEY, new])
    assert replay.fresh([(new, Tag(b"t" * 16))], frame_id(), EPOCH) == [True]
    replay.close()


def test_a_filter_that_cannot_write_says_so_and_keeps_nothing(
    path: Path, opened: Callable[[], ReplayFilter]
) -> None:
    """A full disk, or another process in the file: the daemon must stop, not acknowledge."""
    replay, frame = opened(), frame_id()
    other = sqlite3.connect(path, isolation_level=None)
    replay._connection.execute("PRAGMA busy_timeout=0")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(FatalError, match="can't be written"):
        replay.fresh(tags(1), frame, EPOCH)
    other.execute("ROLLBACK")
    other.close()
    assert not replay.knows_frame(frame)


def test_commits_are_synced_to_disk(opened: Callable[[], ReplayFilter]) -> None:
    """synchronous=FULL: a power cut after the acknowledgement doesn't make a tag fresh again."""
    (level,) = opened()._connection.execute("PRAGMA synchronous").fetchone()
    assert level == 2
