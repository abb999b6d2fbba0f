"""
A table of fingerprints in anonymous memory: which names were seen, in 6 bytes each, at one look each.

A name here is 8 bytes that nobody outside can choose or foresee (`mix.replay.index` says how they are made).
Its first 4 bytes say in which bucket it belongs. A bucket is 256 bytes: how many entries it holds, then the
entries one after the other. An entry is the whole name, or only its last 4 bytes:

    entry     in a bucket   for
    8 bytes   31            small tables, which are emptied into larger ones later (`mix.replay.seen`)
    4 bytes   63            the last one; a name never seen is taken for one that was with a chance of
                            4 x (entries in its bucket) / 2^32: 4.2e-8 with 45 of them. (4, since an entry is
                            looked for at every byte: to ask where it began would cost more than it gains.)

What finds its bucket full goes into a set beside the table. Names are spread evenly, so that is rare: with 45
entries a bucket on average, one name in 4,000.

Nothing is on disk here, and nothing has to be: the log has all names.
"""

import mmap
from array import array
from collections.abc import Iterator
from contextlib import suppress
from struct import Struct
from typing import Literal

NAME_BYTES = 8
BUCKET_BYTES = 256
_SHIFT = 8
_HUGE_BYTES = 32 << 20
"""From here on a table asks for large pages: a look at random places is then a third cheaper."""


class Table:
    """So many buckets of entries of 4 or 8 bytes. Not for several threads at once."""

    __slots__ = ("_buckets", "_entry_bytes", "_memory", "_over", "_slots", "_split")

    def __init__(self, buckets: int, entry_bytes: Literal[4, 8]) -> None:
        self._buckets = buckets
        self._entry_bytes = entry_bytes
        self._slots = (BUCKET_BYTES - 1) // entry_bytes
        self._split = Struct("4x4s" if entry_bytes == 4 else "8s")
        self._memory = mmap.mmap(-1, buckets * BUCKET_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if len(self._memory) >= _HUGE_BYTES:
            # Some kernels are built without them; then it is only slower.
            with suppress(OSError):
                self._memory.madvise(mmap.MADV_HUGEPAGE)
        self._over: set[tuple[int, bytes]] = set()

    def add(self, names: bytes, undo: list[int | tuple[int, bytes]]) -> list[bool]:
        """
        Put in the names (8 bytes each) that aren't in yet; which were new.

        What `take_back` needs is appended to ``undo``.
        """
        memory, buckets, size, slots = self._memory, self._buckets, self._entry_bytes, self._slots
        new = []
        for high, (entry,) in zip(array("I", names)[::2], self._split.iter_unpack(names), strict=True):
            at = (high * buckets >> 32) << _SHIFT
            bucket = memory[at : at + BUCKET_BYTES]
            held = bucket[0]
            if bucket.find(entry, 1, 1 + held * size) >= 0:
                new.append(False)
            elif held < slots:
                end = at + 1 + held * size
                memory[end : end + size] = entry
                memory[at] = held + 1
                undo.append(at)
                new.append(True)
            elif (high, entry) in self._over:
                new.append(False)
            else:
                self._over.add((high, entry))
                undo.append((high, entry))
                new.append(True)
        return new

    def take_back(self, undo: list[int | tuple[int, bytes]]) -> None:
        """Take out what was put in last, in any order: a bucket's last entries are the newest."""
        for one in undo:
            if isinstance(one, int):
                self._memory[one] -= 1
            else:
                self._over.remove(one)

    def put(self, names: bytes) -> None:
        """Put in names that aren't in yet, without looking: half the price of `add`."""
        memory, buckets, size, slots = self._memory, self._buckets, self._entry_bytes, self._slots
        for high, (entry,) in zip(array("I", names)[::2], self._split.iter_unpack(names), strict=True):
            at = (high * buckets >> 32) << _SHIFT
            held = memory[at]
            if held < slots:
                end = at + 1 + held * size
                memory[end : end + size] = entry
                memory[at] = held + 1
            else:
                self._over.add((high, entry))

    def has(self, names: bytes) -> list[bool]:
        """Which of these names are in."""
        memory, buckets, size = self._memory, self._buckets, self._entry_bytes
        found = []
        for high, (entry,) in zip(array("I", names)[::2], self._split.iter_unpack(names), strict=True):
            at = (high * buckets >> 32) << _SHIFT
            bucket = memory[at : at + BUCKET_BYTES]
            found.append(bucket.find(entry, 1, 1 + bucket[0] * size) >= 0 or (high, entry) in self._over)
        return found

    def drain(self) -> Iterator[bytes]:
        """
        Empty the table of whole names, bucket by bucket: each bucket's names, and at last the set's.

        A bucket is emptied when the next is asked for, so that what is taken over first is never missing.
        """
        memory = self._memory
        for at in range(0, len(memory), BUCKET_BYTES):
            if held := memory[at]:
                yield memory[at + 1 : at + 1 + held * NAME_BYTES]
                memory[at] = 0
        yield b"".join(entry for _, entry in self._over)

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
        self._over.clear()
