"""
What the log itself shows of coins, part after part: the shards' counts, put together. And the map's roots.

Both are read from the second pass's files as they are needed, so nothing here grows with the log.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from heapq import merge
from pathlib import Path

from bank.board.audit.shard import COUNT, ROOT
from bank.board.audit.spill import SHARDS, TOGETHER, counts_path, read_all, roots_path
from bank.board.map.trie import root_of_shards


@dataclass
class Shown:
    """Coins by exponent and epoch that the log has shown so far: certified, spent, replaced."""

    by_value: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    units: list[int] = field(default_factory=lambda: [0, 0, 0])
    entries: int = 0
    """Those that changed what a coin is."""

    def take(self, record: bytes) -> None:
        _, exponent, epoch, *counts = COUNT.unpack(record)
        mine = self.by_value.setdefault((exponent, epoch), [0, 0, 0])
        for column, count in enumerate(counts):
            mine[column] += count
            self.units[column] += count << exponent
            self.entries += count

    def of(self, exponent: int, epoch: int) -> list[int]:
        return self.by_value.get((exponent, epoch), [0, 0, 0])


def shown_until(folder: Path, parts: int) -> Iterator[tuple[int, Shown]]:
    """
    After each of ``parts`` parts of the log, ascending: its number, and what was shown until its end. The
    same object each time.
    """
    with ExitStack() as stack:
        firsts = range(0, SHARDS, TOGETHER)
        files = [stack.enter_context(counts_path(folder, first).open("rb")) for first in firsts]
        shown = Shown()
        # Records begin with their part, and each file ascends.
        records = merge(*(read_all(file, COUNT.size) for file in files))
        record = next(records, None)
        for part in range(parts):
            while record is not None and int.from_bytes(record[:4]) <= part:
                shown.take(record)
                record = next(records, None)
            yield part, shown


def map_roots(folder: Path, count: int) -> Iterator[tuple[int, bytes]]:
    """At each of ``count`` map entries, ascending by size: how many coins, and the root (32 bytes)."""
    with ExitStack() as stack:
        firsts = range(0, SHARDS, TOGETHER) if count else ()
        files = [stack.enter_context(roots_path(folder, first).open("rb")) for first in firsts]
        for _ in range(count):
            parts = [file.read(ROOT.size * TOGETHER) for file in files]
            shards = [shard for part in parts for shard in ROOT.iter_unpack(part)]
            yield sum(coins for coins, _ in shards), root_of_shards([root for _, root in shards])
