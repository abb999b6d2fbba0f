"""The replay filter, and what is left of it after a crash."""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mix.frame import FrameId
from mix.packet.geometry import KeyId, Tag
from mix.replay import ReplayFilter, check_filter, create_filter
from mix.replay.index import read_index
from mixmint.errors import FatalError, UserError

KEY, OTHER_KEY = KeyId(b"k" * 16), KeyId(b"o" * 16)
EPOCH = 100


def tags(count: int, key: KeyId = KEY) -> list[tuple[KeyId, Tag]]:
    return [(key, Tag(os.urandom(16))) for _ in range(count)]


def frame_id() -> FrameId:
    return FrameId(os.urandom(16))


def log_size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.glob("*.log"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_filter(tmp_path / "replay", [KEY, OTHER_KEY])
    return tmp_path / "replay"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[[], ReplayFilter]]:
    """Opens the filter; opening it again without closing is what a restart after kill -9 does."""
    filters: list[ReplayFilter] = []

    def open_() -> ReplayFilter:
        for old in filters:
            # Closing writes nothing, so it is the same as being killed; and the lock goes with the process.
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
        ReplayFilter(tmp_path / "replay", [KEY])
    create_filter(tmp_path / "replay", [KEY])
    with pytest.raises(UserError, match="no replay filter"):
        ReplayFilter(tmp_path / "replay", [OTHER_KEY])
    with pytest.raises(UserError, match="already"):
        create_filter(tmp_path / "replay", [KEY])


def test_a_filter_can_be_added_for_a_new_key(path: Path) -> None:
    new = KeyId(b"n" * 16)
    create_filter(path, [new])
    replay = ReplayFilter(path, [KEY, new])
    assert replay.fresh([(new, Tag(b"t" * 16))], frame_id(), EPOCH) == [True]
    replay.close()


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """Lets no file of this process grow beyond so many bytes: a real limit, as a full disk is one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_without_room_nothing_is_kept_and_later_it_is(
    path: Path, opened: Callable[[], ReplayFilter], small_files: Callable[[int], None]
) -> None:
    """A full disk: the frame isn't acknowledged, half a record doesn't stay, and with room all is well."""
    replay, frame, seen = opened(), frame_id(), tags(100)
    replay.fresh(tags(1), frame_id(), EPOCH)
    replay.commit()
    size = log_size(path)
    small_files(size + 200)
    for _ in range(2):
        assert replay.fresh(seen, frame, EPOCH) == [True] * 100
        with pytest.raises(UserError, match="room"):
            replay.commit()
        assert not replay.knows_frame(frame)
        assert log_size(path) == size
    small_files(1 << 20)
    assert replay.fresh(seen, frame, EPOCH) == [True] * 100
    replay.commit()
    assert opened().fresh(seen, frame_id(), EPOCH) == [False] * 100


def test_a_disk_that_fails_stops_the_node(
    opened: Callable[[], ReplayFilter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a failed sync left on disk isn't known; only a new start finds out."""

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    replay = opened()
    replay.fresh(tags(1), frame_id(), EPOCH)
    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(FatalError, match="can't write"):
        replay.commit()


