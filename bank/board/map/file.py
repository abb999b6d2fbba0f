"""
The map on disk: one file for each size of the log that a map was made of, ``<folder>/<size>``.

    magic 8 || size of the log 8 || coins 8 || the log's root at that size 32
    256 shards, each: coins 4 || CRC-32 of its records 4 || root 32
    SHA-256 of all the above 32
    records, 33 each, ascending by coin id

A file is written once, shard by shard, and renamed when it is whole. It is derived from the log, so it isn't
forced to disk: that would make the log's own writes wait for tens of megabytes. A power cut may leave a file
torn, and disks rot; so whatever is read is checked first, and a damaged file is made again from the log. A
wrong byte that went unnoticed would become a wrong root, signed by the board. The log's root says which log
it is of: a folder that another board left behind isn't believed.

Whoever can write here can make the board log a wrong root. Nobody believes it for long: any auditor has the
right one.

Source: docs/spec/map.md, section 4.
"""

import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from bank.board.map.proof import MapProof, prove
from bank.board.map.states import Changes
from bank.board.map.trie import (
    EMPTY,
    RECORD_BYTES,
    SHARDS,
    merge_shard,
    root_of_shards,
    shard_of,
    shard_root,
)
from mixmint.errors import FatalError, PeerError, UserError

MAGIC = b"mixmap1\n"
TEMPORARY = ".new"
_HEAD = Struct(">8sQQ32s")
_SHARD = Struct(">II32s")
_CHECK_BYTES = 32
HEADER_BYTES = _HEAD.size + SHARDS * _SHARD.size + _CHECK_BYTES


class DamagedMap(FatalError):
    """The map's file for ``size`` isn't what was written. It is derived: remove it and read the log."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is damaged")
        self.size = int(path.name)


class MapRoot(NamedTuple):
    """What the board logs: after ``size`` leaves of its log, so many coins under this root (32 bytes)."""

    size: int
    coins: int
    root: bytes


class Shard(NamedTuple):
    """A shard's line in the header."""

    coins: int
    check: int
    root: bytes


_NO_SHARD = Shard(0, 0, EMPTY)


class MapFile:
    """One file, open for reading; at a time one reader."""

    def __init__(self, path: Path) -> None:
        """Raises DamagedMap; FileNotFoundError."""
        self.path = path
        self._file = path.open("rb", buffering=0)
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()

    def _read_header(self) -> None:
        data = self._read(0, HEADER_BYTES)
        if data[-_CHECK_BYTES:] != sha256(data[:-_CHECK_BYTES]).digest():
            raise self._damaged()
        magic, self.size, self.coins, self.log_root = _HEAD.unpack_from(data)
        self.shards = tuple(Shard(*each) for each in _SHARD.iter_unpack(data[_HEAD.size : -_CHECK_BYTES]))
        length = os.fstat(self._file.fileno()).st_size
        if magic != MAGIC or self.path.name != str(self.size):
            raise self._damaged()
        if length != HEADER_BYTES + RECORD_BYTES * self.coins:
            raise self._damaged()
        self._roots = [shard.root for shard in self.shards]
        self._first: list[int] = []
        total = 0
        for shard in self.shards:
            self._first.append(total)
            total += shard.coins
        if total != self.coins:
            raise self._damaged()
        self.root = MapRoot(self.size, self.coins, root_of_shards(self._roots))

    def records(self, number: int) -> bytes:
        """A shard's packed records. Raises DamagedMap."""
        shard = self.shards[number]
        data = self._read(HEADER_BYTES + RECORD_BYTES * self._first[number], RECORD_BYTES * shard.coins)
        if crc32(data) != shard.check:
            raise self._damaged()
        return data

    def prove(self, coin: bytes) -> MapProof:
        """What the map says of a coin, 32 bytes. Costs one pass over a shard. Raises DamagedMap."""
        proof = prove(coin, self.records(shard_of(coin)), self._roots)
        try:
            # The root is the one that the board logged, so nothing else goes out under it.
            proof.verify(coin, self.root.root)
        except PeerError:
            raise self._damaged() from None
        return proof

    def _read(self, start: int, size: int) -> bytes:
        # pread, not mmap: a disk's error is then an exception, not the end of the process.
        try:
            data = os.pread(self._file.fileno(), size, start)
        except OSError:
            raise self._damaged() from None
        if len(data) != size:
            raise self._damaged()
        return data

    def _damaged(self) -> DamagedMap:
        return DamagedMap(self.path)


def at_once() -> None:
    """No rest between two pieces of work."""


def merge(
    old: MapFile | None,
    changes: Changes,
    size: int,
    log_root: bytes,
    folder: Path,
    rest: Callable[[], None] = at_once,
) -> MapFile:
    """
    Make the map's file in ``folder``, for the log of ``size`` leaves with this root (32 bytes): an older map
    with a period's changes. Making it again is harmless: states only grow. ``rest`` is called after each
    shard.

    Raises DamagedMap (of ``old``), UserError (disk full).
    """
    shards: list[Changes] = [{} for _ in range(SHARDS)]
    for coin, state in changes.items():
        shards[shard_of(coin)][coin] = state
    path = folder / str(size)
    # A process of its own name: one whose parent was killed may still be at it.
    temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        with temporary.open("wb") as file:
            file.write(bytes(HEADER_BYTES))
            lines: list[Shard] = []
            for line, records in _merged(old, shards):
                file.write(records)
                lines.append(line)
                rest()
            file.seek(0)
            file.write(_header(size, log_root, lines))
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"can't write the map {path}: {error.strerror}") from None
    return MapFile(path)


def _merged(old: MapFile | None, changes: list[Changes]) -> Iterator[tuple[Shard, bytes]]:
    for number, change in enumerate(changes):
        records = old.records(number) if old else b""
        if change:
            records = merge_shard(records, change)
            yield Shard(len(records) // RECORD_BYTES, crc32(records), shard_root(records)), records
        else:
            yield (old.shards[number] if old else _NO_SHARD), records


def _header(size: int, log_root: bytes, lines: list[Shard]) -> bytes:
    coins = sum(line.coins for line in lines)
    data = b"".join((_HEAD.pack(MAGIC, size, coins, log_root), *(_SHARD.pack(*line) for line in lines)))
    return data + sha256(data).digest()


def files_in(folder: Path) -> list[int]:
    """The sizes for which there are files, ascending."""
    return sorted(
        int(path.name)
        for path in folder.iterdir()
        if path.name.isascii() and path.name.isdecimal() and path.name == str(int(path.name))
    )
