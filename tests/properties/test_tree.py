"""The log's tree: what the fast code says is what the definitions say, for all sizes and steps."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from bank.board.log.tiles import Edge, Tile, new_tiles, place_of, tiles_of
from bank.board.log.tree import (
    Frontier,
    Node,
    consistency_holds,
    consistency_spans,
    extends,
    frontier_of,
    inclusion_holds,
    inclusion_root,
    inclusion_spans,
    many_hold,
    node_hash,
    prove_many,
    right_spans,
    root_of,
    span_hash,
    span_nodes,
)
from tests.unit.bank.board.log import second_log as second
from tests.unit.bank.board.log.logs import leaves, nodes_of
from tests.vectors.make_log import chain

sizes = st.one_of(st.integers(0, 40), st.integers(0, 800))
pairs = st.tuples(sizes, sizes).map(lambda both: (min(both), max(both)))
steps = st.lists(st.one_of(st.integers(0, 5), st.integers(0, 700)), max_size=6)


@given(sizes)
def test_roots_and_frontiers_are_the_definitions(size: int) -> None:
    """By the second implementation; a frontier from nodes is the one from leaves, and survives encoding."""
    frontier = Frontier().append(leaves(size))
    assert frontier.root() == root_of(leaves(size)) == second.mth(leaves(size))
    assert frontier == frontier_of(size, nodes_of(leaves(size)))
    assert len(frontier.hashes) == size.bit_count()
    assert Frontier.decode(frontier.encode()) == frontier


@given(steps)
def test_a_frontier_forgets_how_it_grew(counts: list[int]) -> None:
    """In whatever steps leaves come."""
    frontier, at = Frontier(), 0
    for count in counts:
        frontier = frontier.append(leaves(at + count)[at:])
        at += count
    assert frontier == Frontier().append(leaves(at))


@given(sizes.filter(bool), st.data())
def test_inclusion(size: int, data: st.DataObject) -> None:
    """A proof is the definition's, holds here and there, and at no other index."""
    index = data.draw(st.integers(0, size - 1))
    node = nodes_of(leaves(size))
    proof = [span_hash(span, node) for span in inclusion_spans(index, size)]
    root = second.mth(leaves(size))
    assert proof == second.path(index, leaves(size))
    assert inclusion_holds(leaves(size)[index], index, size, proof, root)
    assert second.root_by_path(chain(size)[index], index, size, proof) == root
    other = data.draw(st.integers(0, size - 1))
    assert inclusion_holds(leaves(size)[index], other, size, proof, root) == (other == index)


@given(pairs, st.data())
def test_consistency(both: tuple[int, int], data: st.DataObject) -> None:
    """A proof is the definition's and holds, and for no other old size."""
    old, new = both
    node = nodes_of(leaves(new))
    proof = [span_hash(span, node) for span in consistency_spans(old, new)]
    assert proof == second.proof(old, leaves(new))
    old_root, new_root = root_of(leaves(old)), root_of(leaves(new))
    assert consistency_holds(old, old_root, new, new_root, proof)
    other = data.draw(st.integers(0, new))
    assert consistency_holds(other, old_root, new, new_root, proof) == (other == old)


