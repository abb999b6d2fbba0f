"""Logs for the tests: entries that anyone can make again, and their files."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.folder import TileFolder
from bank.board.log.note import KeyKind, VerifierKey
from bank.board.log.tiles import Edge
from bank.board.log.tree import Node, NodeHash, leaf_hash, root_of
from mixmint.keys import SigningKey
from tests.vectors.make_log import chain

ORIGIN = "board.example.org/log"
KEY = SigningKey(b"l" * 32)
LOG = VerifierKey(ORIGIN, KEY.public)
WITNESS_KEY = SigningKey(b"w" * 32)
WITNESS = VerifierKey("witness.example.org", WITNESS_KEY.public, KeyKind.WITNESS)


@cache
def leaves(count: int) -> tuple[bytes, ...]:
    """The hashes of the chain's first leaves."""
    return tuple(leaf_hash(entry) for entry in chain(count))


def nodes_of(hashes: Sequence[bytes]) -> NodeHash:
    """The full subtrees over some leaves, each made from the leaves anew."""

    def node(wanted: Node) -> bytes:
        first, count = wanted.index << wanted.level, 1 << wanted.level
        assert first + count <= len(hashes)
        return root_of(hashes[first : first + count])

    return node


def grow(folder: TileFolder, edge: Edge, entries: Sequence[bytes]) -> Edge:
    """A log's next entries and checkpoint, as a board publishes them; the partial tiles of old are kept."""
    edge, files = edge.grow(entries)
    folder.write(files)
    folder.publish(sign_checkpoint(KEY, Checkpoint(ORIGIN, edge.size, edge.root())))
    return edge


def published(path: Path, size: int) -> tuple[TileFolder, Edge]:
    """A folder with the log of the chain's first entries."""
    folder = TileFolder(path)
    return folder, grow(folder, Edge(), chain(size))


def flip(path: Path, at: int = 0) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
