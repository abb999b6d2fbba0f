"""
An accusation of a bank whose key was changed: the evidence, and what shows whose key it is. Pure.

The changes are signed by the network's authorities, so only who knows their keys can tell that the accused
key is the bank's: else anyone could make a change of his own, to a key of his own, and convict that. Where
evidence has a log, the key's own entry in it says from where on the key answers for what the log shows.

Source: docs/spec/accusation.md, section 8; docs/spec/succession.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from bank.board.accusation.evidence import Leaves, ProvenLog, read_sized, sized
from bank.board.accusation.standing import Standing
from bank.board.accusation.verdict import Accused, Kind
from bank.formats.entry import KeyEntry, decode_entry
from bank.formats.fields import Reader
from bank.formats.succession import BankKeys, KeyChange
from mix.directory import Authorities
from mixmint.errors import MalformedMessage, PeerError

MOST_CHANGES = 64
"""In one file; a bank has one in some years."""


class OfBank(Protocol):
    """Evidence that may convict a bank."""

    @property
    def kind(self) -> Kind:
        """What it is about."""

    def encode(self) -> bytes:
        """Its one encoding, without the kind."""

    def accused(self) -> Accused:
        """Whom it accuses, true or not."""

    def sentence(self) -> str:
        """What it says, true or not."""

    def objection(self, standing: Standing | None = None) -> str | None:
        """None when it proves its sentence. ``standing``: of the key, where that isn't the founding one."""


@dataclass(frozen=True, slots=True)
class OfSuccessor:
    """
    Encoded: the bank's founding key 32; count of changes 1, each with its length 2 before it, from the first
    to the one that made the accused key the bank's; how many entries of that key 1 (0 or 1), and that one as
    leaves; the evidence.
    """

    founding: bytes
    changes: tuple[KeyChange, ...]
    began: Leaves | None
    evidence: OfBank

    @property
    def kind(self) -> Kind:
        return self.evidence.kind

    def encode(self) -> bytes:
        changes = b"".join(sized(change.encode()) for change in self.changes)
        began = b"\x00" if self.began is None else b"\x01" + self.began.encode()
        return self.founding + len(self.changes).to_bytes(1) + changes + began + self.evidence.encode()

    @staticmethod
    def read_head(reader: Reader) -> tuple[bytes, tuple[KeyChange, ...], Leaves | None]:
        """Everything before the evidence. Raises MalformedMessage: ``counts``, and what the parts raise."""
        founding, count = reader.take(32), reader.number(1)
        if not 1 <= count <= MOST_CHANGES:
            raise MalformedMessage("counts")
        changes = tuple(_read_change(reader) for _ in range(count))
        flag = reader.number(1)
        if flag > 1:
            raise MalformedMessage("counts")
        return founding, changes, Leaves.read(reader) if flag else None

    def accused(self) -> Accused:
        return replace(self.evidence.accused(), founding=self.founding)

    def sentence(self) -> str:
        return self.evidence.sentence()

    def objection(self, who: Authorities | None = None) -> str | None:
        """None when it proves its sentence, and ``who`` are the authorities that the reader knows."""
        try:
            keys = self._keys()
        except PeerError:
            return "the changes of the bank's key don't follow one another"
        if self.evidence.accused().bank != keys.current:
            return "the last change isn't to the accused key"
        if who is None:
            return (
                "whose key it is can't be told: network authorities gave it to the bank, and theirs must be "
                "known to check that; name the network file: --network FILE"
            )
        if not all(change.holds(who.keys, who.threshold) for change in self.changes):
            return f"a change of the bank's key isn't signed by {who.threshold} of the network's authorities"
        since = self._since(keys)
        if isinstance(since, str):
            return since
        return self.evidence.objection(Standing(keys.id, keys.all[:-1], since))

    def _keys(self) -> BankKeys:
        keys = BankKeys(self.founding)
        for change in self.changes:
            following = keys.after(change)
            if following is keys:
                raise PeerError("succession", "it is there twice")
            keys = following
        return keys

    def _since(self, keys: BankKeys) -> int | str:
        """The leaf of the key's own entry, -1 where no log is shown; or what is wrong with it."""
        log = log_in(self.evidence)
        if log is None:
            return -1 if self.began is None else "there is no log that the key's entry could stand in"
        if self.began is None or len(self.began.leaves) != 1:
            return "the key's own entry in the log is not shown"
        ((leaf, data),) = self.began.leaves
        try:
            entry = decode_entry(data)
        except MalformedMessage:
            entry = None
        if not isinstance(entry, KeyEntry) or entry.public != keys.current or not entry.holds(keys.id):
            return "the key's own entry is another key's"
        if leaf < keys.changes[-1].cut.size:
            return "the key's own entry stands below the cut"
        return self.began.objection(log) or leaf


def _read_change(reader: Reader) -> KeyChange:
    inner = Reader(read_sized(reader))
    change = KeyChange.read(inner)
    inner.end()
    return change


def log_in(evidence: OfBank) -> ProvenLog | None:
    """The log whose leaves the evidence judges; None when it judges none."""
    # The others are of the bank's signatures alone, or of two logs as wholes.
    log: ProvenLog | None = getattr(evidence, "log", None)
    return log


def signers_of(changes: Sequence[KeyChange]) -> Authorities:
    """
    Whoever signed these changes, for one who has checked already that they are the network's authorities, or
    who believes the log that shows them.
    """
    return Authorities(tuple({key for change in changes for key, _ in change.signatures}), 1)
