"""
The map's tree: the one shape, and the one root, that a set of (coin, state) has. Pure.

    root                     8 levels of nodes, always all of them
      256 shards             by the id's first byte
        nodes                only above more than 64 coins, split at the next bit
          bucket             up to 64 coins, or EMPTY for none

The shape follows from the set alone, not from the order in which coins came, so two who read the same log
have the same root. Packed *records* are id 32 || state 1, ascending by id, one after another.

A period touches every shard, so a root costs one pass over the records: this module works on slices of
bytes with C's bisect, not on an object for each coin. ``bank.board.map.growing`` is the same tree for readers
who want a root after every few changes.

Source: docs/spec/map.md, section 2.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from hashlib import sha256

from mixmint.keys import Label, labelled_hash

EMPTY_LABEL = Label("mixmint/map-empty/v1")
BUCKET_LABEL = Label("mixmint/map-bucket/v1")
NODE_LABEL = Label("mixmint/map-node/v1")

ID_BYTES = 32
RECORD_BYTES = 33
HASH_BYTES = 32
SHARDS = 256
SHARD_DEPTH = 8
"""Bits of the id above a shard's root."""
MOST_BUCKET = 64
"""Coins in a bucket: a proof carries one bucket, about 2 KB, and saves six levels of hashes."""
MOST_DEPTH = 250
"""Of a bucket. Its parent has 65 ids or more in common with 249 bits at most: 7 bits must tell them apart."""

EMPTY = labelled_hash(EMPTY_LABEL)
"""The hash of no coins."""

_BUCKET = BUCKET_LABEL.encode("ascii")
_NODE = NODE_LABEL.encode("ascii")
_RECORD_END = (b"", b"\1", b"\2", b"\3")


def bucket_hash(records: bytes) -> bytes:
    """Of 1 to 64 packed records."""
    return sha256(_BUCKET + records).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Of two subtrees' hashes: those whose next bit is 0, and 1."""
    return sha256(_NODE + left + right).digest()


def shard_of(coin: bytes) -> int:
    """Which of the 256 shards a coin id belongs to."""
    return coin[0]


def bit_of(coin: bytes, depth: int) -> int:
    """The id's bit number ``depth``, counted from 0 at the top bit of its first byte."""
    return coin[depth >> 3] >> (7 - (depth & 7)) & 1


def ids_of(records: bytes) -> list[bytes]:
    """The coin ids of packed records."""
    return [records[at : at + ID_BYTES] for at in range(0, len(records), RECORD_BYTES)]


def split(ids: Sequence[bytes], first: int, stop: int, depth: int) -> int:
    """
    Where the ids with bit ``depth`` set begin, among sorted ids [first, stop) that share all bits above it.
    """
    byte, bit = depth >> 3, depth & 7
    prefix = ids[first]
    # A prefix sorts before everything that it begins, so it needs no zeros behind it.
    kept = prefix[byte] & (0xFF00 >> bit)
    return bisect_left(ids, prefix[:byte] + bytes(((kept & 0xFF) | 0x80 >> bit,)), first, stop)


def shard_root(records: bytes) -> bytes:
    """
    The root (32 bytes) of one shard: packed records, strictly ascending, all of whose ids share their first
    byte. One pass: 0.15 us for each coin and upwards.
    """
    ids = ids_of(records)
    return subtree(records, ids, 0, len(ids), SHARD_DEPTH)


def subtree(records: bytes, ids: Sequence[bytes], first: int, stop: int, depth: int) -> bytes:
    """The hash of the coins [first, stop), which share ``depth`` bits."""
    if first == stop:
        return EMPTY
    if stop - first <= MOST_BUCKET:
        return bucket_hash(records[first * RECORD_BYTES : stop * RECORD_BYTES])
    middle = split(ids, first, stop, depth)
    return node_hash(
        subtree(records, ids, first, middle, depth + 1), subtree(records, ids, middle, stop, depth + 1)
    )


def root_of_shards(roots: Sequence[bytes]) -> bytes:
    """The map's root over 256 shard roots, in order: a full binary tree of 8 levels."""
    return levels_of_shards(roots)[-1][0]


def levels_of_shards(roots: Sequence[bytes]) -> list[Sequence[bytes]]:
    """The 9 levels of that tree: the shard roots first, the map's root last."""
    if len(roots) != SHARDS:
        raise ValueError("a map has 256 shards")
    levels: list[Sequence[bytes]] = [roots]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([node_hash(below[at], below[at + 1]) for at in range(0, len(below), 2)])
    return levels


def merge_shard(records: bytes, changes: Mapping[bytes, int]) -> bytes:
    """
    A shard's packed records after changes to it (coin id -> state). States only grow.
    """
    ids = ids_of(records)
    pieces: list[bytes] = []
    done = 0
    """How many of the old records are in ``pieces``."""
    for coin, state in sorted(changes.items()):
        at = bisect_left(ids, coin, done)
        pieces.append(records[done * RECORD_BYTES : at * RECORD_BYTES])
        done = at
        if at < len(ids) and ids[at] == coin:
            state = max(state, records[at * RECORD_BYTES + ID_BYTES])
            done = at + 1
        pieces.append(coin + _RECORD_END[state])
    pieces.append(records[done * RECORD_BYTES :])
    return b"".join(pieces)
