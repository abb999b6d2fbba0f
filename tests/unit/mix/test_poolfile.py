"""The pool file: what it holds, and what a restart makes of it."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from mix.frame import FrameId
from mix.packet.geometry import ADDRESSED_BYTES, KeyId, Tag
from mix.poolfile import PACKETS_SUFFIX, PoolFile, Slot
from mix.replay import ReplayFilter, create_filter
from mixmint.errors import FatalError, UserError

Open = Callable[..., PoolFile]


def packets(count: int) -> list[bytes]:
    return [os.urandom(ADDRESSED_BYTES) for _ in range(count)]


def frame_id() -> FrameId:
    return FrameId(os.urandom(16))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens the file, closing the one before: as a restart does. All frames are recorded, unless named."""
    files: list[PoolFile] = []

    def open_(*, unrecorded: tuple[FrameId, ...] = ()) -> PoolFile:
        for old in files:
            old.close()
        files.clear()
        files.append(PoolFile(tmp_path / "pool.db", lambda frame: frame not in unrecorded))
        return files[0]

    yield open_
    for each in files:
        each.close()


def content(file: PoolFile, slots: list[Slot]) -> list[bytes]:
    """Read held packets by sending them."""
    sent = file.send("reader", frame_id(), slots).packets
    return [sent[at : at + ADDRESSED_BYTES] for at in range(0, len(sent), ADDRESSED_BYTES)]


def test_packets_come_out_as_they_went_in(opened: Open) -> None:
    """In the order asked for, from several frames, with their next hops known before."""
    file, first, second = opened(), packets(3), packets(2)
    slots = file.put(frame_id(), b"".join(first)) + file.put(frame_id(), b"".join(second))
    assert len(file) == 5
    assert [file.hop(slot) for slot in slots] == [packet[:16] for packet in first + second]
    order = [slots[4], slots[0], slots[2]]
    frame = file.send("m2", frame_id(), order)
    assert frame.packets == second[1] + first[0] + first[2]
    assert sorted(file.held()) == sorted([slots[1], slots[3]])
    assert len(file) == 5, "packets on their way are still ours"


def test_a_restart_keeps_the_pool(opened: Open) -> None:
    ours = packets(4)
    slots = opened().put(frame_id(), b"".join(ours))
    again = opened()
    assert again.held() == slots
    assert content(again, slots) == ours


def test_packets_of_unrecorded_frames_are_dropped_at_the_next_start(opened: Open) -> None:
    """Killed between pool file and replay filter: that frame comes again, and must not count twice."""
    recorded, unrecorded = frame_id(), frame_id()
    file, kept = opened(), packets(2)
    slots = file.put(recorded, b"".join(kept))
    file.put(unrecorded, b"".join(packets(3)))
    again = opened(unrecorded=(unrecorded,))
    assert again.held() == slots
    assert len(again) == 2
    assert content(again, slots) == kept


def test_a_frame_goes_out_again_under_its_id_until_acknowledged(opened: Open) -> None:
    """The peer can tell a resent frame by its id, also after our restart."""
    file = opened()
    slots = file.put(frame_id(), b"".join(packets(3)))
    frame = file.send("m2", frame_id(), slots[:2])
    assert file.outgoing("m2") == frame
    assert file.outgoing("m3") is None
    again = opened()
    assert again.outgoing("m2") == frame
    assert again.held() == slots[2:]
    again.acknowledged("m2", frame.id)
    assert again.outgoing("m2") is None
    assert opened().outgoing("m2") is None
    assert len(opened()) == 1


def test_an_acknowledgement_counts_once_and_for_its_peer(opened: Open) -> None:
    """Answers of another peer, or a second time, change nothing."""
    file = opened()
    slots = file.put(frame_id(), b"".join(packets(2)))
    frame = file.send("m2", frame_id(), slots)
    file.acknowledged("m3", frame.id)
    assert file.outgoing("m2") == frame
    for _ in range(2):
        file.acknowledged("m2", frame.id)
    assert len(file) == 0


def test_frames_go_out_in_order(opened: Open) -> None:
    file = opened()
    slots = file.put(frame_id(), b"".join(packets(2)))
    first, second = (file.send("m2", frame_id(), [slot]) for slot in slots)
    assert file.outgoing("m2") == first
    file.acknowledged("m2", first.id)
    assert file.outgoing("m2") == second


