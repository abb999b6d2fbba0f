"""
Accusations of a board by its signed log: two logs, leaves that break the rules, a map that lies. Pure.

Source: docs/spec/accusation.md, section 4.
"""

from dataclasses import dataclass
from typing import ClassVar

from bank.board.accusation.evidence import (
    ConfirmedLog,
    Leaves,
    SignedLog,
    read_hashes,
    read_sized,
    sized,
    write_hashes,
)
from bank.board.accusation.standing import Standing
from bank.board.accusation.verdict import Accused, Kind
from bank.board.log.tree import HASH_BYTES, consistency_holds
from bank.board.map.proof import MapProof
from bank.board.map.states import collect
from bank.board.rounds import is_mark
from bank.formats.entry import Entry, MapEntry, RoundEntry, decode_entry
from bank.formats.entry import Kind as EntryKind
from bank.formats.fields import Reader
from mixmint.errors import MalformedMessage, PeerError

_KNOWN = frozenset(EntryKind)


@dataclass(frozen=True, slots=True)
class Difference:
    """
    That a log doesn't begin with another one: the root 32 that it has over as many leaves as the smaller one
    has, and the proof of it (count 4, hashes 32 each). For two logs of one size there are no hashes, and
    ``root`` is the larger one's own.
    """

    root: bytes
    proof: tuple[bytes, ...]

    def encode(self) -> bytes:
        return self.root + write_hashes(self.proof)

    @classmethod
    def read(cls, reader: Reader) -> "Difference":
        return cls(reader.take(HASH_BYTES), read_hashes(reader))

    def objection(self, smaller: SignedLog | ConfirmedLog, larger: SignedLog | ConfirmedLog) -> str | None:
        """None when it shows that the larger log doesn't begin with the smaller one."""
        if smaller.size > larger.size:
            return "the logs stand in the wrong order"
        if not consistency_holds(smaller.size, self.root, larger.size, larger.root, self.proof):
            return "what the larger log begins with is not proved"
        return "the larger log begins with the smaller one" if self.root == smaller.root else None


@dataclass(frozen=True, slots=True)
class BoardEquivocation:
    """
    Two checkpoints of one board that can't both be true: the smaller, the larger, the difference.

    A board signs a size once it has stored it, under the one root that its leaves have.
    """

    kind: ClassVar[Kind] = Kind.BOARD_EQUIVOCATION
    one: SignedLog
    other: SignedLog
    difference: Difference

    def encode(self) -> bytes:
        return self.one.encode() + self.other.encode() + self.difference.encode()

    @classmethod
    def read(cls, reader: Reader) -> "BoardEquivocation":
        return cls(SignedLog.read(reader), SignedLog.read(reader), Difference.read(reader))

    def accused(self) -> Accused:
        return Accused(self.one.board)

    def sentence(self) -> str:
        one, other = self.one.checkpoint, self.other.checkpoint
        return (
            f"The board {one.origin} signed two logs: one of {one.size} entries, and one of {other.size} "
            "entries that does not begin with them."
        )

    def objection(self) -> str | None:
        if self.one.board != self.other.board:
            return "the checkpoints are of two boards"
        if self.one.size == self.other.size and self.one.root > self.other.root:
            return "the logs stand in the wrong order"
        return (
            self.one.objection() or self.other.objection() or self.difference.objection(self.one, self.other)
        )


