"""Logs for tests: rounds of entries as a board publishes them, in a folder that any reader can open."""

from collections.abc import Sequence
from pathlib import Path

from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.folder import TileFolder
from bank.board.log.note import Note, VerifierKey
from bank.board.log.tiles import Edge
from bank.formats.entry import RoundEntry
from mixmint.keys import SigningKey

ORIGIN = "board.example.org"
BEGIN_S = 1_800_000_000
"""When round 1 closed; each further round closed a second later."""


class LogMaker:
    """A board without a database. ``leaves`` are all that it ever appended."""

    def __init__(self, folder: Path, key: SigningKey, origin: str = ORIGIN) -> None:
        self.folder = TileFolder(folder)
        self.key = key
        self.origin = origin
        self.edge = Edge()
        self.round = 0
        self.begin_s = BEGIN_S
        self.leaves: list[bytes] = []

    @property
    def verifier(self) -> VerifierKey:
        return VerifierKey(self.origin, self.key.public)

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.origin, self.edge.size, self.edge.root())

    def append(self, leaves: Sequence[bytes]) -> None:
        """Leaves as they are, in this order: a board that keeps no rule."""
        self.edge, files = self.edge.grow(leaves)
        self.folder.write(files)
        self.leaves += leaves

    def close(self, entries: Sequence[bytes]) -> RoundEntry:
        """One round: its entries sorted, then its mark."""
        self.round += 1
        mark = RoundEntry(self.round, self.begin_s + self.round - 1, self.edge.size)
        self.append([*sorted(entries), mark.encode()])
        return mark

    def sign(self) -> Note:
        """The checkpoint of the log as it is, signed, not published."""
        return sign_checkpoint(self.key, self.checkpoint)

    def publish(self) -> Note:
        note = self.sign()
        self.folder.publish(note)
        return note


def make_log(
    folder: Path, rounds: Sequence[Sequence[bytes]], board_key: SigningKey, origin: str = ORIGIN
) -> Note:
    """Write a log of some rounds into a folder and publish it; its checkpoint's note."""
    maker = LogMaker(folder, board_key, origin)
    for entries in rounds:
        maker.close(entries)
    return maker.publish()
