"""
A forked log: two checkpoints that one key signed and that can't both be true. Pure.

The older one says which root the log's first leaves have; the newer one commits to another root over as many.
Whoever knows the log's key can check it offline, without a single leaf.

Source: docs/spec/log.md, section 1 (proofs of consistency).
"""

from base64 import b64encode
from dataclasses import dataclass

from bank.board.log.checkpoint import Checkpoint, open_checkpoint
from bank.board.log.note import Note, VerifierKey
from bank.board.log.tree import consistency_holds
from mixmint.errors import PeerError


@dataclass(frozen=True, slots=True)
class Fork:
    """
    ``root`` (32 bytes): the root over as many leaves as ``older`` has, in the tree of ``newer``; ``proof``:
    RFC 6962's proof of consistency of that. For two checkpoints of one size there are no hashes in it, and
    ``root`` is the newer one's own.
    """

    older: Note
    newer: Note
    root: bytes
    proof: tuple[bytes, ...] = ()

    def holds(self, log: VerifierKey) -> bool:
        """Whether the log signed both, and they contradict each other. Raises nothing."""
        try:
            older, newer = open_checkpoint(self.older, log), open_checkpoint(self.newer, log)
        except PeerError:
            return False
        return self.root != older.root and consistency_holds(
            older.size, self.root, newer.size, newer.root, self.proof
        )

    def encode(self) -> bytes:
        """To be kept: root and proof, a line of base64 each, an empty line, then the notes, older first."""
        lines = [b64encode(each).decode() for each in (self.root, *self.proof)]
        return "\n".join([*lines, "", ""]).encode() + self.older.encode() + self.newer.encode()


class ForkedLog(PeerError):
    """The log contradicts itself. ``fork``: the proof, to be kept."""

    def __init__(self, fork: Fork, older: Checkpoint, newer: Checkpoint) -> None:
        super().__init__(
            "fork",
            f"it signed a log of {older.size} leaves, and one of {newer.size} that doesn't begin with them",
        )
        self.fork = fork