@dataclass(frozen=True, slots=True)
class TwoViews:
    """
    The bank confirmed another log than the board signed: the signed log, the confirmed one, the difference.

    Either the board showed the bank another log than everyone else, or the bank confirmed what nobody showed
    it.
    """

    kind: ClassVar[Kind] = Kind.TWO_VIEWS
    signed: SignedLog
    confirmed: ConfirmedLog
    difference: Difference

    def encode(self) -> bytes:
        return self.signed.encode() + self.confirmed.encode() + self.difference.encode()

    @classmethod
    def read(cls, reader: Reader) -> "TwoViews":
        return cls(SignedLog.read(reader), ConfirmedLog.read(reader), Difference.read(reader))

    def accused(self) -> Accused:
        return Accused(self.signed.board, self.confirmed.bank_key)

    def sentence(self) -> str:
        return (
            f"The bank's statement number {self.confirmed.statement.sequence} confirms a log of "
            f"{self.confirmed.size} entries that is not the one which the board {self.signed.board.name} "
            f"signed with {self.signed.size} entries."
        )

    def objection(self, standing: Standing | None = None) -> str | None:
        pair = (self.signed, self.confirmed)
        smaller, larger = pair if self.signed.size < self.confirmed.size else pair[::-1]
        return (
            self.signed.objection()
            or self.confirmed.objection(standing)
            or self.difference.objection(smaller, larger)
        )


@dataclass(frozen=True, slots=True)
class LogInvalid:
    """
    One leaf or two that no honest board has in its log: the signed log, the leaves.

    A board reads every entry before it takes it, sorts each round, and makes its marks and map entries
    itself. Signatures of entries are not its word, so nothing is said of them here.
    """

    kind: ClassVar[Kind] = Kind.LOG_INVALID
    log: SignedLog
    leaves: Leaves

    def encode(self) -> bytes:
        return self.log.encode() + self.leaves.encode()

    @classmethod
    def read(cls, reader: Reader) -> "LogInvalid":
        return cls(SignedLog.read(reader), Leaves.read(reader))

    def accused(self) -> Accused:
        return Accused(self.log.board)

    def sentence(self) -> str:
        numbers = " and ".join(str(index) for index in self.leaves.indexes[:2])
        return (
            f"The board {self.log.board.name} signed a log that breaks its rules at entry {numbers}: "
            f"{fault_of(self.leaves.leaves, self.log.size) or 'nothing is wrong there'}."
        )

    def objection(self) -> str | None:
        false = self.log.objection() or self.leaves.objection(self.log)
        if false is not None:
            return false
        return None if fault_of(self.leaves.leaves, self.log.size) else "nothing is wrong with these leaves"


def fault_of(leaves: tuple[tuple[int, bytes], ...], size: int) -> str | None:
    """
    What is wrong with one leaf, or with two, of a log that was signed with ``size`` leaves; None: nothing
    that can be told from them.
    """
    if len(leaves) == 1:
        if leaves[0][0] == size - 1 and not is_mark(leaves[0][1]):
            return "the log was signed in the middle of a round"
        return _fault_of_one(*leaves[0])
    if len(leaves) != 2:
        return None
    (index, leaf), (other_index, other) = leaves
    if other_index == index + 1 and not is_mark(leaf) and leaf > other:
        return "the entries of a round are not sorted"
    return _fault_of_mark(index, leaf, other_index, other) or _fault_of_map(index, leaf, other_index, other)


def _read(leaf: bytes) -> Entry | None:
    try:
        return decode_entry(leaf)
    except MalformedMessage:
        return None


def _fault_of_one(index: int, leaf: bytes) -> str | None:
    try:
        entry = decode_entry(leaf)
    except MalformedMessage:
        # Of a kind that isn't known here, a newer board may know more.
        return "it is malformed" if not leaf or leaf[0] in _KNOWN else None
    if isinstance(entry, RoundEntry):
        if entry.first > index or (entry.first == 0) != (entry.number == 1) or entry.number == 0:
            return "the mark of a round is wrong"
    elif isinstance(entry, MapEntry) and not 0 < entry.size <= index:
        return "a map of leaves that were not there yet"
    return None


def _fault_of_mark(index: int, leaf: bytes, mark_index: int, leaf_of_mark: bytes) -> str | None:
    """Of a mark, and a leaf before it: the last one before its round is one; none in the round is."""
    mark, before = _read(leaf_of_mark), _read(leaf)
    if not isinstance(mark, RoundEntry):
        return None
    if mark.first <= index < mark_index and is_mark(leaf):
        return "two rounds share entries"
    if index != mark.first - 1:
        return None
    if not isinstance(before, RoundEntry):
        return "a round does not begin where the one before it ends"
    if before.number + 1 != mark.number:
        return "the numbers of rounds have a gap"
    return "a round closed before the one before it" if before.closed_at_s > mark.closed_at_s else None


