"""The map's proofs: true ones hold for the second implementation too, and one root gives one answer."""

from random import Random

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from bank.board.map.proof import MOST_PROOF_BYTES, MapProof
from bank.board.map.states import State
from bank.board.map.trie import (
    EMPTY,
    MOST_BUCKET,
    SHARD_DEPTH,
    bucket_hash,
    merge_shard,
    node_hash,
)
from mixmint.errors import MalformedMessage, PeerError
from tests.unit.bank.board.map.maps import Coins, prove_in, root_of
from tests.unit.bank.board.map.second_map import root_below, state_by

"""Among few first bytes and many zeros, so that shards fill and paths get long."""
crowded = st.builds(
    lambda head, tail: bytes([head]) + tail,
    st.sampled_from([0, 1, 255]),
    st.one_of(
        st.binary(min_size=31, max_size=31),
        st.integers(0, 300).map(lambda low: low.to_bytes(31)),
        st.integers(0, 300).map(lambda high: high.to_bytes(2) + bytes(29)),
    ),
)
coin_maps = st.dictionaries(crowded, st.integers(1, 3), max_size=200)


def proof_of(coins: Coins, coin: bytes) -> tuple[MapProof, bytes]:
    return prove_in(coins, coin), root_of(coins)


@given(coin_maps, crowded)
@settings(max_examples=60, deadline=None)
def test_a_proof_says_what_the_map_holds(coins: Coins, other: bytes) -> None:
    """Presence and absence; encoded and decoded; by our verifier and by the second one."""
    for coin in [*list(coins)[:3], other]:
        proof, root = proof_of(coins, coin)
        data = proof.encode()
        assert len(data) <= MOST_PROOF_BYTES
        assert MapProof.decode(data) == proof
        assert proof.verify(coin, root) == coins.get(coin) == state_by(coin, data, root)
        with pytest.raises(PeerError):
            proof.verify(coin, bytes(32))


def test_the_largest_proof_fits_its_bound() -> None:
    """65 ids that differ in their last 7 bits only."""
    coins = {bytes(31) + bytes([low]): 1 for low in range(65)}
    proof, root = proof_of(coins, bytes(32))
    assert len(proof.siblings) == 250
    assert proof.verify(bytes(32), root) == State.CERTIFIED
    assert root == root_below(coins)


@given(st.binary(max_size=600))
@settings(max_examples=300, deadline=None)
def test_hostile_bytes_are_a_malformed_message_or_prove_nothing(data: bytes) -> None:
    """Whatever decodes has that one encoding; nothing proves a root that it doesn't hash to."""
    try:
        proof = MapProof.decode(data)
    except MalformedMessage:
        return
    assert proof.encode() == data
    with pytest.raises(PeerError):
        proof.verify(bytes(32), bytes(32))


def test_a_proof_has_one_encoding() -> None:
    """Else one proof could be taken for two: an empty hash spelled out, or a bit where no sibling is."""
    proof, _ = proof_of({bytes(32): 1} | {bytes([n]) + bytes(31): 1 for n in range(1, 256, 2)}, bytes(32))
    shallow = MapProof((EMPTY, *proof.siblings[1:8]), b"")
    data = shallow.encode()
    assert MapProof.decode(data) == shallow
    with pytest.raises(MalformedMessage):
        MapProof.decode(bytes([8, data[1] | 0x80]) + EMPTY + data[2:])
    deep = MapProof((*shallow.siblings, EMPTY), b"").encode()
    assert deep[0] == 9
    with pytest.raises(MalformedMessage):
        MapProof.decode(deep[:2] + bytes([deep[2] | 1]) + deep[3:])


