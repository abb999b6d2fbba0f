"""Signed checkpoints for people: what a note says, and which witnesses saw it. Pure."""

from dataclasses import dataclass

from bank.board.log.checkpoint import Checkpoint
from bank.board.log.note import Note
from bank.board.log.policy import Policy
from mixmint.errors import PeerError


@dataclass(frozen=True)
class Seen:
    """A witness that the board asks, and when it says that it signed (Unix seconds); None: it hasn't."""

    name: str
    at_s: int | None


@dataclass(frozen=True)
class CheckpointView:
    """A published note. ``round``: whose end it signs; 0 when that isn't known."""

    round: int
    size: int
    root: str
    witnesses: list[Seen]
    text: str

    @property
    def seen(self) -> int:
        """How many of the witnesses signed it."""
        return sum(witness.at_s is not None for witness in self.witnesses)


def checkpoint_view(note: Note, policy: Policy, round_: int = 0) -> CheckpointView:
    """
    A note of the board's own log. Raises MalformedMessage when it is no checkpoint.

    A cosignature that doesn't verify counts as none: the page shows what is proved.
    """
    checkpoint = Checkpoint.parse(note.text)
    seen = []
    for witness in policy.witnesses:
        try:
            found = note.signed_by([witness.key])
        except PeerError:
            found = {}
        line = found.get(witness.key)
        seen.append(Seen(witness.name, line.time_s if line else None))
    return CheckpointView(round_, checkpoint.size, checkpoint.root.hex(), seen, note.encode().decode())