def _fault_of_map(index: int, leaf: bytes, map_index: int, leaf_of_map: bytes) -> str | None:
    """Of a map entry, and the last of the leaves that it is made of, which is its round's mark."""
    entry, last = _read(leaf_of_map), _read(leaf)
    if not isinstance(entry, MapEntry) or index != entry.size - 1:
        return None
    if isinstance(last, RoundEntry) and last.number == entry.round:
        return None
    return "a map that was not made at the end of its round"


@dataclass(frozen=True, slots=True)
class MapFalse:
    """
    The board's map says less of a coin than the leaves say that it was made of: the signed log; two leaves,
    the coin's entry and after it the map's; the map's proof about the coin (length 2 before it).

    A board makes the map of all its leaves, and states only grow. What a map says too much can't be proved
    without all leaves.
    """

    kind: ClassVar[Kind] = Kind.MAP_FALSE
    log: SignedLog
    leaves: Leaves
    proof: MapProof

    def encode(self) -> bytes:
        return self.log.encode() + self.leaves.encode() + sized(self.proof.encode())

    @classmethod
    def read(cls, reader: Reader) -> "MapFalse":
        return cls(SignedLog.read(reader), Leaves.read(reader), MapProof.decode(read_sized(reader)))

    def accused(self) -> Accused:
        return Accused(self.log.board)

    def sentence(self) -> str:
        return (
            f"The map that the board {self.log.board.name} signed in entry {self.leaves.indexes[-1]} leaves "
            f"out what entry {self.leaves.indexes[0]} says of its coin."
        )

    def objection(self) -> str | None:
        false = self.log.objection() or self.leaves.objection(self.log)
        if false is not None:
            return false
        if len(self.leaves.leaves) != 2:
            return "two entries are needed"
        (index, leaf), (_, other) = self.leaves.leaves
        entry = _read(other)
        if not isinstance(entry, MapEntry) or index >= entry.size or _read(leaf) is None:
            return "no map that is made of this entry"
        states: dict[bytes, int] = {}
        collect([leaf], states)
        if not states:
            return "the entry says nothing of a coin"
        ((coin, state),) = states.items()
        try:
            said = self.proof.verify(coin, entry.root)
        except PeerError:
            return "what the map says of the coin is not proved"
        return None if (said or 0) < state else "the map says of the coin what the entry says"


@dataclass(frozen=True, slots=True)
class WholeLog:
    """
    Something that only all leaves together prove: the signed log, and what an audit of it found (ASCII, at
    most 400 bytes, length 2 before it). It never holds by itself: whoever doubts it repeats the audit.
    """

    kind: ClassVar[Kind] = Kind.WHOLE_LOG
    log: SignedLog
    found: str

    def encode(self) -> bytes:
        return self.log.encode() + sized(self.found.encode("ascii"))

    @classmethod
    def read(cls, reader: Reader) -> "WholeLog":
        """Raises MalformedMessage("text")."""
        log, data = SignedLog.read(reader), read_sized(reader)
        if len(data) > MOST_FOUND_BYTES or any(not 0x20 <= byte < 0x7F for byte in data):
            raise MalformedMessage("text")
        return cls(log, data.decode("ascii"))

    def accused(self) -> Accused:
        return self.log.accused()

    def sentence(self) -> str:
        return f"An audit of {self.log.size} entries of the board {self.log.board.name} found: {self.found}"

    def objection(self) -> str | None:
        return self.log.objection() or (
            "this file doesn't prove it, only the whole log does: repeat the audit with mixmint board audit"
        )


MOST_FOUND_BYTES = 400
