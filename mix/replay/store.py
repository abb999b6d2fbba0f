"""
A replay filter's folder: the index and the log together, for one process at a time.

A record's payload is parts, one after the other:

    part    kind 1 || of 16 || count 4 || names, 8 bytes each
    kind    "t": tags, of the key with this id; "f": frame ids, of the epoch with this number

So what a frame left, under one key or two, is in one record, there as a whole or not at all.

Source: docs/spec/replay.md, section 2.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from struct import Struct

from mix.replay.index import Index, read_index, write_index
from mix.replay.log import HEAD_BYTES, Reader, Writer, create_segment, damaged, segment_numbers, segment_path
from mix.replay.table import NAME_BYTES
from mixmint.errors import UserError
from mixmint.keys import sync_folder

Space = tuple[bytes, bytes]
"""What a part's names are of: kind, and key id or epoch."""
TAGS, FRAMES = b"t", b"f"
OF_BYTES = 16
_PIECE_BYTES = 1 << 17
"""Handed over at once: small, since freed memory is not always given back."""
_PART = Struct(f">c{OF_BYTES}sI")


def encode_parts(parts: Mapping[Space, Sequence[bytes]]) -> bytes:
    """A record's payload. Names may come in several pieces."""
    pieces = []
    for (kind, of), names in parts.items():
        joined = b"".join(names)
        pieces += [_PART.pack(kind, of, len(joined) // NAME_BYTES), joined]
    return b"".join(pieces)


def decode_parts(payload: memoryview) -> Iterator[tuple[Space, memoryview]]:
    """The reverse. Raises ValueError for bytes that aren't one: whole, but not written by us."""
    at = 0
    while at < len(payload):
        if at + _PART.size > len(payload):
            raise ValueError("no part")
        kind, of, count = _PART.unpack_from(payload, at)
        names = payload[at + _PART.size : at + _PART.size + count * NAME_BYTES]
        if kind not in (TAGS, FRAMES) or len(names) != count * NAME_BYTES:
            raise ValueError("no part")
        yield (kind, of), names
        at += _PART.size + len(names)


def build_store(path: Path, index: Index, fill: Callable[["Store"], None]) -> None:
    """
    Make a folder that isn't there yet, and fill it. Killed anywhere, all of it is there, or nothing.

    Raises UserError when it can't be written.
    """
    fresh = path.with_name(path.name + ".new")
    try:
        # What a crash left there never was in force.
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        create_segment(fresh, index.first, 1)
        write_index(fresh, index)
        store = Store(fresh)
        try:
            store.read(lambda _space, _names: None)
            fill(store)
        finally:
            store.close()
        fresh.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise UserError(f"can't make replay filter {path}: {error.strerror}") from None


class Store:
    """
    The folder, locked. `read` comes first; then `append` and the others.

    ``shared``: only to look at the index, whoever has it open.

    Raises UserError if another process has it open, or the index is missing.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self.path = path
        try:
            self._lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise UserError(f"can't open replay filter {path}: {error.strerror}") from None
        try:
            if not shared:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.index = read_index(path)
        except BlockingIOError:
            os.close(self._lock)
            raise UserError(f"replay filter {path} is in use: is the node running already?") from None
        except BaseException:
            os.close(self._lock)
            raise
        self._writer: Writer | None = None
        # Segment -> what its names are of: for telling when nothing in it counts any more.
        self._spaces: dict[int, set[Space]] = {}

    def read(self, take: Callable[[Space, bytes], None]) -> None:
        """
        Read the whole log, and make ready to append: a torn last record is cut off.

        ``take`` gets all names that still count, in large pieces.

        Raises FatalError if anything else is broken or missing.
        """
        index, next_record, end = self.index, 1, HEAD_BYTES
        self._check_segments()
        for number in range(index.first, index.newest + 1):
            reader = Reader(self.path, number, is_newest=number == index.newest)
            if number > index.first and reader.next_record != next_record:
                raise damaged(reader.path, "doesn't go on where the segment before it ends")
            self._spaces[number] = _read_segment(reader, lambda space, names: self._take(space, names, take))
            next_record, end = reader.next_record, reader.end
        self._writer = Writer(self.path, index.newest, end, next_record)

    def append(self, parts: Mapping[Space, Sequence[bytes]]) -> None:
        """
        Write a record; when this returns, it survives a power cut.

        Raises UserError (no room; nothing was written) or FatalError.
        """
        writer = self._opened()
        if writer.wants_new_segment:
            writer = self._begin_segment(writer)
        writer.append(encode_parts(parts))
        self._spaces[writer.number].update(parts)

    def add_keys(self, key_ids: Sequence[bytes]) -> None:
        """Add keys that were never used. Raises ValueError for one that is here, or was."""
        self._replace_index(self.index.with_keys(list(key_ids)))

    def retire(self, key_id: bytes) -> None:
        """Erase a key's secret, for ever, and the oldest segments in which nothing counts any more."""
        self._replace_index(self.index.retired(key_id), erase=True)
        writer = self._opened()
        if self._spaces[writer.number]:
            # So that what is in this segment can go once the keys beside the retired one are gone too.
            self._begin_segment(writer)
        self._drop_segments()

    def prune(self, before_epoch: int) -> None:
        """Frame ids of earlier epochs don't count any more."""
        if before_epoch > self.index.frames_from:
            self._replace_index(self.index.changed(frames_from=before_epoch))
            self._drop_segments()

    def close(self) -> None:
        """Let another process have the folder. Closing twice is fine."""
        if self._lock < 0:
            return
        if self._writer is not None:
            self._writer.close()
        os.close(self._lock)
        self._lock = -1

    def _check_segments(self) -> None:
        """Exactly those of the index; but for an empty one behind, and dropped ones before, after a crash."""
        there, index = set(segment_numbers(self.path)), self.index
        for number in range(index.first, index.newest + 1):
            if number not in there:
                raise damaged(segment_path(self.path, number), "is missing")
        for number in there:
            path = segment_path(self.path, number)
            if number < index.first:
                path.unlink()
            elif number > index.newest and path.stat().st_size > HEAD_BYTES:
                raise damaged(self.path, "has an index that is older than its log")

    def _take(self, space: Space, names: bytes, take: Callable[[Space, bytes], None]) -> None:
        if self._counts(space):
            take(space, names)

    def _counts(self, space: Space) -> bool:
        kind, of = space
        if kind == FRAMES:
            return int.from_bytes(of, "big") >= self.index.frames_from
        return self.index.secret(of) is not None

    def _begin_segment(self, before: Writer) -> Writer:
        """
        Go on in a new segment. Killed before the index is replaced, the new one is empty, and made anew.

        Raises UserError or FatalError; then it goes on in the one before.
        """
        number = before.number + 1
        create_segment(self.path, number, before.next_record)
        self._replace_index(self.index.changed(newest=number))
        self._writer = Writer(self.path, number, HEAD_BYTES, before.next_record)
        self._spaces[number] = set()
        before.close()
        return self._writer

    def _drop_segments(self) -> None:
        """Delete the oldest segments in which nothing counts. Killed midway, the next start goes on."""
        first = self.index.first
        while first < self.index.newest and not any(map(self._counts, self._spaces[first])):
            first += 1
        if first > self.index.first:
            gone = range(self.index.first, first)
            self._replace_index(self.index.changed(first=first))
            for number in gone:
                del self._spaces[number]
                segment_path(self.path, number).unlink()

    def _replace_index(self, index: Index, *, erase: bool = False) -> None:
        write_index(self.path, index, erase=erase)
        self.index = index

    def _opened(self) -> Writer:
        if self._writer is None:
            raise RuntimeError("read the log first: where it ends isn't known before")
        return self._writer


def _read_segment(reader: Reader, take: Callable[[Space, bytes], None]) -> set[Space]:
    """Hand over all names of a segment, in pieces; what they are of."""
    found: dict[Space, bytearray] = {}
    try:
        for payload in reader.payloads():
            for space, names in decode_parts(payload):
                piece = found.setdefault(space, bytearray())
                piece += names
                if len(piece) >= _PIECE_BYTES:
                    take(space, bytes(piece))
                    piece.clear()
    except ValueError:
        raise damaged(reader.path, f"is damaged at byte {reader.end}") from None
    for space, piece in found.items():
        take(space, bytes(piece))
    return set(found)
