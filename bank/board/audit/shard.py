"""
The second pass over a log: all coins whose ids begin with one byte, sorted, each with everything said of it.

A shard's coins are counted by *parts* of the log: the leaves between two sizes at which a statement of the
bank's stands. And the shard's tree of the map is grown from map entry to map entry.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from struct import Struct

from bank.board.audit.chunk import CERTIFIED, RECORD, REPLACED, SPENT, UNPROVED, VOID
from bank.board.audit.finding import Fault, Problems
from bank.board.audit.spill import TOGETHER, counts_path, read_shards, roots_path
from bank.board.map.growing import GrowingShard
from mixmint.errors import UserError

COUNT = Struct(">IBIQQQ")
"""Part 4, exponent 1, epoch 4; coins certified, spent and replaced in this part 8 each."""
ROOT = Struct(">Q32s")
"""Coins 8, root 32."""


@dataclass(frozen=True, slots=True)
class ShardJob:
    """
    The records of TOGETHER shards in ``folder``, from ``first`` on. ``statements`` and ``maps``: the sizes of
    the log, ascending, at which coins are counted, and roots are wanted.
    """

    folder: Path
    first: int
    statements: "array[int]"
    maps: "array[int]"


@dataclass(slots=True)
class Coin:
    """
    What the log says of one coin, each by index, ascending: certificates with exponent and epoch, spent
    entries with half of their seals.
    """

    certified: list[tuple[int, int, int]] = field(default_factory=list)
    spent: list[tuple[int, bytes]] = field(default_factory=list)
    replaced: list[int] = field(default_factory=list)
    void: bool = False
    """Whether a replaced key certified it: it may have been spent while nobody knew."""


def check_shards(job: ShardJob) -> Problems:
    """
    Check some shards, one after another; their counts and roots are left in files beside their records.

    Raises UserError: the disk is full.
    """
    counting = _Counting(job.statements)
    roots: list[list[bytes]] = []
    for data in read_shards(job.folder, job.first, TOGETHER):
        for coin in coins_of(data):
            counting.take(coin)
        roots.append(list(roots_of(data, job.maps)))
    try:
        counts_path(job.folder, job.first).write_bytes(counting.packed())
        if job.maps:
            packed = b"".join([root for at_one_size in zip(*roots, strict=True) for root in at_one_size])
            roots_path(job.folder, job.first).write_bytes(packed)
    except OSError as error:
        raise UserError(f"can't keep the audit's notes in {job.folder}: {error.strerror}") from None
    return counting.problems


def coins_of(data: bytes) -> Iterator[Coin]:
    """The coins in packed records, ascending by id; entries with false signatures say nothing."""
    width = RECORD.size
    coin, current = Coin(), b""
    for record in sorted([data[at : at + width] for at in range(0, len(data), width)]):
        identity, index, what, exponent, epoch, seal = RECORD.unpack(record)
        if identity != current:
            if current:
                yield coin
            coin, current = Coin(), identity
        if what == CERTIFIED:
            coin.certified.append((index, exponent, epoch))
        elif what == SPENT:
            coin.spent.append((index, seal))
        elif what == REPLACED:
            coin.replaced.append(index)
        elif what == CERTIFIED | VOID:
            coin.void = True
    if current:
        yield coin


class _Counting:
    """Counts by part, exponent and epoch; and what is wrong with single coins."""

    def __init__(self, sizes: "array[int]") -> None:
        self.problems = Problems()
        self._sizes = sizes
        self._counts: dict[tuple[int, int, int], list[int]] = {}

    def take(self, coin: Coin) -> None:
        self._look_at_ends(coin)
        if not coin.certified:
            ends = [index for index, _ in coin.spent] + coin.replaced
            if ends and not coin.void:
                self.problems.add(Fault.NEVER_CERTIFIED, min(ends))
            return
        first, exponent, epoch = coin.certified[0]
        for index, *value in coin.certified[1:]:
            if value != [exponent, epoch]:
                self.problems.add(Fault.CERTIFIED_TWICE, first, index)
                break
            self.problems.add(Fault.REPEATED, first, index)
        self._count(first, exponent, epoch, 0)
        if coin.spent:
            self._count(coin.spent[0][0], exponent, epoch, 1)
        if coin.replaced:
            self._count(coin.replaced[0], exponent, epoch, 2)

    def _look_at_ends(self, coin: Coin) -> None:
        """Whether the coin ends twice: spent under two seals, or spent and replaced."""
        if coin.spent:
            first, seal = coin.spent[0]
            for index, other in coin.spent[1:]:
                self.problems.add(Fault.REPEATED if other == seal else Fault.ENDED_TWICE, first, index)
            for index in coin.replaced:
                self.problems.add(Fault.ENDED_TWICE, *sorted((first, index)))
        for index in coin.replaced[1:]:
            self.problems.add(Fault.REPEATED, coin.replaced[0], index)

    def _count(self, index: int, exponent: int, epoch: int, column: int) -> None:
        part = bisect_right(self._sizes, index)
        counts = self._counts.setdefault((part, exponent, epoch), [0, 0, 0])
        counts[column] += 1

    def packed(self) -> bytes:
        """Ascending by part."""
        return b"".join([COUNT.pack(*key, *counts) for key, counts in sorted(self._counts.items())])


def roots_of(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """The shard's packed ROOT at each of these sizes of the log."""
    if not sizes:
        return
    events = sorted(
        ((index, coin, what & ~(UNPROVED | VOID)) for coin, index, what, *_ in RECORD.iter_unpack(data)),
        key=itemgetter(0),
    )
    shard, at = GrowingShard(), 0
    for size in sizes:
        changes: dict[bytes, int] = {}
        while at < len(events) and events[at][0] < size:
            _, coin, state = events[at]
            changes[coin] = max(state, changes.get(coin, 0))
            at += 1
        shard.update(changes)
        yield ROOT.pack(shard.coins, shard.root())