def test_cover_on_its_way_survives_a_restart_cover_in_the_pool_does_not(opened: Open) -> None:
    """No filter records cover. What went out in a frame must go out again unchanged."""
    cover = frame_id()
    file = opened()
    slots = file.put(cover, b"".join(packets(3)))
    frame = file.send("m2", frame_id(), slots[:1])
    again = opened(unrecorded=(cover,))
    assert again.held() == []
    assert again.outgoing("m2") == frame


def test_slots_are_used_again_only_after_the_acknowledgement(opened: Open, tmp_path: Path) -> None:
    """A frame that may be sent again is never overwritten; and the file doesn't grow for ever."""
    file = opened()
    for _ in range(20):
        slots = file.put(frame_id(), b"".join(packets(4)))
        frame = file.send("m2", frame_id(), slots)
        file.put(frame_id(), b"".join(packets(1)))
        assert file.outgoing("m2") == frame
        file.acknowledged("m2", frame.id)
        last = file.held()
        file.acknowledged("x", file.send("x", frame_id(), last).id)
    assert (tmp_path / "pool.db").with_suffix(PACKETS_SUFFIX).stat().st_size <= 5 * ADDRESSED_BYTES


def test_only_held_packets_can_be_sent_each_once(opened: Open) -> None:
    file = opened()
    slots = file.put(frame_id(), b"".join(packets(2)))
    file.send("m2", frame_id(), slots[:1])
    for wrong in (slots[:1], [slots[1], slots[1]], [Slot(99)]):
        with pytest.raises(ValueError, match="each once"):
            file.send("m2", frame_id(), wrong)
    assert file.held() == slots[1:]


def test_nothing_is_recorded_for_an_empty_frame(opened: Open) -> None:
    file = opened()
    assert file.put(frame_id(), b"") == []
    assert len(opened()) == 0


def full_storage(connection: sqlite3.Connection) -> None:
    """Fill the rest of the file's pages, and let it have no more: what SQLite then says is real."""
    connection.execute("CREATE TABLE IF NOT EXISTS filler (bytes BLOB)")
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages + 4}")
    fill = (connection.execute("INSERT INTO filler VALUES (zeroblob(1024))") for _ in range(1000))
    with pytest.raises(sqlite3.OperationalError, match="full"):
        list(fill)


def test_a_full_storage_changes_nothing_and_heals(opened: Open) -> None:
    """The pool stays as it is, whatever is tried; with room again, all goes on."""
    file, kept, frame = opened(), packets(3), frame_id()
    slots = file.put(frame_id(), b"".join(kept))
    full_storage(file._connection)
    many = b"".join(packets(1000))
    for _ in range(3):
        with pytest.raises(UserError, match="make room"):
            file.put(frame, many)
        with pytest.raises(UserError, match="make room"):
            file.send("m2" * 3000, frame, slots)
        assert file.held() == slots
        assert len(file) == 3
        assert file.outgoing("m2") is None
    file._connection.execute("PRAGMA max_page_count=100000")
    more = file.put(frame, many)
    assert not set(more) & set(slots)
    assert content(file, [slots[2], slots[0]]) == [kept[2], kept[0]]
    again = opened()
    assert sorted(again.held()) == sorted([slots[1], *more])


