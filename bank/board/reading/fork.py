"""
A forked log: two checkpoints that one key signed and that can't both be true. Pure.

The older one says which root the log's first leaves have; the newer one commits to another root over as many.
Whoever knows the log's key can check it offline, without a single leaf.

Source: docs/spec/log.md, section 1 (proofs of consistency).
"""

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


class ForkedLog(PeerError):
    """The log contradicts itself. ``fork``: the proof, to be kept; ``log``: whose signatures are in it."""

    def __init__(self, fork: Fork, log: VerifierKey) -> None:
        older, newer = Checkpoint.parse(fork.older.text), Checkpoint.parse(fork.newer.text)
        super().__init__(
            "fork",
            f"it signed a log of {older.size} leaves, and one of {newer.size} that doesn't begin with them",
        )
        self.fork = fork
        self.log = log
