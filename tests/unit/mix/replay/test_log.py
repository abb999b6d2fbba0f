"""The log of the replay filter: torn tails are cut off, everything else that is broken is refused."""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from mix.replay import log
from mix.replay.index import new_index, write_index
from mix.replay.log import HEAD_BYTES, RECORD_HEAD_BYTES, create_segment, segment_path
from mix.replay.store import FRAMES, TAGS, Space, Store, build_store, decode_parts, encode_parts
from mixmint.errors import FatalError, UserError

KEYS = [bytes([number]) * 16 for number in range(1, 3)]


def names(count: int) -> bytes:
    return os.urandom(8 * count)


def tags(key: bytes, found: bytes) -> dict[Space, list[bytes]]:
    return {(TAGS, key): [found]}


def read(path: Path) -> dict[Space, bytes]:
    """What a start finds."""
    found: dict[Space, bytes] = {}

    def take(space: Space, names: bytes) -> None:
        found[space] = found.get(space, b"") + names

    store = Store(path)
    try:
        store.read(take)
    finally:
        store.close()
    return found


def write(path: Path, records: list[dict[Space, list[bytes]]]) -> None:
    store = Store(path)
    store.read(lambda _space, _names: None)
    for parts in records:
        store.append(parts)
    store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    build_store(tmp_path / "replay", new_index().with_keys(KEYS), lambda _: None)
    return tmp_path / "replay"


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "SEGMENT_BYTES", 200)


def test_what_was_appended_is_read(path: Path) -> None:
    """Tags of several keys and frame ids in one record; records in order."""
    first, second, frames = names(3), names(2), names(1)
    epoch = (7).to_bytes(16, "big")
    write(path, [{(TAGS, KEYS[0]): [first], (FRAMES, epoch): [frames]}, tags(KEYS[1], second)])
    assert read(path) == {(TAGS, KEYS[0]): first, (FRAMES, epoch): frames, (TAGS, KEYS[1]): second}


def test_a_record_torn_anywhere_is_cut_off(path: Path) -> None:
    """A crash or a power cut in the middle of the last record: it was never acknowledged."""
    first, second = names(2), names(5)
    write(path, [tags(KEYS[0], first)])
    segment = segment_path(path, 1)
    whole = segment.stat().st_size
    write(path, [tags(KEYS[0], second)])
    data = segment.read_bytes()
    for end in range(whole, len(data)):
        # Cut short, and as some file systems leave it: the length is there, the bytes aren't yet.
        for tail in (b"", bytes(len(data) - end)):
            segment.write_bytes(data[:end] + tail)
            if data[end:] == tail:
                continue
            assert read(path) == {(TAGS, KEYS[0]): first}
            assert segment.stat().st_size == whole
    segment.write_bytes(data[:-1])
    third = names(1)
    write(path, [tags(KEYS[0], third)])
    assert read(path) == {(TAGS, KEYS[0]): first + third}


def test_a_broken_byte_before_the_last_record_is_refused(path: Path) -> None:
    """That record was acknowledged: to forget it, and what follows, would be to accept replays."""
    write(path, [tags(KEYS[0], names(2)) for _ in range(4)])
    segment = segment_path(path, 1)
    data = segment.read_bytes()
    record = (len(data) - HEAD_BYTES) // 4
    for at in range(len(data) - record):
        broken = bytearray(data)
        broken[at] ^= 1 << Random(at).randrange(8)
        segment.write_bytes(broken)
        with pytest.raises(FatalError, match="can't be used any more"):
            read(path)
        assert segment.read_bytes() == broken, "what is refused isn't changed"
    segment.write_bytes(data)
    assert len(read(path)[TAGS, KEYS[0]]) == 4 * 16


def test_a_record_left_out_is_refused(path: Path) -> None:
    write(path, [tags(KEYS[0], names(2)) for _ in range(4)])
    segment = segment_path(path, 1)
    data = segment.read_bytes()
    record = (len(data) - HEAD_BYTES) // 4
    at = HEAD_BYTES + record
    for changed in (data[:at] + data[at + record :], data[:at] + data[at - record :]):
        segment.write_bytes(changed)
        with pytest.raises(FatalError, match="is damaged at byte"):
            read(path)


def test_a_log_goes_on_in_segments(path: Path, small_segments: None) -> None:
    found = [names(10) for _ in range(9)]
    write(path, [tags(KEYS[0], one) for one in found])
    assert len(list(path.glob("*.log"))) > 3
    assert read(path) == {(TAGS, KEYS[0]): b"".join(found)}
    write(path, [tags(KEYS[0], found[0])])
    assert read(path) == {(TAGS, KEYS[0]): b"".join([*found, found[0]])}


