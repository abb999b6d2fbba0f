"""
The Merkle tree of RFC 6962: hashes, frontiers, proofs. Pure.

A *node* (level, index) stands for the full subtree over the leaves index << level up to the next node's. A
*span* (start, stop) is any subtree that a proof may name: at the right edge it isn't full, and its hash is
made of several nodes. Proofs are lists of the hashes of spans; ``inclusion_spans`` and ``consistency_spans``
say of which, in the order of the RFC.

Source: RFC 6962, section 2.1; docs/spec/log.md, section 1.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from mixmint.errors import MalformedMessage

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
MOST_SIZE = 2**63 - 1
MOST_PROOF = 63
"""
Hashes in a proof about one leaf or one older size: one for each level of the largest tree. (Growth could need
one more above 2**62 leaves, which no log will have; witnesses take 63.)
"""


@dataclass(frozen=True, slots=True)
class Node:
    """The full subtree over leaves index << level .. (index + 1) << level."""

    level: int
    index: int


class Span(NamedTuple):
    """The subtree over leaves start .. stop - 1."""

    start: int
    stop: int


NodeHash = Callable[[Node], bytes]
"""Where a prover gets the hash (32 bytes) of a full subtree from."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf, 32 bytes."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node, 32 bytes, from its children's."""
    return sha256(b"\x01" + left + right).digest()


def parents(hashes: Sequence[bytes]) -> list[bytes]:
    """The hashes one level up; an odd one at the end is left out."""
    pairs = iter(hashes)
    return [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)]


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over subtrees that stand side by side, the largest first."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root over some leaves, from their hashes."""
    return Frontier().append(leaf_hashes).root()


@dataclass(frozen=True, slots=True)
class Frontier:
    """
    All that must be kept of a tree to go on from it: the roots of its maximal full subtrees, left to right.

    As many as ``size`` has bits that are set.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def append(self, leaf_hashes: Sequence[bytes]) -> "Frontier":
        """The frontier after more leaves, given by their hashes (32 bytes each)."""
        fresh: list[bytes] = list(leaf_hashes)
        old = list(self.hashes)
        size, level = self.size, 0
        kept: list[bytes] = []
        while fresh:
            if size >> level & 1:
                fresh.insert(0, old.pop())
            if len(fresh) & 1:
                kept.append(fresh[-1])
            fresh = parents(fresh)
            level += 1
        # Whatever is larger than all that was touched stays as it was.
        return Frontier(size + len(leaf_hashes), (*old, *reversed(kept)))

    def root(self) -> bytes:
        """The tree's root, 32 bytes."""
        return fold(self.hashes)

    def encode(self) -> bytes:
        """Size 8, then 32 bytes for each bit of it that is set."""
        return self.size.to_bytes(8) + b"".join(self.hashes)

    @classmethod
    def decode(cls, data: bytes) -> "Frontier":
        """Raises MalformedMessage("length")."""
        size, rest = int.from_bytes(data[:8]), data[8:]
        if len(data) < 8 or size > MOST_SIZE or len(rest) != HASH_BYTES * size.bit_count():
            raise MalformedMessage("length")
        return cls(size, tuple(rest[at : at + HASH_BYTES] for at in range(0, len(rest), HASH_BYTES)))


def _split(size: int) -> int:
    """The largest power of two below ``size``, which is at least 2."""
    return 1 << (size - 1).bit_length() - 1


def span_nodes(span: Span) -> list[Node]:
    """The full subtrees that a span consists of, left to right."""
    nodes: list[Node] = []
    at = span.start
    while at < span.stop:
        level = (span.stop - at).bit_length() - 1
        nodes.append(Node(level, at >> level))
        at += 1 << level
    return nodes


def span_hash(span: Span, node: NodeHash) -> bytes:
    """The hash of a span, from those of full subtrees."""
    return fold([node(each) for each in span_nodes(span)])


def frontier_of(size: int, node: NodeHash) -> Frontier:
    """The frontier of a tree's first ``size`` leaves."""
    return Frontier(size, tuple(node(each) for each in span_nodes(Span(0, size))))


def inclusion_spans(index: int, size: int) -> list[Span]:
    """What a proof that leaf ``index`` is in the tree of ``size`` leaves consists of, from leaf to root."""
    spans: list[Span] = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            spans.append(Span(middle, stop))
            stop = middle
        else:
            spans.append(Span(start, middle))
            start = middle
    return spans[::-1]