@given(coin_maps, crowded, st.data())
@settings(max_examples=100, deadline=None)
def test_a_changed_proof_proves_nothing_else(coins: Coins, coin: bytes, data: st.DataObject) -> None:
    """Any byte of a proof changed, cut or added: it is refused."""
    proof, root = proof_of(coins, coin)
    encoded = bytearray(proof.encode())
    how = data.draw(st.sampled_from(["change", "cut", "add"]))
    at = data.draw(st.integers(0, len(encoded) - 1))
    if how == "change":
        encoded[at] ^= data.draw(st.integers(1, 255))
    elif how == "cut":
        del encoded[at:]
    else:
        encoded[at:at] = data.draw(st.binary(min_size=1, max_size=40))
    if bytes(encoded) == proof.encode():
        return  # inserting a byte beside its equal
    with pytest.raises(PeerError):
        MapProof.decode(bytes(encoded)).verify(coin, root)


Leaf = tuple[tuple[bytes, ...], bytes]
"""A bucket that a forger can show: the hashes beside its path, from some height down, and its records."""


def forged_tree(rng: Random, coins: list[bytes], depth: int) -> tuple[bytes, list[Leaf]]:
    """
    A subtree of no true shape: buckets split too early, coins in several of them, or off their paths, with a
    state of its own in each. Its hash, and all that the forger can show of it.
    """
    if depth >= 16 or (depth >= SHARD_DEPTH and rng.random() < 0.3):
        chosen = {coin: rng.randint(1, 3) for coin in coins if rng.random() < 0.5}
        records = merge_shard(b"", dict(list(chosen.items())[:MOST_BUCKET]))
        return (bucket_hash(records) if records else EMPTY), [((), records)]
    if depth < SHARD_DEPTH:
        # Only the shard of the coins is of interest; the forger fills the others with the same.
        value, leaves = forged_tree(rng, coins, depth + 1)
        return node_hash(value, value), [((value, *beside), records) for beside, records in leaves]
    (left, lefts), (right, rights) = (forged_tree(rng, coins, depth + 1) for _ in range(2))
    shown = [((right, *beside), records) for beside, records in lefts]
    return node_hash(left, right), shown + [((left, *beside), records) for beside, records in rights]


@given(st.integers(0, 2**32), st.sets(crowded, min_size=1, max_size=80))
@settings(max_examples=60, deadline=None)
def test_no_root_proves_two_states_of_a_coin(seed: int, coins: set[bytes]) -> None:
    """Not even a root of a forged shape: presence and absence exclude each other, and so do states."""
    root, leaves = forged_tree(Random(seed), sorted(coins), 0)
    accepted = 0
    for coin in coins:
        answers = set()
        for siblings, records in leaves:
            try:
                answers.add(MapProof(siblings, records).verify(coin, root))
            except PeerError:
                continue
        accepted += len(answers)
        assert len(answers) <= 1
    note(f"{accepted} of {len(coins)} coins have a proof")


def test_a_node_over_a_single_bucket_is_refused() -> None:
    """A board that pads its tree has a root of no set of coins; where a proof can show that, it does."""
    coin = bytes(32)
    records = merge_shard(b"", {coin: 1})
    path = (EMPTY,) * 9
    value = bucket_hash(records)
    for sibling in path:
        value = node_hash(value, sibling)
    with pytest.raises(PeerError, match="a node where a bucket belongs"):
        MapProof(path, records).verify(coin, value)


def test_a_bucket_of_another_path_order_size_or_state_is_refused() -> None:
    """Each breaks the shape, and leads to its root all the same."""
    coin, low = bytes(32), bytes(31) + b"\1"
    many = merge_shard(b"", {number.to_bytes(32): 1 for number in range(MOST_BUCKET + 1)})
    for wrong, records in {
        "another path": coin + b"\1" + b"\xff" * 32 + b"\1",
        "order": low + b"\1" + coin + b"\1",
        "a state": coin + b"\4",
        "size": many,
    }.items():
        value = bucket_hash(records)
        for _ in range(SHARD_DEPTH):
            value = node_hash(value, EMPTY)
        with pytest.raises(PeerError, match=wrong):
            MapProof((EMPTY,) * SHARD_DEPTH, records).verify(coin, value)
