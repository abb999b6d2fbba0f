"""The tree, against the vectors of Certificate Transparency's own tests, and forged proofs of every kind."""

from collections.abc import Iterator

import pytest

from bank.board.log.tree import (
    EMPTY_ROOT,
    MOST_PROOF,
    MOST_SIZE,
    Frontier,
    Span,
    consistency_holds,
    consistency_spans,
    extends,
    inclusion_holds,
    inclusion_spans,
    leaf_hash,
    many_hold,
    prove_many,
    right_spans,
    root_of,
    span_hash,
)
from mixmint.errors import MalformedMessage
from tests.unit.bank.board.log.logs import leaves, nodes_of

# The reference trees of Certificate Transparency: leaves, roots and proofs as in its C++ and Go tests
# (github.com/transparency-dev/merkle, testdata and log_verifier_test.go), where indexes count from 1.
CT_LEAVES = [
    bytes.fromhex(each)
    for each in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CT_HASHES = [leaf_hash(each) for each in CT_LEAVES]
CT_ROOTS = [
    bytes.fromhex(each)
    for each in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
CT_INCLUSION = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
CT_CONSISTENCY = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        6,
        7,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
]

Proof = list[bytes]


def unhex(proof: list[str]) -> Proof:
    return [bytes.fromhex(each) for each in proof]


def inclusion(index: int, size: int) -> Proof:
    """A true proof over the chain."""
    node = nodes_of(leaves(size))
    return [span_hash(span, node) for span in inclusion_spans(index, size)]


def consistency(old: int, new: int) -> Proof:
    node = nodes_of(leaves(new))
    return [span_hash(span, node) for span in consistency_spans(old, new)]


def right(old: int, new: int) -> Proof:
    node = nodes_of(leaves(new))
    return [span_hash(span, node) for span in right_spans(old, new)]


def spoiled(proof: Proof, *roots: bytes) -> Iterator[Proof]:
    """A proof with each of its hashes changed, left out, exchanged or cut anew, and with others added."""
    for at, each in enumerate(proof):
        yield [*proof[:at], bytes([each[0] ^ 8]) + each[1:], *proof[at + 1 :]]
        yield [*proof[:at], *proof[at + 1 :]]
        yield [*proof[:at], each[:-1], *proof[at + 1 :]]
        yield [*proof[:at], b"", *proof[at:]]
        if at and proof[at - 1] != each:
            yield [*proof[: at - 1], each, proof[at - 1], *proof[at + 1 :]]
            both = proof[at - 1] + each
            yield [*proof[: at - 1], both[:31], both[31:], *proof[at + 1 :]]
            yield [*proof[: at - 1], both[:33], both[33:], *proof[at + 1 :]]
    for other in (bytes(32), b"", EMPTY_ROOT, *roots):
        yield [other, *proof]
        yield [*proof, other]
    yield [bytes(32)] * 63
    yield [bytes(32)] * 10_000


def test_hashes_are_those_of_rfc_6962() -> None:
    """The empty tree, the empty leaf, and all trees of Certificate Transparency's tests."""
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert root_of([]) == EMPTY_ROOT
    assert leaf_hash(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    for size, root in enumerate(CT_ROOTS, start=1):
        assert root_of(CT_HASHES[:size]) == root


@pytest.mark.parametrize(("index", "size", "proof"), CT_INCLUSION)
def test_known_proofs_of_inclusion(index: int, size: int, proof: list[str]) -> None:
    """Made and verified."""
    node = nodes_of(CT_HASHES[:size])
    assert [span_hash(span, node) for span in inclusion_spans(index, size)] == unhex(proof)
    assert inclusion_holds(CT_HASHES[index], index, size, unhex(proof), CT_ROOTS[size - 1])


@pytest.mark.parametrize(("old", "new", "proof"), CT_CONSISTENCY)
def test_known_proofs_of_growth(old: int, new: int, proof: list[str]) -> None:
    """Made and verified."""
    node = nodes_of(CT_HASHES[:new])
    assert [span_hash(span, node) for span in consistency_spans(old, new)] == unhex(proof)
    assert consistency_holds(old, CT_ROOTS[old - 1], new, CT_ROOTS[new - 1], unhex(proof))


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 8, 11])
def test_forged_proofs_of_inclusion_fail(size: int) -> None:
    """Another leaf, index, size, root or proof."""
    root = root_of(leaves(size))
    for index in range(size):
        leaf, proof = leaves(size)[index], inclusion(index, size)
        assert inclusion_holds(leaf, index, size, proof, root)
        assert not inclusion_holds(bytes(32), index, size, proof, root)
        assert not inclusion_holds(b"", index, size, proof, root)
        assert not inclusion_holds(leaf, index, size, proof, bytes(32))
        for other in (-1, index - 1, index + 1, index ^ 2, size, 2 * size, MOST_SIZE):
            assert not inclusion_holds(leaf, other, size, proof, root) or other == index
        # (Among neighbouring sizes some share a proof's shape: there only the signed size tells.)
        for other in (0, -1, size // 2, 2 * size, MOST_SIZE, 2**64):
            assert not inclusion_holds(leaf, index, other, proof, root)
        for forged in spoiled(proof, root, leaf):
            assert not inclusion_holds(leaf, index, size, forged, root), forged


def test_a_node_can_not_pass_for_a_leaf() -> None:
    """The prefixes 00 and 01 keep the floors of the tree apart."""
    size = 8
    inner = nodes_of(leaves(size))
    node = span_hash(Span(0, 2), inner)
    proof = inclusion(0, size)[1:]
    assert inclusion_holds(
        node, 0, 4, proof, root_of(leaves(size))
    )  # why a proof comes with its size, signed
    assert leaf_hash(leaves(size)[0] + leaves(size)[1]) != node
    assert not inclusion_holds(node, 0, size, proof, root_of(leaves(size)))


@pytest.mark.parametrize("new", [1, 2, 3, 6, 7, 8, 11])
def test_forged_proofs_of_growth_fail(new: int) -> None:
    """Other sizes, roots and proofs; a smaller tree after a larger one."""
    new_root = root_of(leaves(new))
    for old in range(1, new):
        old_root, proof = root_of(leaves(old)), consistency(old, new)
        assert consistency_holds(old, old_root, new, new_root, proof)
        assert not consistency_holds(old, bytes(32), new, new_root, proof)
        assert not consistency_holds(old, old_root, new, bytes(32), proof)
        assert not consistency_holds(old, new_root, new, old_root, proof)
        assert not consistency_holds(new, new_root, old, old_root, proof)
        assert not consistency_holds(-1, old_root, new, new_root, proof)
        assert not consistency_holds(old, old_root, MOST_SIZE + 1, new_root, proof)
        for other in (0, old - 1, old + 1, new):
            assert not consistency_holds(other, old_root, new, new_root, proof)
        for forged in spoiled(proof, old_root, new_root):
            assert not consistency_holds(old, old_root, new, new_root, forged), forged


def test_the_empty_tree_is_every_trees_beginning_and_a_tree_its_own() -> None:
    """Without any proof; and an empty tree has one root only."""
    root = root_of(leaves(5))
    assert consistency_holds(0, EMPTY_ROOT, 5, root, [])
    assert consistency_holds(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    assert consistency_holds(5, root, 5, root, [])
    assert not consistency_holds(0, root, 5, root, [])
    assert not consistency_holds(0, EMPTY_ROOT, 5, root, [root])
    assert not consistency_holds(5, root, 5, EMPTY_ROOT, [])
    assert not consistency_holds(5, root, 5, root, [root])


@pytest.mark.parametrize("new", [1, 2, 3, 6, 7, 8, 11])
def test_forged_growth_from_a_frontier_fails(new: int) -> None:
    """What a reader knows of the past can't be talked away."""
    new_root = root_of(leaves(new))
    for old in range(new):
        frontier, proof = Frontier().append(leaves(old)), right(old, new)
        assert extends(frontier, new, new_root, proof)
        assert not extends(frontier, new, bytes(32), proof)
        assert not extends(frontier, old - 1, new_root, proof)
        for forged in spoiled(proof, new_root):
            assert not extends(frontier, new, new_root, forged), (old, forged)
        if old:
            other = Frontier(old, (bytes(32), *frontier.hashes[1:]))
            assert not extends(other, new, new_root, proof)


def test_forged_proofs_of_many_leaves_fail() -> None:
    """One false leaf among true ones, a leaf elsewhere, leaves left out, spoiled hashes."""
    size = 11
    root, node = root_of(leaves(size)), nodes_of(leaves(size))
    indexes = [0, 3, 4, 10]
    proof = prove_many(indexes, size, node)
    true = {index: leaves(size)[index] for index in indexes}
    assert many_hold(true, size, proof, root)
    assert not many_hold({**true, 3: bytes(32)}, size, proof, root)
    assert not many_hold({**true, 5: true[4]}, size, proof, root)
    assert not many_hold({index: true[index] for index in (0, 3, 10)}, size, proof, root)
    assert not many_hold({0: true[0], 3: true[4], 4: true[3], 10: true[10]}, size, proof, root)
    assert not many_hold({}, size, [root], root)
    assert not many_hold({**true, 11: bytes(32)}, size, proof, root)
    assert not many_hold({**true, -1: bytes(32)}, size, proof, root)
    assert not many_hold(true, MOST_SIZE + 1, proof, root)
    for forged in spoiled(proof, root):
        assert not many_hold(true, size, forged, root), forged


def test_neighbours_are_proved_cheaply() -> None:
    """A thousand leaves in a row need no more hashes than two leaves at the ends."""
    node = nodes_of(leaves(3000))
    assert len(prove_many(range(1000, 2000), 3000, node)) <= 2 * 12
    assert prove_many(range(3000), 3000, node) == []


def test_no_proof_is_longer_than_the_bound() -> None:
    """The largest tree that the formats allow."""
    assert len(inclusion_spans(0, MOST_SIZE)) == MOST_PROOF
    assert len(consistency_spans(2**61 - 1, 2**62)) == MOST_PROOF
    assert len(right_spans(1, MOST_SIZE)) <= MOST_PROOF


def test_a_frontier_has_one_encoding() -> None:
    """Its hashes are as many as its size says."""
    data = Frontier().append(leaves(11)).encode()
    assert Frontier.decode(data).encode() == data
    for bad in (b"", data[:7], data[:-1], data + b"\0", data[:-32], b"\xff" * 8 + data[8:], bytes(7)):
        with pytest.raises(MalformedMessage):
            Frontier.decode(bad)
