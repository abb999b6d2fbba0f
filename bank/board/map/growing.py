"""
A shard's tree in memory that keeps its hashes: for auditors, who want a root after every few changes. Pure.

The board makes a root from all records at once (``shard_root``), since a period's changes are many. Who
replays a log's hundred roots would pay for all coins a hundred times; here he pays for the paths that
changed. About 40 bytes a coin; an auditor takes the shards one after another, or some of them at a time.

Source: docs/spec/map.md, section 2.
"""

from collections.abc import Mapping, Sequence

from bank.board.map.trie import (
    EMPTY,
    MOST_BUCKET,
    RECORD_BYTES,
    SHARD_DEPTH,
    bucket_hash,
    ids_of,
    merge_shard,
    node_hash,
    split,
)


class _Bucket:
    __slots__ = ("hash", "records")

    def __init__(self, records: bytes) -> None:
        self.records = records
        self.hash: bytes | None = None if records else EMPTY


class _Branch:
    __slots__ = ("hash", "left", "right")

    def __init__(self, left: "_Tree", right: "_Tree") -> None:
        self.left = left
        self.right = right
        self.hash: bytes | None = None


_Tree = _Bucket | _Branch


class GrowingShard:
    """One of the map's 256 shards. ``coins``: how many it holds."""

    __slots__ = ("_tree", "coins")

    def __init__(self) -> None:
        self._tree: _Tree = _Bucket(b"")
        self.coins = 0

    def update(self, changes: Mapping[bytes, int]) -> None:
        """Put in some of the shard's coins: id (32 bytes) -> state. States only grow."""
        if changes:
            self._tree = self._merged(self._tree, sorted(changes), changes, SHARD_DEPTH)

    def root(self) -> bytes:
        """The shard's root, 32 bytes: ``shard_root`` of its records."""
        return _hash(self._tree)

    def _merged(self, tree: _Tree, coins: Sequence[bytes], changes: Mapping[bytes, int], depth: int) -> _Tree:
        """A tree after changes to some coins in it (ids ascending, at least one); the old one is used up."""
        if isinstance(tree, _Branch):
            # Of coins and branch alike, all bits above ``depth`` are the path's.
            middle = split(coins, 0, len(coins), depth)
            if middle:
                tree.left = self._merged(tree.left, coins[:middle], changes, depth + 1)
            if middle < len(coins):
                tree.right = self._merged(tree.right, coins[middle:], changes, depth + 1)
            tree.hash = None
            return tree
        records = merge_shard(tree.records, {coin: changes[coin] for coin in coins})
        self.coins += (len(records) - len(tree.records)) // RECORD_BYTES
        ids = ids_of(records)
        return _grown(records, ids, 0, len(ids), depth)


def _grown(records: bytes, ids: Sequence[bytes], first: int, stop: int, depth: int) -> _Tree:
    if stop - first <= MOST_BUCKET:
        return _Bucket(records[first * RECORD_BYTES : stop * RECORD_BYTES])
    middle = split(ids, first, stop, depth)
    return _Branch(
        _grown(records, ids, first, middle, depth + 1), _grown(records, ids, middle, stop, depth + 1)
    )


def _hash(tree: _Tree) -> bytes:
    if tree.hash is None:
        if isinstance(tree, _Bucket):
            tree.hash = bucket_hash(tree.records)
        else:
            tree.hash = node_hash(_hash(tree.left), _hash(tree.right))
    return tree.hash
