"""
The log of a replay filter: segments of records, appended and synced, read whole at each start.

    segment   head, then records              state/replay/00000001.log, 00000002.log, ...
    head      "mixmint replay log 1\\n" || segment number 8 || first record's number 8 || checksum 4
    record    "rec:" || length 4 || number 8 || payload's checksum 4 || checksum of these 20 bytes 4
              || payload

Checksums are CRC-32; numbers are big-endian and go on by one, also from segment to segment.

A record is synced before the next is begun. So after a crash or a power cut at most the last one is torn: it
was never acknowledged, and is cut off. What is broken anywhere else, or missing, was acknowledged; a log that
forgot it would accept replays, so it is refused. A broken last record can't be told from a torn one.

Trust: checksums find accidents. Whoever can change the files can forge them.

Source: docs/spec/replay.md, section 2.
"""

import errno
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from zlib import crc32

from mixmint.errors import FatalError, UserError
from mixmint.keys import sync_folder

MAGIC = b"mixmint replay log 1\n"
MARK = b"rec:"
SEGMENT_BYTES = 64 << 20
"""From here on the next record begins a new segment."""
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_SEGMENT = Struct(f">{len(MAGIC)}sQQ")
_RECORD = Struct(f">{len(MARK)}sIQI")
_SUM = Struct(">I")
HEAD_BYTES = _SEGMENT.size + _SUM.size
RECORD_HEAD_BYTES = _RECORD.size + _SUM.size


class NoRoom(UserError):
    """The disk has no room for a record. Nothing was written; it may have room later."""


def damaged(path: Path, what: str) -> FatalError:
    """The error for a log that can't be believed."""
    return FatalError(
        f"replay filter: {path} {what}; packets seen before can't be told from new ones,"
        " so the node's keys can't be used any more: make new ones"
    )


def segment_path(folder: Path, number: int) -> Path:
    return folder / f"{number:08}.log"


def segment_numbers(folder: Path) -> list[int]:
    """The segments that are there, oldest first."""
    return sorted(int(path.stem) for path in folder.glob("[0-9]" * 8 + ".log"))


def create_segment(folder: Path, number: int, first_record: int) -> None:
    """
    Make an empty segment, durably; one that a crash left half made, or empty, is made anew.

    Raises NoRoom or FatalError; then it isn't there, or is nothing but a head.
    """
    path = segment_path(folder, number)
    head = _SEGMENT.pack(MAGIC, number, first_record)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(descriptor, head + _SUM.pack(crc32(head)))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(folder)
    except OSError as error:
        raise write_error(path, error) from None


def write_error(path: Path, error: OSError) -> NoRoom | FatalError:
    """What a failed write means: wait for room, or stop."""
    text = f"the replay filter can't write {path}: {error.strerror}"
    return NoRoom(f"{text}; make room") if error.errno in _NO_ROOM else FatalError(text)


class Reader:
    """Reads one segment. After `payloads` has come to its end, ``next_record`` and ``end`` are known."""

    def __init__(self, folder: Path, number: int, *, is_newest: bool) -> None:
        """Raises FatalError for a head that isn't the segment's."""
        self.path = segment_path(folder, number)
        self._is_newest = is_newest
        # Mapped, not read: freed memory is not always given back, and a segment is large.
        with self.path.open("rb") as file:
            empty = os.fstat(file.fileno()).st_size == 0
            self._data = b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        head = self._data[: _SEGMENT.size]
        if len(self._data) < HEAD_BYTES or _SUM.unpack_from(self._data, _SEGMENT.size)[0] != crc32(head):
            raise damaged(self.path, "has a broken head")
        magic, found, self.next_record = _SEGMENT.unpack(head)
        if magic != MAGIC or found != number:
            raise damaged(self.path, "isn't the segment that its name says")
        self.end = HEAD_BYTES

    def payloads(self) -> Iterator[memoryview]:
        """
        The records' payloads, in order. A torn last one is left out, if this is the newest segment.

        Raises FatalError for anything else that is broken.
        """
        data, view = self._data, memoryview(self._data)
        while self.end < len(data):
            length = self._length(self.end)
            start = self.end + RECORD_HEAD_BYTES
            if length is None or crc32(view[start : start + length]) != self._checksum:
                if self._is_newest and not self._anything_after(self.end):
                    return
                raise damaged(self.path, f"is damaged at byte {self.end}")
            yield view[start : start + length]
            self.end = start + length
            self.next_record += 1

    def _length(self, at: int) -> int | None:
        """The payload's length, if a whole record may begin here; sets the checksum it must have."""
        if at + RECORD_HEAD_BYTES > len(self._data):
            return None
        mark, length, number, self._checksum = _RECORD.unpack_from(self._data, at)
        (head_sum,) = _SUM.unpack_from(self._data, at + _RECORD.size)
        good = mark == MARK and number == self.next_record
        if not good or head_sum != crc32(self._data[at : at + _RECORD.size]):
            return None
        return int(length) if at + RECORD_HEAD_BYTES + length <= len(self._data) else None

    def _anything_after(self, at: int) -> bool:
        """Whether a later record begins after this place: then what is broken here was synced once."""
        found = self._data.find(MARK, at + 1)
        while found >= 0:
            if found + RECORD_HEAD_BYTES <= len(self._data):
                _, _, number, _ = _RECORD.unpack_from(self._data, found)
                (head_sum,) = _SUM.unpack_from(self._data, found + _RECORD.size)
                whole = head_sum == crc32(self._data[found : found + _RECORD.size])
                if whole and number > self.next_record:
                    return True
            found = self._data.find(MARK, found + 1)
        return False


class Writer:
    """Appends to the newest segment. ``end`` and ``next_record``: where its last whole record ends."""

    def __init__(self, folder: Path, number: int, end: int, next_record: int) -> None:
        """
        Cut off what stands behind ``end``.

        Raises FatalError when it can't.
        """
        self._folder = folder
        self.number = number
        self.next_record = next_record
        self._end = end
        self._descriptor = self._open()
        self._cut()

    @property
    def wants_new_segment(self) -> bool:
        return self._end >= SEGMENT_BYTES

    def append(self, payload: bytes) -> None:
        """
        Write a record; when this returns, it survives a power cut.

        Raises NoRoom, and then the log is as before; FatalError when that isn't sure. Killed in the middle,
        the next start cuts it off.
        """
        head = _RECORD.pack(MARK, len(payload), self.next_record, crc32(payload))
        record = b"".join((head, _SUM.pack(crc32(head)), payload))
        try:
            _write_all(self._descriptor, record)
            os.fdatasync(self._descriptor)
        except OSError as error:
            # Half a record must not stay in front of the next one.
            self._cut()
            raise write_error(self._path, error) from None
        self._end += len(record)
        self.next_record += 1

    def close(self) -> None:
        os.close(self._descriptor)

    @property
    def _path(self) -> Path:
        return segment_path(self._folder, self.number)

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            raise FatalError(f"the replay filter can't open {self._path}: {error.strerror}") from None

    def _cut(self) -> None:
        try:
            if os.fstat(self._descriptor).st_size != self._end:
                os.ftruncate(self._descriptor, self._end)
                os.fdatasync(self._descriptor)
        except OSError as error:
            raise FatalError(f"the replay filter can't write {self._path}: {error.strerror}") from None


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
