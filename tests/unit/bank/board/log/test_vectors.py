"""The log's vectors, against their maker and against the second implementation."""

import json
from base64 import b64decode
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bank.board.log.note import KeyKind, VerifierKey
from bank.board.log.policy import parse_policy
from bank.board.log.proof import LogProof
from bank.board.log.tree import consistency_holds
from mixmint.errors import PeerError
from tests.unit.bank.board.log import second_log as second
from tests.vectors.make_log import FILE, as_text

PAGE = (Path(__file__).parents[5] / "docs" / "spec" / "log.md").read_text()


@pytest.fixture(scope="module")
def vectors() -> Any:
    return json.loads(FILE.read_text())


def entries(vectors: Any, count: int) -> list[bytes]:
    """The chain of hashes, made here."""
    found = [vectors["seed_of_entries"].encode()]
    for _ in range(count):
        found.append(sha256(found[-1]).digest())
    return found[1:]


def key_of(vectors: Any, who: str) -> tuple[str, int, bytes]:
    """Name, kind and public key, from the verifier key's text."""
    text = vectors[who]["verifier_key"]
    name, _, encoded = text.split("+", 2)
    data = b64decode(encoded)
    assert second.verifier_key(name, data[0], data[1:]) == text
    assert second.public_of(bytes.fromhex(vectors[who]["seed"])) == data[1:]
    return name, data[0], data[1:]


def test_the_file_is_what_its_maker_makes() -> None:
    """The format can't change unnoticed."""
    assert FILE.read_text() == as_text()


def test_the_page_has_the_roots(vectors: Any) -> None:
    """Of the sizes around a full tile, and one with three levels of tiles."""
    assert [log["size"] for log in vectors["logs"]] == [0, 1, 255, 256, 257, 70_000]
    for log in vectors["logs"]:
        assert f"| {log['size']:,} | `{log['root']}` |" in PAGE
    assert f"`{vectors['corrupted']['leads_to']}`" in PAGE


@pytest.mark.parametrize("number", range(6))
def test_roots_checkpoints_and_files(vectors: Any, number: int) -> None:
    """log.md, sections 1 to 3."""
    log = vectors["logs"][number]
    data = entries(vectors, log["size"])
    leaves = tuple(second.leaf(entry) for entry in data)
    root = second.mth(leaves)
    assert root.hex() == log["root"]
    files = second.files(data)
    assert len(files) == log["files"]
    for path, digest in log["edge"].items():
        assert sha256(files[path]).hexdigest() == digest
    name, kind, public = key_of(vectors, "log")
    text, signatures = second.open_note(log["checkpoint"].encode(), name, kind, public)
    assert len(signatures) == 1
    assert second.checkpoint(text) == (name, log["size"], root)
    _, cosignatures = second.open_note(log["checkpoint"].encode(), *key_of(vectors, "witness"))
    assert [int.from_bytes(each[:8], "big") for each in cosignatures] == [1_700_000_000]
    kept, at = b"", 0
    for bit in reversed(range(log["size"].bit_length())):
        if log["size"] >> bit & 1:
            kept += second.mth(leaves[at : at + 2**bit])
            at += 2**bit
    assert log["frontier"] == (log["size"].to_bytes(8, "big") + kept).hex()


@pytest.mark.parametrize("number", range(6))
def test_proof_files(vectors: Any, number: int) -> None:
    """log.md, section 4; by both implementations."""
    log = vectors["logs"][number]
    data = entries(vectors, log["size"])
    key = VerifierKey.parse(vectors["log"]["verifier_key"])
    witness = VerifierKey.parse(vectors["witness"]["verifier_key"])
    assert witness.kind is KeyKind.WITNESS
    policy = parse_policy(f"witness w {witness.text()}\nquorum w")
    assert len(log["proofs"]) == min(3, log["size"])
    for index, text in log["proofs"].items():
        entry = data[int(index)]
        _, at, hashes, _ = second.read_proof(text.encode())
        assert at == int(index)
        assert second.root_by_path(entry, at, log["size"], hashes).hex() == log["root"]
        assert LogProof.decode(text.encode()).verify(entry, key, policy).checkpoint.size == log["size"]


def test_growth(vectors: Any) -> None:
    """Every pair of sizes; what we verify is what the definition makes."""
    roots = {log["size"]: bytes.fromhex(log["root"]) for log in vectors["logs"]}
    leaves = tuple(second.leaf(entry) for entry in entries(vectors, 70_000))
    assert len(vectors["growth"]) == 21
    for each in vectors["growth"]:
        old, new, proof = each["old"], each["new"], [bytes.fromhex(node) for node in each["proof"]]
        assert proof == second.proof(old, leaves[:new])
        assert consistency_holds(old, roots[old], new, roots[new], proof)
    sizes = [log["size"] for log in vectors["logs"]]
    assert all(one < other for one, other in pairwise(sizes))


def test_the_corrupted_one_is_refused(vectors: Any) -> None:
    """A flipped bit in a tile leads to another root than the signed one, and so does a false proof."""
    bad = vectors["corrupted"]
    data = entries(vectors, bad["size"])
    tile = bytearray(second.files(data)[bad["path"]])
    tile[bad["byte"]] ^= bad["xor"]
    hashes = [bytes(tile[at : at + 32]) for at in range(0, len(tile), 32)]
    false = second.mth((*hashes, second.leaf(data[256])))
    assert false.hex() == bad["leads_to"]
    name, kind, public = key_of(vectors, "log")
    text, _ = second.open_note(bad["checkpoint"].encode(), name, kind, public)
    assert second.checkpoint(text)[2] != false
    proof = LogProof.decode(bad["false_proof"].encode())
    with pytest.raises(PeerError) as refusal:
        proof.verify(data[proof.index], VerifierKey.parse(vectors["log"]["verifier_key"]))
    assert refusal.value.reason == "proof"
    _, index, path, _ = second.read_proof(bad["false_proof"].encode())
    assert second.root_by_path(data[index], index, bad["size"], path) != second.checkpoint(text)[2]