def test_no_segment_may_be_missing_cut_short_or_in_another_ones_place(
    path: Path, small_segments: None
) -> None:
    """Nor may the index be older than the log: it came from a backup, or the log did."""
    old_index = (path / "index").read_bytes()
    write(path, [tags(KEYS[0], names(10)) for _ in range(9)])
    files = {file: file.read_bytes() for file in path.iterdir()}
    newest = len(files) - 1

    def mend() -> None:
        for file, data in files.items():
            file.write_bytes(data)

    for number in range(1, newest + 1):
        segment_path(path, number).unlink()
        with pytest.raises(FatalError, match="is missing"):
            read(path)
        mend()
    for number in range(1, newest):
        data = segment_path(path, number).read_bytes()
        record = RECORD_HEAD_BYTES + 21 + 80
        for short in (data[:-1], data[:-record]):
            segment_path(path, number).write_bytes(short)
            with pytest.raises(FatalError, match=r"is damaged|doesn't go on"):
                read(path)
        mend()
    segment_path(path, 2).write_bytes(files[segment_path(path, 1)])
    with pytest.raises(FatalError, match="isn't the segment"):
        read(path)
    mend()
    (path / "index").write_bytes(old_index)
    with pytest.raises(FatalError, match="older than its log"):
        read(path)


def test_a_crash_at_the_beginning_of_a_segment_loses_nothing(path: Path, small_segments: None) -> None:
    """Its file is there, empty or half made, and the index doesn't know it yet."""
    found = [names(10), names(10)]
    write(path, [tags(KEYS[0], one) for one in found])
    create_segment(path, 2, 3)
    for head in (segment_path(path, 2).read_bytes(), b"", b"mix"):
        segment_path(path, 2).write_bytes(head)
        assert read(path) == {(TAGS, KEYS[0]): b"".join(found)}
    write(path, [tags(KEYS[0], found[0])])
    assert read(path) == {(TAGS, KEYS[0]): b"".join([*found, found[0]])}


def test_a_crash_between_index_and_dropped_segments_is_finished(path: Path, small_segments: None) -> None:
    epoch = (7).to_bytes(16, "big")
    write(path, [{(FRAMES, epoch): [names(30)]}, {(FRAMES, epoch): [names(30)]}, tags(KEYS[0], names(1))])
    first = segment_path(path, 1).read_bytes()
    store = Store(path)
    store.read(lambda _space, _names: None)
    store.prune(8)
    store.close()
    assert not segment_path(path, 1).exists()
    segment_path(path, 1).write_bytes(first)
    assert list(read(path)) == [(TAGS, KEYS[0])]
    assert not segment_path(path, 1).exists()


@pytest.mark.parametrize("at", range(3))
def test_a_damaged_index_is_refused(path: Path, at: int) -> None:
    """One bit of a secret, and every packet would be fresh again."""
    data = bytearray((path / "index").read_bytes())
    data[(0, 20, -1)[at]] ^= 1
    (path / "index").write_bytes(data)
    with pytest.raises(FatalError, match="index is damaged"):
        Store(path)


def test_an_index_without_its_log_or_a_log_without_its_index_is_refused(path: Path) -> None:
    segment_path(path, 1).unlink()
    with pytest.raises(FatalError, match="is missing"):
        read(path)
    (path / "index").unlink()
    with pytest.raises(UserError, match="is missing"):
        Store(path)


def test_a_folder_that_a_crash_left_half_made_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "replay.new").mkdir()
    write_index(tmp_path / "replay.new", new_index())
    build_store(tmp_path / "replay", new_index().with_keys(KEYS), lambda _: None)
    assert read(tmp_path / "replay") == {}
    assert [one.name for one in tmp_path.iterdir()] == ["replay"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda payload: payload[:-1],
        lambda payload: payload + b"t",
        lambda payload: b"x" + payload[1:],
        lambda payload: payload[:20] + b"\xff" + payload[21:],
    ],
)
def test_a_payload_that_is_none_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    payload = encode_parts({(TAGS, KEYS[0]): [names(1), names(2)]})
    assert [len(found) for _, found in decode_parts(memoryview(payload))] == [24]
    with pytest.raises(ValueError, match="no part"):
        list(decode_parts(memoryview(spoil(payload))))
