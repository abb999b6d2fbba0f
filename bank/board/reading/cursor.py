"""
How far a reader of the board has come, and the log's leaves cut into rounds from there. Pure.

Nothing here is proved yet: ``BoardReader`` (client.py) proves that the leaves are the log's.

Source: docs/spec/board.md, section 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bank.board.log.note import MOST_NOTE_BYTES, Note
from bank.board.log.tree import Frontier, leaf_hash
from bank.board.rounds import MOST_ROUND_ENTRIES, check_round, is_mark
from bank.formats.entry import MOST_CLAIM_BYTES, Entry, Kind, decode_entry
from bank.formats.fields import Reader
from mixmint.errors import MalformedMessage

MOST_ROUND_BYTES = MOST_ROUND_ENTRIES * MOST_CLAIM_BYTES
"""64 MiB: the largest round of the longest claims. A hostile board can't make a reader hold more."""
_KNOWN = frozenset(kind.to_bytes(1) for kind in Kind)


@dataclass(frozen=True, slots=True)
class Cursor:
    """
    How far a reader has come: the last round he checked, and the frontier of the log up to its end.

    ``closed_at_s``: when that round closed, Unix seconds. ``note``: the newest checkpoint that he verified:
    a board that later signs another past convicts itself by both; None before the first. Two cursors at
    one place are equal, whatever checkpoint they were read under.

    ``Cursor()`` stands before the first round. Persist it with whatever was learnt from the rounds.
    """

    round: int = 0
    frontier: Frontier = field(default_factory=Frontier)
    closed_at_s: int = 0
    note: Note | None = field(default=None, compare=False)

    @property
    def index(self) -> int:
        """The index of the first leaf after it: the size of the log up to here."""
        return self.frontier.size

    def encode(self) -> bytes:
        """Round 4, closed at 8, length of the frontier 2, frontier, note (to the end; nothing for none)."""
        frontier = self.frontier.encode()
        note = self.note.encode() if self.note else b""
        return b"".join(
            (self.round.to_bytes(4), self.closed_at_s.to_bytes(8), len(frontier).to_bytes(2), frontier, note)
        )

    @classmethod
    def decode(cls, data: bytes) -> "Cursor":
        """Raises MalformedMessage: ``length``, ``note``."""
        reader = Reader(data)
        round_, closed_at_s = reader.number(4), reader.number(8)
        frontier, note = Frontier.decode(reader.take(reader.number(2))), reader.rest()
        if len(note) > MOST_NOTE_BYTES:
            raise MalformedMessage("length")
        return cls(round_, frontier, closed_at_s, Note.decode(note) if note else None)


@dataclass(frozen=True, slots=True)
class VerifiedRound:
    """
    A round that passed every check; ``after`` is the place behind it.

    ``entries``: without the mark that ends it, and without entries of kinds that this program doesn't know:
    a newer board may have them, and what can't be read can't be believed either. Each entry's own signature
    is still the reader's to check. ``first``: the index of its first leaf, by which the bank's key is chosen
    (``BankKeys.key_at``): no change of key cuts through a round.
    """

    number: int
    closed_at_s: int
    entries: tuple[Entry, ...]
    after: Cursor
    first: int


class Cutter:
    """
    Cuts leaves, given in the log's order, into the rounds after a cursor: at most ``most`` of them, fewer
    when they are large. ``note``: the checkpoint that they are read under.
    """

    def __init__(self, after: Cursor, note: Note, most: int) -> None:
        self.rounds: list[VerifiedRound] = []
        self._after = after
        self._begin = after.index
        self._note = note
        self._most = most
        self._open: list[bytes] = []
        self._open_bytes = 0
        self._held_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether no further round is wanted."""
        return (
            len(self.rounds) >= self._most
            or self._after.index - self._begin >= MOST_ROUND_ENTRIES
            or self._held_bytes >= MOST_ROUND_BYTES
        )

    @property
    def is_between(self) -> bool:
        """Whether the last leaf ended a round."""
        return not self._open

    def take(self, leaves: Sequence[bytes]) -> int:
        """
        The next leaves; how many of them it took: fewer than given only when it is full.

        Raises MalformedMessage: what ``check_round`` and ``decode_entry`` raise, and ``count`` for a round
        without end.
        """
        for taken, leaf in enumerate(leaves, start=1):
            self._open.append(leaf)
            self._open_bytes += len(leaf)
            if is_mark(leaf):
                self._close()
                if self.is_full:
                    return taken
            elif len(self._open) > MOST_ROUND_ENTRIES or self._open_bytes > MOST_ROUND_BYTES:
                raise MalformedMessage("count", f"round {self._after.round + 1} has no end")
        return len(leaves)

    def _close(self) -> None:
        leaves, before = self._open, self._after
        mark = check_round(leaves, before.round + 1, before.index, before.closed_at_s)
        frontier = before.frontier.append([leaf_hash(leaf) for leaf in leaves])
        self._after = Cursor(mark.number, frontier, mark.closed_at_s, self._note)
        self._held_bytes += self._open_bytes
        self._open, self._open_bytes = [], 0
        entries = tuple(decode_entry(leaf) for leaf in leaves[:-1] if leaf[:1] in _KNOWN)
        self.rounds.append(VerifiedRound(mark.number, mark.closed_at_s, entries, self._after, before.index))