def test_a_record_is_synced_before_the_commit_returns(
    path: Path, opened: Callable[[], ReplayFilter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut after the acknowledgement doesn't make a tag fresh again; and one sync does for all."""
    synced: list[int] = []
    sync = os.fdatasync

    def note(descriptor: int) -> None:
        sync(descriptor)
        synced.append(os.fstat(descriptor).st_size)

    replay = opened()
    monkeypatch.setattr(os, "fdatasync", note)
    for _ in range(3):
        replay.fresh([*tags(2), *tags(2, OTHER_KEY)], frame_id(), EPOCH)
    replay.commit()
    assert synced == [log_size(path)]


def test_a_full_filter_lets_nothing_through(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What it can't remember may come twice, so it is refused: of this key, and of no other."""
    replay = ReplayFilter(path, [KEY, OTHER_KEY], capacity=10)
    seen = tags(10)
    assert replay.fresh(seen, frame_id(), EPOCH) == [True] * 10
    replay.commit()
    assert replay.full == {KEY}
    assert "full" in caplog.text
    assert (
        replay.fresh([*seen, *tags(2), *tags(2, OTHER_KEY)], frame_id(), EPOCH) == [False] * 12 + [True] * 2
    )
    replay.commit()
    replay.close()
    again = ReplayFilter(path, [KEY, OTHER_KEY], capacity=10)
    assert again.full == {KEY}
    again.close()
    larger = ReplayFilter(path, [KEY, OTHER_KEY], capacity=20)
    assert larger.fresh([*seen, *tags(2)], frame_id(), EPOCH) == [False] * 10 + [True] * 2
    larger.close()
    with pytest.raises(UserError, match="set replay_packets to 10"):
        ReplayFilter(path, [KEY], capacity=5)


def test_without_room_for_frame_ids_no_packet_is_taken(path: Path) -> None:
    """A peer's frames of nothing but junk fill it too, in the end."""
    replay = ReplayFilter(path, [KEY, OTHER_KEY], capacity=10)
    for _ in range(10):
        replay.fresh([], frame_id(), EPOCH)
    replay.commit()
    assert replay.full == {KEY, OTHER_KEY}
    replay.close()


def test_two_processes_have_not_one_filter(path: Path, opened: Callable[[], ReplayFilter]) -> None:
    """Neither would know what the other has seen. Looking is allowed."""
    opened()
    with pytest.raises(UserError, match="in use"):
        ReplayFilter(path, [KEY])
    with pytest.raises(UserError, match="in use"):
        create_filter(path, [KeyId(b"n" * 16)])
    check_filter(path, [KEY])


def test_a_check_says_what_a_start_would(path: Path, tmp_path: Path) -> None:
    check_filter(path, [KEY, OTHER_KEY])
    with pytest.raises(UserError, match="no replay filter"):
        check_filter(path, [KeyId(b"n" * 16)])
    with pytest.raises(UserError, match="missing"):
        check_filter(tmp_path / "other", [KEY])


def test_a_key_is_taken_up_while_others_are_in_use(opened: Callable[[], ReplayFilter], path: Path) -> None:
    new = KeyId(b"n" * 16)
    replay = opened()
    replay.take_up(new)
    seen = [(new, Tag(os.urandom(16)))]
    assert replay.fresh(seen, frame_id(), EPOCH) == [True]
    replay.commit()
    with pytest.raises(UserError, match="already"):
        replay.take_up(new)
    replay.close()
    again = ReplayFilter(path, [new])
    assert again.fresh(seen, frame_id(), EPOCH) == [False]
    again.close()


def test_a_retired_key_leaves_nothing_that_can_be_read(
    path: Path, opened: Callable[[], ReplayFilter]
) -> None:
    """Its secret is erased, and when nothing else in a segment counts, the segment too."""
    replay = opened()
    secrets = {key.id: key.secret for key in read_index(path).keys}
    replay.fresh(tags(3), frame_id(), EPOCH)
    replay.commit()
    replay.retire(KEY)
    assert secrets[KEY] not in (path / "index").read_bytes()
    assert secrets[OTHER_KEY] in (path / "index").read_bytes()
    assert [file.name for file in sorted(path.glob("*.log"))] == ["00000001.log", "00000002.log"]
    replay.prune(EPOCH + 1)
    assert [file.name for file in sorted(path.glob("*.log"))] == ["00000002.log"]
    seen = tags(1, OTHER_KEY)
    assert replay.fresh(seen, frame_id(), EPOCH) == [True]
    replay.commit()
    replay.close()
    again = ReplayFilter(path, [OTHER_KEY])
    assert again.fresh(seen, frame_id(), EPOCH) == [False]
    again.close()


def test_files_are_for_their_owner_only_and_hold_no_tag(
    path: Path, opened: Callable[[], ReplayFilter]
) -> None:
    replay, seen = opened(), tags(1)
    replay.fresh(seen, frame_id(), EPOCH)
    replay.commit()
    for file in path.iterdir():
        assert file.stat().st_mode & 0o077 == 0
        assert bytes(seen[0][1]) not in file.read_bytes()
    assert path.stat().st_mode & 0o077 == 0


def test_the_segments_of_the_last_retired_key_go_with_it(
    path: Path, opened: Callable[[], ReplayFilter]
) -> None:
    """Also when its frames were forgotten before it was retired."""
    replay = opened()
    replay.fresh(tags(3), frame_id(), EPOCH)
    replay.commit()
    replay.prune(EPOCH + 1)
    assert (path / "00000001.log").exists()
    replay.retire(KEY)
    assert [file.name for file in path.glob("*.log")] == ["00000002.log"]
