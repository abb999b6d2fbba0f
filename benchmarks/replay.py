"""
The replay filter: what a tag costs, how much memory it takes, how often a new packet is taken for an old one,
and how long a start takes.

A filter with the capacity of a day at 2,000 packets a second (172.8 million) is filled by its log. The whole
of it takes minutes and 1 GiB, so it is measured with ``--large``; without, a filter a sixteenth as large,
filled as far. Memory a packet and false positives depend on how full buckets are, not on their number.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure
from mix.frame import FrameId
from mix.packet.geometry import KeyId, Tag
from mix.replay import ReplayFilter, create_filter
from mix.replay.log import NoRoom
from mix.replay.store import TAGS, Store
from mix.replay.table import NAME_BYTES

DAY = 2000 * 86_400
PART = 16
KEY = KeyId(b"k" * 16)
FRAME_PACKETS = 64
TIMED_FRAMES = 2000
PROBES = 10_000_000
AT_ONCE = 200_000
RECORD_TAGS = 64
"""Tags in a record of the log that is read: as many as a frame brings, since records cost too."""
PAGE = os.sysconf("SC_PAGE_SIZE")


def measure() -> list[Figure]:
    """With a sixteenth of a day's packets."""
    return _measure(DAY // PART, PROBES)


def measure_large() -> list[Figure]:
    """With a day's packets."""
    return _measure(DAY, PROBES)


def _measure(packets: int, probes: int) -> list[Figure]:
    """In a process of its own, whose memory is nothing but the filter's."""
    with tempfile.TemporaryDirectory(dir=_disk()) as folder:
        command = [sys.executable, "-m", "benchmarks.replay", folder, str(packets), str(probes)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    empty_us, full_us, start_s, mib, false = (float(one) for one in done.stdout.split())
    size = f"{packets:,} packets of one key on file and as many its capacity, frames of {FRAME_PACKETS}"
    day = DAY / packets
    return [
        Figure(
            "replay_day_mib",
            mib * day,
            "MiB",
            f"resident memory for a day at 2,000/s; {size}",
            1024.0,
            "lower",
        ),
        Figure(
            "replay_false_positives",
            max(false, 1) / probes,
            "ratio",
            f"new packets taken for old ones: {false:.0f} of {probes:,}, given as at least one; {size}",
            1e-6,
            "lower",
        ),
        Figure(
            "replay_tag_us",
            full_us,
            "us",
            f"CPU time of a packet's look, insertion and part of a sync; {size}",
        ),
        Figure("replay_tag_empty_us", empty_us, "us", "the same while a new key's filter grows"),
        Figure(
            "replay_start_s",
            start_s / packets * 1e7,
            "s",
            f"CPU time of a start for each 10,000,000 packets; {size}",
        ),
    ]


def _disk() -> Path:
    """A disk, not memory: the log's pages must not count."""
    return Path(__file__).parent


def _names(count: int) -> list[tuple[KeyId, Tag]]:
    tags = os.urandom(16 * count)
    return [(KEY, Tag(tags[at : at + 16])) for at in range(0, len(tags), 16)]


def _cost_us(replay: ReplayFilter, frames: int) -> float:
    """Of a packet, in frames with a commit each."""
    spent = 0.0
    for _ in range(frames):
        names, frame_id = _names(FRAME_PACKETS), FrameId(os.urandom(16))
        begin = time.thread_time()
        replay.fresh(names, frame_id, 0)
        replay.commit()
        spent += time.thread_time() - begin
    return spent / frames / FRAME_PACKETS * 1e6


def _write_log(path: Path, packets: int) -> None:
    """Random names straight into the log, as many records as frames would make; synced at the end only."""
    store, sync = Store(path), os.fdatasync
    store.read(lambda _space, _names: None)
    os.fdatasync = lambda _: None  # type: ignore[assignment] # a million syncs measure the disk, not a start
    try:
        for piece in _pieces(packets):
            store.append({(TAGS, KEY): [piece]})
    except NoRoom as error:
        raise SystemExit(str(error)) from None
    finally:
        os.fdatasync = sync
        store.close()


def _pieces(packets: int) -> Iterator[bytes]:
    left, size = packets, RECORD_TAGS * NAME_BYTES
    while left > 0:
        names = os.urandom(min(left, AT_ONCE) * NAME_BYTES)
        left -= AT_ONCE
        yield from (names[at : at + size] for at in range(0, len(names), size))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def _false_positives(replay: ReplayFilter, probes: int) -> int:
    """Rolled back, so that the filter stays as full as it is."""
    false = 0
    for _ in range(0, probes, AT_ONCE):
        false += replay.fresh(_names(AT_ONCE), FrameId(os.urandom(16)), 0).count(False)
        replay.rollback()
    return false


def main(folder: Path, packets: int, probes: int) -> None:
    path = folder / "replay"
    create_filter(path, [KEY])
    growing = ReplayFilter(path, [KEY], packets)
    empty_us = _cost_us(growing, TIMED_FRAMES)
    growing.close()
    # A little room is left, so that the packets timed below are taken.
    _write_log(path, packets - 2 * TIMED_FRAMES * FRAME_PACKETS)
    before, begin = _resident(), time.process_time()
    replay = ReplayFilter(path, [KEY], packets)
    start_s, mib = time.process_time() - begin, (_resident() - before) / (1 << 20)
    full_us = _cost_us(replay, TIMED_FRAMES // 2)
    false = _false_positives(replay, probes)
    replay.close()
    print(empty_us, full_us, start_s, mib, false)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