def inclusion_root(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """The root that a proof of inclusion leads to; None when it has a wrong number of hashes."""
    if not 0 <= index < size <= MOST_SIZE:
        return None
    spans = inclusion_spans(index, size)
    if len(spans) != len(proof):
        return None
    root = leaf
    for span, other in zip(spans, proof, strict=True):
        root = (
            node_hash(other, root) if span.start <= index and span.stop <= index else node_hash(root, other)
        )
    return root


def inclusion_holds(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the leaf with this hash is number ``index`` of the tree with this size and root."""
    return inclusion_root(leaf, index, size, proof) == root


def consistency_spans(old: int, new: int) -> list[Span]:
    """What a proof that the tree of ``new`` leaves begins with the tree of ``old`` consists of."""
    if old in (0, new):
        return []
    spans: list[Span] = []
    start, stop = 0, new
    while old < stop:
        middle = start + _split(stop - start)
        if old <= middle:
            spans.append(Span(middle, stop))
            stop = middle
        else:
            spans.append(Span(start, middle))
            start = middle
    if start:
        # Else the old tree is this very subtree, and its root is known to whoever checks.
        spans.append(Span(start, stop))
    return spans[::-1]


def consistency_holds(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the tree (new, new_root) begins with the tree (old, old_root)."""
    if not 0 <= old <= new <= MOST_SIZE:
        return False
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if old == new:
        return not proof and old_root == new_root
    spans = consistency_spans(old, new)
    if len(spans) != len(proof):
        return False
    hashes = iter(zip(spans, proof, strict=True))
    if spans[0].stop == old:
        # The subtree at the old tree's right edge: part of both.
        _, before = next(hashes)
    else:
        before = old_root
    after = before
    for span, other in hashes:
        if span.stop <= old:
            before, after = node_hash(other, before), node_hash(other, after)
        else:
            after = node_hash(after, other)
    return before == old_root and after == new_root


def right_spans(old: int, new: int) -> list[Span]:
    """What must be added to the frontier of ``old`` leaves to reach the root of ``new``; the widest first."""
    if old == 0:
        return [Span(0, new)] if new else []
    spans: list[Span] = []
    start, stop = 0, new
    while old < stop:
        middle = start + _split(stop - start)
        if old <= middle:
            spans.append(Span(middle, stop))
            stop = middle
        else:
            start = middle
    return spans


def grown_root(frontier: Frontier, new: int, right: Sequence[bytes]) -> bytes | None:
    """
    The root of the tree of ``new`` leaves that begins with this frontier's and goes on with the spans
    ``right_spans(frontier.size, new)``; None when there is a wrong number of them.
    """
    old = frontier.size
    if not 0 <= old <= new <= MOST_SIZE or len(right) != len(right_spans(old, new)):
        return None
    if old == 0:
        return right[0] if right else EMPTY_ROOT
    own, others = iter(frontier.hashes), iter(right)

    def root(size: int, known: int) -> bytes:
        if known == size:
            return fold([next(own) for _ in range(size.bit_count())])
        middle = _split(size)
        if known <= middle:
            other = next(others)
            return node_hash(root(middle, known), other)
        left = next(own)
        return node_hash(left, root(size - middle, known - middle))

    return root(new, old)


def extends(frontier: Frontier, new: int, new_root: bytes, right: Sequence[bytes]) -> bool:
    """Whether the tree (new, new_root) begins with the leaves of this frontier."""
    return grown_root(frontier, new, right) == new_root


def prove_many(indexes: Sequence[int], size: int, node: NodeHash) -> list[bytes]:
    """
    One proof for several leaves (indexes ascending, no two equal): every span that holds none of them, from
    left to right. Cheap for neighbours.
    """
    return [span_hash(span, node) for span, covered in _cover(indexes, size) if not covered]


def many_root(leaves: Mapping[int, bytes], size: int, proof: Sequence[bytes]) -> bytes | None:
    """The root that some leaves (hashes by index) and a proof lead to; None when the numbers don't fit."""
    indexes = sorted(leaves)
    if not indexes or indexes[0] < 0 or indexes[-1] >= size or size > MOST_SIZE:
        return None
    others = iter(proof)

    def root(start: int, stop: int, first: int, last: int) -> bytes:
        if first == last:
            return next(others)
        if stop - start == 1:
            return leaves[start]
        middle = start + _split(stop - start)
        cut = bisect_left(indexes, middle, first, last)
        left = root(start, middle, first, cut)
        return node_hash(left, root(middle, stop, cut, last))

    try:
        found = root(0, size, 0, len(indexes))
    except StopIteration:
        return None
    return found if next(others, None) is None else None


def many_hold(leaves: Mapping[int, bytes], size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether all these leaves (hashes by index) stand in the tree with this size and root."""
    return many_root(leaves, size, proof) == root


def _cover(indexes: Sequence[int], size: int) -> Iterator[tuple[Span, bool]]:
    """The tree cut into leaves that are asked for (True) and the largest spans without any, left to right."""
    stack = [(0, size, 0, len(indexes))]
    while stack:
        start, stop, first, last = stack.pop()
        if first == last or stop - start == 1:
            yield Span(start, stop), first != last
            continue
        middle = start + _split(stop - start)
        cut = bisect_left(indexes, middle, first, last)
        stack += [(middle, stop, cut, last), (start, middle, first, cut)]