def test_packets_need_room_beside_the_database(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The storage may be full at any byte; the slots are used again."""
    file, kept = opened(), packets(2)
    slots = file.put(frame_id(), b"".join(kept))
    write, calls = os.pwrite, []

    def full(descriptor: int, data: bytes, at: int) -> int:
        calls.append(at)
        if len(calls) % 3 == 1:
            return write(descriptor, data, at)
        if len(calls) % 3 == 2:
            return write(descriptor, data[:100], at)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        for _ in range(3):
            with pytest.raises(UserError, match="make room"):
                file.put(frame_id(), b"".join(packets(3)))
    more = file.put(frame_id(), b"".join(packets(3)))
    assert sorted([*slots, *more]) == list(range(5))
    assert content(file, slots) == kept


def test_a_storage_that_fails_stops_the_process_and_the_next_start_is_sound(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FatalError, not a half frame."""
    file, kept = opened(), packets(2)
    slots = file.put(frame_id(), b"".join(kept))

    def broken(*_: object) -> int:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", broken)
        with pytest.raises(FatalError, match="can't be written"):
            file.put(frame_id(), b"".join(packets(2)))
    again = opened()
    assert again.held() == slots
    assert content(again, slots) == kept


def test_discarded_packets_are_gone_and_their_slots_used_again(opened: Open) -> None:
    file, ours = opened(), packets(4)
    slots = file.put(frame_id(), b"".join(ours))
    file.discard([slots[1], slots[3]])
    with pytest.raises(ValueError, match="each once"):
        file.discard([slots[1]])
    assert len(file) == 2
    again = opened()
    assert again.held() == [slots[0], slots[2]]
    assert slots[1] in again.put(frame_id(), b"".join(packets(2)))
    assert content(again, [slots[0], slots[2]]) == [ours[0], ours[2]]


def test_a_long_random_history_with_restarts_loses_and_doubles_nothing(opened: Open) -> None:
    """Puts, sends, acknowledgements and restarts in any order: every packet leaves exactly once."""
    rng = Random(7)
    file = opened()
    put: list[bytes] = []
    left: list[bytes] = []
    for _ in range(300):
        choice = rng.randrange(4)
        if choice == 0:
            new = packets(rng.randrange(1, 5))
            file.put(frame_id(), b"".join(new))
            put += new
        elif choice == 1 and file.held():
            held = file.held()
            file.send("m2", frame_id(), rng.sample(held, rng.randrange(1, len(held) + 1)))
        elif choice == 2 and (frame := file.outgoing("m2")) is not None:
            sent = frame.packets
            left += [sent[at : at + ADDRESSED_BYTES] for at in range(0, len(sent), ADDRESSED_BYTES)]
            file.acknowledged("m2", frame.id)
        else:
            file = opened()
        assert len(file) == len(put) - len(left)
    while (frame := file.outgoing("m2")) is not None:
        left += [
            frame.packets[at : at + ADDRESSED_BYTES] for at in range(0, len(frame.packets), ADDRESSED_BYTES)
        ]
        file.acknowledged("m2", frame.id)
    left += content(file, file.held())
    assert sorted(left) == sorted(put)
    assert len(put) > 100


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4])
def test_a_frame_killed_at_any_step_and_sent_again_is_in_the_pool_once(tmp_path: Path, steps: int) -> None:
    """
    The table at the head of mix/replay, line by line, with both stores.

    Wherever the process dies: after the frame came again, its packets are held once, and a third sending
    finds it known.
    """
    key, frame, ours = KeyId(b"k" * 16), frame_id(), packets(3)
    names = [(key, Tag(os.urandom(16))) for _ in ours]
    create_filter(tmp_path / "replay", [key])

    def start() -> tuple[ReplayFilter, PoolFile]:
        replay = ReplayFilter(tmp_path / "replay", [key])
        return replay, PoolFile(tmp_path / "pool.db", replay.knows_frame)

    def take_in(replay: ReplayFilter, file: PoolFile, last_step: int) -> None:
        fresh = replay.fresh(names, frame, 1) if last_step >= 1 else []
        if last_step >= 2:
            file.put(
                frame, b"".join(packet for packet, is_fresh in zip(ours, fresh, strict=True) if is_fresh)
            )
        if last_step >= 3:
            replay.commit()

    replay, file = start()
    take_in(replay, file, steps)
    # Closing writes nothing, so it is the same as being killed here; and the lock goes with the process.
    replay.close()
    file.close()
    replay, file = start()
    assert replay.knows_frame(frame) == (steps >= 3)
    if not replay.knows_frame(frame):
        take_in(replay, file, 3)
    assert replay.knows_frame(frame)
    assert content(file, file.held()) == ours
    assert replay.fresh(names, frame_id(), 1) == [False, False, False]
    replay.close()
    file.close()


def test_the_file_is_for_its_owner_only(opened: Open, tmp_path: Path) -> None:
    opened()
    for name in ("pool.db", "pool.packets"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
