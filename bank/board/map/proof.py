"""
Proofs: what the map with a certain root says of one coin, and that it says it. Pure.

A proof is the bucket that the coin's path ends in, and the hashes beside the path. It shows presence with a
state, or absence, in the same way. For one root there are no two answers about a coin: empty, bucket and node
hashes begin with labels of their own, so each hash on the path stands for one thing, and the coin's bits say
where to go. That holds for roots of any shape, also forged ones.

Source: docs/spec/map.md, section 3.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from bank.board.map.states import State
from bank.board.map.trie import (
    EMPTY,
    HASH_BYTES,
    ID_BYTES,
    MOST_BUCKET,
    MOST_DEPTH,
    RECORD_BYTES,
    SHARD_DEPTH,
    bit_of,
    bucket_hash,
    ids_of,
    levels_of_shards,
    node_hash,
    shard_of,
    split,
    subtree,
)
from mixmint.errors import MalformedMessage, PeerError

MOST_PROOF_BYTES = 1 + (MOST_DEPTH + 7) // 8 + MOST_DEPTH * HASH_BYTES + MOST_BUCKET * RECORD_BYTES


@dataclass(frozen=True, slots=True)
class MapProof:
    """
    The hashes (32 bytes) beside a coin's path, from the map's root down, and the bucket's packed records.

    Encoded: depth 1, which siblings aren't EMPTY (a bit each, the first at the top), those siblings, the
    bucket. About 2 KB; 10,160 bytes at most.
    """

    siblings: tuple[bytes, ...] = field(repr=False)
    records: bytes = field(repr=False)

    def encode(self) -> bytes:
        depth = len(self.siblings)
        flags = "".join("0" if sibling == EMPTY else "1" for sibling in self.siblings)
        width = (depth + 7) // 8
        return b"".join(
            (
                depth.to_bytes(1),
                int(flags.ljust(8 * width, "0"), 2).to_bytes(width),
                *(sibling for sibling in self.siblings if sibling != EMPTY),
                self.records,
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> "MapProof":
        """
        Read a proof. Each has one encoding only. Whether it proves anything is ``verify``'s to say.

        Raises MalformedMessage("length"), MalformedMessage("proof").
        """
        if not 0 < len(data) <= MOST_PROOF_BYTES or not SHARD_DEPTH <= data[0] <= MOST_DEPTH:
            raise MalformedMessage("length")
        depth, width = data[0], (data[0] + 7) // 8
        flags = f"{int.from_bytes(data[1 : 1 + width]):0{8 * width}b}"
        at = 1 + width
        siblings: list[bytes] = []
        for flag in flags[:depth]:
            siblings.append(EMPTY if flag == "0" else data[at : at + HASH_BYTES])
            at += HASH_BYTES if flag == "1" else 0
        if at > len(data) or (len(data) - at) % RECORD_BYTES:
            raise MalformedMessage("length")
        proof = cls(tuple(siblings), data[at:])
        if len(proof.records) > MOST_BUCKET * RECORD_BYTES or proof.encode() != data:
            raise MalformedMessage("proof")
        return proof

    def verify(self, coin: bytes, root: bytes) -> State | None:
        """
        What the map with this root says of a coin (32 bytes each); None: it doesn't know the coin.

        Raises PeerError("proof") when this doesn't prove it.
        """
        self._check_shape(coin)
        value = bucket_hash(self.records) if self.records else EMPTY
        for depth in range(len(self.siblings) - 1, -1, -1):
            sibling = self.siblings[depth]
            value = node_hash(sibling, value) if bit_of(coin, depth) else node_hash(value, sibling)
        if value != root:
            raise PeerError("proof", "it leads to another root")
        ids = ids_of(self.records)
        at = bisect_left(ids, coin)
        if at < len(ids) and ids[at] == coin:
            return State(self.records[at * RECORD_BYTES + ID_BYTES])
        return None

    def _check_shape(self, coin: bytes) -> None:
        """
        What the true map of any set of coins looks like along this path.

        No answer about a coin hangs on it (two answers would be two preimages of one hash), but a root that
        breaks it belongs to no set of coins. How many coins a sibling holds can't be seen from here: a bucket
        split too early passes, harms nobody, and has a root that no auditor recomputes.
        """
        depth = len(self.siblings)
        if len(coin) != ID_BYTES or not SHARD_DEPTH <= depth <= MOST_DEPTH:
            raise PeerError("proof", "its depth")
        if len(self.records) % RECORD_BYTES or len(self.records) > MOST_BUCKET * RECORD_BYTES:
            raise PeerError("proof", "the bucket's size")
        ids = ids_of(self.records)
        if not all(one < other for one, other in pairwise(ids)):
            raise PeerError("proof", "the bucket's order")
        if any(not 1 <= state <= State.REPLACED for state in self.records[ID_BYTES::RECORD_BYTES]):
            raise PeerError("proof", "a state")
        shift = 8 * ID_BYTES - depth
        path = int.from_bytes(coin) >> shift
        if any(int.from_bytes(each) >> shift != path for each in ids):
            raise PeerError("proof", "a coin of another path")
        if depth > SHARD_DEPTH and self.siblings[-1] == EMPTY:
            # The node above would hold this bucket alone, so it would be this bucket.
            raise PeerError("proof", "a node where a bucket belongs")


def prove(coin: bytes, records: bytes, roots: Sequence[bytes]) -> MapProof:
    """
    Prove what a map says of a coin: the packed records of the coin's shard, and all 256 shard roots.

    The caller knows that they belong together, or lets ``verify`` tell.
    """
    siblings: list[bytes] = []
    at = shard_of(coin)
    for level in levels_of_shards(roots)[:-1]:
        siblings.insert(0, level[at ^ 1])
        at >>= 1
    ids = ids_of(records)
    first, stop, depth = 0, len(ids), SHARD_DEPTH
    while stop - first > MOST_BUCKET:
        middle = split(ids, first, stop, depth)
        left, right = (first, middle), (middle, stop)
        (first, stop), beside = (right, left) if bit_of(coin, depth) else (left, right)
        depth += 1
        siblings.append(subtree(records, ids, *beside, depth))
    return MapProof(tuple(siblings), records[first * RECORD_BYTES : stop * RECORD_BYTES])
