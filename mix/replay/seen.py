"""
The names seen under one key (or the frame ids of one epoch): a table that grows, up to a capacity.

Room for all that a key may ever see would be wasted on a quiet node. So it begins with a table of 1 MiB, four
times as large each time it is half full. The names move over a few at a time, with each commit, so that none
takes long. From an eighth of the last table's size the step is to the last table itself.

    capacity 172,800,000   one epoch of a day at 2,000 packets a second
    memory   983 MB        the last table, 45 names a bucket of 256 bytes; 67 MB more while the former moves
"""

from collections.abc import Iterator

from mix.replay.table import BUCKET_BYTES, NAME_BYTES, Table

FIRST_BUCKETS = 4096
GROWTH = 4
FULL_SMALL = 16
"""Names a bucket, on average, at which a small table is left: of 31."""
FULL_LAST = 45
"""Names a bucket at capacity: of 63. With 48, the set beside the table would outgrow what it saves."""
LAST_STEP = 8
MOVED_PER_NAME = 2
"""Two names move for each new one: a table four times as large is far from full when the last has moved."""
LEAST_MOVED = 64
_PIECE_BYTES = 1 << 17


def memory_bytes(capacity: int) -> int:
    """What names up to this capacity take at most, once the last table is in use."""
    return -(-capacity // FULL_LAST) * BUCKET_BYTES


class Seen:
    """
    The names (8 bytes each) seen so far. `add` several times, then `commit` or `roll_back`.

    It goes beyond its capacity rather than forget; whoever adds looks at `is_full` first.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._count = self._added = 0
        self._undo: list[int | tuple[int, bytes]] = []
        self._small_buckets = FIRST_BUCKETS
        self._table = self._make()
        self._before: Table | None = None
        self._moving: Iterator[bytes] = iter(())

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        return self._count >= self.capacity

    def add(self, names: bytes) -> list[bool]:
        """Put in the names that were never seen, also not earlier among themselves; which they are."""
        before = [] if self._before is None else self._before.has(names)
        if True not in before:
            new = self._table.add(names, self._undo)
        else:
            pieces = [names[at : at + NAME_BYTES] for at in range(0, len(names), NAME_BYTES)]
            unknown = b"".join([name for name, known in zip(pieces, before, strict=True) if not known])
            answers = iter(self._table.add(unknown, self._undo))
            new = [not known and next(answers) for known in before]
        count = new.count(True)
        self._count += count
        self._added += count
        return new

    def has(self, name: bytes) -> bool:
        """Whether this name was seen."""
        return any(table.has(name)[0] for table in (self._table, self._before) if table is not None)

    def commit(self) -> None:
        """Keep what was added, and grow a little where it is time to."""
        self._undo.clear()
        added, self._added = self._added, 0
        if self._before is not None:
            self._move(max(LEAST_MOVED, MOVED_PER_NAME * added))
        else:
            self._grow()

    def roll_back(self) -> None:
        """Forget what was added since the last commit."""
        self._table.take_back(self._undo)
        self._undo.clear()
        self._count -= self._added
        self._added = 0

    def load(self, names: bytes) -> None:
        """Put in names that are known to differ: those of the log, at the start."""
        for at in range(0, len(names), _PIECE_BYTES):
            piece = names[at : at + _PIECE_BYTES]
            self._table.put(piece)
            self._count += len(piece) // NAME_BYTES
            self._grow()
            self._move(self._count)

    def close(self) -> None:
        """Give the memory back."""
        for table in (self._table, self._before):
            if table is not None:
                table.close()

    def _make(self) -> Table:
        if self._small_buckets:
            return Table(self._small_buckets, 8)
        return Table(memory_bytes(self.capacity) // BUCKET_BYTES, 4)

    def _grow(self) -> None:
        if self._small_buckets and self._count >= self._small_buckets * FULL_SMALL:
            self._before, self._moving = self._table, self._table.drain()
            self._small_buckets = self._next_small()
            self._table = self._make()

    def _next_small(self) -> int:
        buckets = self._small_buckets * GROWTH
        return buckets if buckets * BUCKET_BYTES <= memory_bytes(self.capacity) // LAST_STEP else 0

    def _move(self, most: int) -> None:
        moved = 0
        for names in self._moving:
            self._table.put(names)
            moved += len(names) // NAME_BYTES
            if moved > most:
                return
        # The iterator has come to its end: nothing is left in the table before.
        if self._before is not None:
            self._before.close()
            self._before = None
