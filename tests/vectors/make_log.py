"""
Make the log's test vectors: ``python -m tests.vectors.make_log`` writes ``tests/vectors/log.json``.

Deterministic: entry 0 is the hash of a name, each further one the hash of the one before.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.note import KeyKind, Note, VerifierKey, cosign_text
from bank.board.log.proof import LogProof
from bank.board.log.tiles import Edge, File
from bank.board.log.tree import Frontier, Node, Span, consistency_spans, inclusion_spans, leaf_hash, span_hash
from mixmint.keys import SigningKey

FILE = Path(__file__).parent / "log.json"
SEED = b"mixmint log test vectors"
ORIGIN = "board.example.org"
WITNESS = "witness.example.net/w1"
TIME_S = 1_700_000_000
SIZES = (0, 1, 255, 256, 257, 70_000)


@cache
def chain(count: int) -> tuple[bytes, ...]:
    """The first ``count`` entries, 32 bytes each."""
    entries = []
    last = SEED
    for _ in range(count):
        last = hashlib.sha256(last).digest()
        entries.append(last)
    return tuple(entries)


class _Tree:
    """All full subtrees over the chain."""

    def __init__(self, size: int) -> None:
        self._leaves = [leaf_hash(entry) for entry in chain(size)]

    def node(self, node: Node) -> bytes:
        first = node.index << node.level
        return Frontier().append(self._leaves[first : first + (1 << node.level)]).root()

    def hashes(self, spans: list[Span]) -> list[bytes]:
        return [span_hash(span, self.node) for span in spans]


def make() -> dict[str, object]:
    """All vectors, bytes as hex, notes and proofs as their text."""
    key, witness = SigningKey(b"\1" * 32), SigningKey(b"\2" * 32)
    tree = _Tree(SIZES[-1])
    return {
        "about": "made by tests/vectors/make_log.py; see docs/spec/log.md; bytes as hex",
        "seed_of_entries": SEED.decode(),
        "log": {"seed": key.seed.hex(), "verifier_key": VerifierKey(ORIGIN, key.public).text()},
        "witness": {
            "seed": witness.seed.hex(),
            "verifier_key": VerifierKey(WITNESS, witness.public, KeyKind.WITNESS).text(),
        },
        "logs": [_log(size, key, witness, tree) for size in SIZES],
        "growth": [
            {
                "old": old,
                "new": new,
                "proof": [each.hex() for each in tree.hashes(consistency_spans(old, new))],
            }
            for new in SIZES
            for old in SIZES
            if old <= new
        ],
        "corrupted": _corrupted(key, tree),
    }


def _signed(key: SigningKey, size: int, root: bytes) -> Note:
    return sign_checkpoint(key, Checkpoint(ORIGIN, size, root))


def _log(size: int, key: SigningKey, witness: SigningKey, tree: _Tree) -> dict[str, object]:
    edge, files = Edge().grow(chain(size))
    note = _signed(key, size, edge.root())
    note = note.plus([cosign_text(witness, WITNESS, note.text, TIME_S)])
    return {
        "size": size,
        "root": edge.root().hex(),
        "frontier": edge.frontier().encode().hex(),
        "checkpoint": note.encode().decode(),
        "files": len(files),
        # The rest are full tiles in the middle: their hashes stand in the tiles above.
        "edge": {file.tile.path(): hashlib.sha256(file.data).hexdigest() for file in _at_edge(files)},
        "proofs": {
            str(index): LogProof(index, tuple(tree.hashes(inclusion_spans(index, size))), note)
            .encode()
            .decode()
            for index in sorted({0, size // 3, size - 1})
            if 0 <= index < size
        },
    }


def _proof(index: int, hashes: list[bytes], note: Note) -> str:
    return LogProof(index, tuple(hashes), note).encode().decode()


def _at_edge(files: list[File]) -> list[File]:
    """The last file of each level."""
    return list({file.tile.level: file for file in files}.values())


def _corrupted(key: SigningKey, tree: _Tree) -> dict[str, object]:
    """A log of 257 leaves, one of whose tiles has a flipped bit, and the false root that it leads to."""
    size, index, at = 257, 100, 3200
    edge, files = Edge().grow(chain(size))
    (tile,) = (file for file in files if file.tile.path() == "tile/0/000")
    data = bytearray(tile.data)
    data[at] ^= 1
    hashes = [bytes(data[at : at + 32]) for at in range(0, len(data), 32)]
    note = _signed(key, size, edge.root())
    proof = tree.hashes(inclusion_spans(index, size))
    proof[3] = bytes(32)
    return {
        "size": size,
        "checkpoint": note.encode().decode(),
        "path": "tile/0/000",
        "byte": at,
        "xor": 1,
        "leads_to": Frontier().append([*hashes, leaf_hash(chain(size)[256])]).root().hex(),
        "false_proof": _proof(index, proof, note),
    }


def as_text() -> str:
    """The file's text."""
    return json.dumps(make(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text())