@given(pairs, st.binary(min_size=32, max_size=32))
def test_a_rewritten_past_is_refused(both: tuple[int, int], changed: bytes) -> None:
    """However honest the rest: neither a root nor a frontier of the true past leads to the false tree."""
    old, new = both
    if not old:
        return
    forged = [*leaves(new)]
    forged[(old - 1) // 2] = changed
    node, root = nodes_of(forged), root_of(forged)
    proof = [span_hash(span, node) for span in consistency_spans(old, new)]
    assert not consistency_holds(old, root_of(leaves(old)), new, root, proof)
    if old < new:
        right = [span_hash(span, node) for span in right_spans(old, new)]
        assert not extends(Frontier().append(leaves(old)), new, root, right)


@given(pairs)
def test_a_frontier_and_what_is_right_of_it_make_the_new_root(both: tuple[int, int]) -> None:
    """The spans are right of the old leaves, cover all new ones, and are as few as can be."""
    old, new = both
    spans = right_spans(old, new)
    if spans:
        assert [spans[-1].start, *[span.stop for span in reversed(spans)]] == [
            old,
            *[span.start for span in spans[-2::-1]],
            new,
        ]
    node = nodes_of(leaves(new))
    right = [span_hash(span, node) for span in spans]
    assert extends(Frontier().append(leaves(old)), new, root_of(leaves(new)), right)


@given(sizes.filter(bool), st.data())
def test_many_leaves_in_one_proof(size: int, data: st.DataObject) -> None:
    """Scattered ones and ranges; never more hashes than their single proofs have."""
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start, size))
    indexes = sorted({*range(start, stop), *data.draw(st.sets(st.integers(0, size - 1), max_size=9)), start})
    node = nodes_of(leaves(size))
    proof = prove_many(indexes, size, node)
    known = {index: leaves(size)[index] for index in indexes}
    assert many_hold(known, size, proof, root_of(leaves(size)))
    assert len(proof) <= sum(len(inclusion_spans(index, size)) for index in indexes)
    false = data.draw(st.sampled_from(indexes))
    assert not many_hold({**known, false: bytes(32)}, size, proof, root_of(leaves(size)))


@given(st.integers(0, 2**63 - 1), st.integers(1, 2**63 - 1))
def test_spans_of_huge_trees_are_made_of_whole_nodes(start: int, size: int) -> None:
    """What no test could hash: shapes of proofs in trees of any size."""
    index = start % size
    spans = inclusion_spans(index, size)
    covered = sorted([*spans, (index, index + 1)])
    assert covered[0][0] == 0
    assert covered[-1][1] == size
    assert all(one[1] == other[0] for one, other in pairwise(covered))
    for span in spans:
        at = span.start
        for node in span_nodes(span):
            assert node.index << node.level == at
            at += 1 << node.level
        assert at == span.stop
    path = [bytes([level]) * 32 for level in range(len(spans))]
    root = bytes(32)
    for span, other in zip(spans, path, strict=True):
        root = node_hash(other, root) if span.stop <= index else node_hash(root, other)
    assert inclusion_root(bytes(32), index, size, path) == root


@given(steps)
@settings(max_examples=50, deadline=None)
def test_growing_in_any_steps_makes_the_same_files(counts: list[int]) -> None:
    """The files of the last size are the definition's, and the edge is the one of growing at once."""
    edge, at = Edge(), 0
    written: dict[str, bytes] = {}
    for count in counts:
        before = edge.size
        edge, files = edge.grow(chain(at + count)[at:])
        at += count
        assert [file.tile for file in files] == list(new_tiles(before, at))
        for file in files:
            path = file.tile.path()
            # What stands under a name never changes.
            assert written.setdefault(path, file.data) == file.data
    whole, _ = Edge().grow(chain(at))
    assert edge == whole
    assert edge.root() == root_of(leaves(at))
    assert edge.frontier() == Frontier().append(leaves(at))
    wanted = second.files(chain(at))
    assert {path: written[path] for path in wanted} == wanted
    assert {tile.path() for tile in tiles_of(at)} == set(wanted)


@given(st.integers(0, 2**55), st.sampled_from([-1, 0, 1, 5, 7]), st.integers(1, 256))
def test_a_tile_has_one_path(index: int, level: int, width: int) -> None:
    """And the path one tile."""
    tile = Tile(level, index, width)
    assert Tile.parse(tile.path()) == tile
    assert tile.path().split("/", 2)[2].partition(".p")[0] == second.number(index)


@given(sizes.filter(bool), st.data())
def test_every_node_stands_in_a_tile(size: int, data: st.DataObject) -> None:
    """The files alone answer for every full subtree of the tree."""
    _, files = Edge().grow(chain(size))
    tiles = {file.tile: file.data for file in files}
    level = data.draw(st.integers(0, size.bit_length() - 1))
    index = data.draw(st.integers(0, (size >> level) - 1))
    node = Node(level, index)
    place = place_of(node, size)
    assert place.read(tiles[place.tile]) == second.mth(leaves(size)[index << level : (index + 1) << level])
