"""
Accusations of a board by its receipts: it promised a round, and the round is there without the entry. Pure.

A board whose rounds stand still breaks no such promise yet: it is late.

Source: docs/spec/accusation.md, section 4.
"""

from dataclasses import dataclass
from typing import ClassVar

from bank.board.accusation.evidence import (
    SignedLog,
    read_hashes,
    read_sized,
    sized,
    write_hashes,
)
from bank.board.accusation.verdict import Accused, Kind
from bank.board.feed import Batch, FeedReceipt, batch_digest
from bank.board.log.tree import HASH_BYTES, leaf_hash, many_hold
from bank.board.receipts import ENTRY_RECEIPT_BYTES, EntryReceipt
from bank.formats.entry import RoundEntry, decode_entry
from bank.formats.fields import Reader
from mixmint.errors import MalformedMessage

_WHERE = "the rounds are not proved to stand in the log"


@dataclass(frozen=True, slots=True)
class Stretch:
    """
    All leaves of some rounds in a row: the mark of the round before them (length 2 and bytes; empty when they
    begin with the log), the index 8 of the first leaf, the leaves' hashes (count 4, 32 each) but for the last
    one, which is the last round's mark (length 2 and bytes), the proof (count 4, hashes 32 each).

    Hashes are enough: no leaf hides behind another one's.
    """

    before: bytes
    first: int
    hashes: tuple[bytes, ...]
    mark: bytes
    proof: tuple[bytes, ...]

    def encode(self) -> bytes:
        return b"".join(
            (
                sized(self.before),
                self.first.to_bytes(8),
                write_hashes(self.hashes),
                sized(self.mark),
                write_hashes(self.proof),
            )
        )

    @classmethod
    def read(cls, reader: Reader) -> "Stretch":
        before, first = read_sized(reader), reader.number(8)
        hashes, mark = read_hashes(reader), read_sized(reader)
        return cls(before, first, hashes, mark, read_hashes(reader))

    def objection(self, log: SignedLog, after: int, until: int) -> str | None:
        """None when these are all leaves of rounds ``after`` + 1 .. ``until`` of the log, or of more."""
        begins, ends = _round_of(self.before), _round_of(self.mark)
        if begins is None if self.before else self.first != 0:
            return "the rounds don't begin with a mark"
        if (begins or 0) > after or ends is None or ends < until:
            return "not all rounds in question are shown"
        hashes = dict(enumerate(self.hashes, start=self.first))
        hashes[self.first + len(self.hashes)] = leaf_hash(self.mark)
        if self.before:
            hashes[self.first - 1] = leaf_hash(self.before)
        return None if many_hold(hashes, log.size, self.proof, log.root) else _WHERE


def _round_of(mark: bytes) -> int | None:
    try:
        entry = decode_entry(mark)
    except MalformedMessage:
        return None
    return entry.number if isinstance(entry, RoundEntry) else None


@dataclass(frozen=True, slots=True)
class ReceiptBroken:
    """
    The board signed that an entry is in a round, and it isn't: the signed log, the receipt 104, the round.

    A board stores the entry together with its round's number before it signs the receipt.
    """

    kind: ClassVar[Kind] = Kind.RECEIPT_BROKEN
    log: SignedLog
    receipt: EntryReceipt
    stretch: Stretch

    def encode(self) -> bytes:
        return self.log.encode() + self.receipt.encode() + self.stretch.encode()

    @classmethod
    def read(cls, reader: Reader) -> "ReceiptBroken":
        log, receipt = SignedLog.read(reader), EntryReceipt.decode(reader.take(ENTRY_RECEIPT_BYTES))
        return cls(log, receipt, Stretch.read(reader))

    def accused(self) -> Accused:
        return Accused(self.log.board)

    def sentence(self) -> str:
        return (
            f"The board {self.log.board.name} promised an entry for round {self.receipt.round}, and "
            "published the round without it."
        )

    def objection(self) -> str | None:
        receipt = self.receipt
        if not receipt.is_signed(self.log.board.public):
            return "the receipt is not signed by the board's key"
        if receipt.round == 0:
            return "there is no round 0"
        false = self.log.objection() or self.stretch.objection(self.log, receipt.round - 1, receipt.round)
        if false is not None:
            return false
        return "the entry is there" if receipt.leaf in self.stretch.hashes else None


@dataclass(frozen=True, slots=True)
class Waited:
    """A receipt that still waited for some group: taken 1 (0 or 1), its batch's hash 32, the receipt 80."""

    taken: bool
    digest: bytes
    receipt: FeedReceipt

    def encode(self) -> bytes:
        return self.taken.to_bytes(1) + self.digest + write_receipt(self.receipt)

    @classmethod
    def read(cls, reader: Reader) -> "Waited":
        """Raises MalformedMessage("taken")."""
        taken = reader.number(1)
        if taken > 1:
            raise MalformedMessage("taken")
        return cls(bool(taken), reader.take(HASH_BYTES), read_receipt(reader))


@dataclass(frozen=True, slots=True)
class FeedReceiptBroken:
    """
    The board signed that it took a batch of the bank's groups for rounds up to some number, and an entry of
    the batch isn't there: the signed log; the receipt 80 and the batch (length 4 before it); group 2 and
    place 1 of the entry; how many earlier receipts 1 (0 or 1) and that one; the rounds.

    The earlier receipt shows that the board still waited for the batch's first group when some round was the
    newest closed one: so all of the batch is in later rounds. Without one, the rounds begin with the log.
    """

    kind: ClassVar[Kind] = Kind.FEED_RECEIPT_BROKEN
    log: SignedLog
    receipt: FeedReceipt
    batch: bytes
    group: int
    place: int
    waited: Waited | None
    stretch: Stretch

    def encode(self) -> bytes:
        return b"".join(
            (
                self.log.encode(),
                write_receipt(self.receipt),
                sized(self.batch, 4),
                self.group.to_bytes(2),
                self.place.to_bytes(1),
                (self.waited is not None).to_bytes(1),
                self.waited.encode() if self.waited else b"",
                self.stretch.encode(),
            )
        )

    @classmethod
    def read(cls, reader: Reader) -> "FeedReceiptBroken":
        """Raises MalformedMessage, ``counts`` when there is more than one earlier receipt."""
        log, receipt, batch = SignedLog.read(reader), read_receipt(reader), read_sized(reader, 4)
        group, place, count = reader.number(2), reader.number(1), reader.number(1)
        if count > 1:
            raise MalformedMessage("counts")
        waited = Waited.read(reader) if count else None
        return cls(log, receipt, batch, group, place, waited, Stretch.read(reader))

    def accused(self) -> Accused:
        return Accused(self.log.board)

    def sentence(self) -> str:
        return (
            f"The board {self.log.board.name} took the bank's entries for round {self.receipt.round} at the "
            "latest, and published its rounds up to there without one of them."
        )

    def objection(self) -> str | None:
        key, receipt = self.log.board.public, self.receipt
        # Signed as one for a batch that was taken. An answer that only says what the board waits for proves
        # nothing of the batch in the question, which anyone's bank may make up afterwards.
        if not receipt.is_signed(key, batch_digest(self.batch), taken=True):
            return "the receipt is not signed by the board's key for this batch"
        try:
            batch = Batch.decode(self.batch)
        except MalformedMessage:
            return "the batch is malformed"
        if receipt.next_group != batch.next or self.group >= len(batch.groups):
            return "the board didn't take this group"
        if self.place >= len(batch.groups[self.group]):
            return "the group has no such entry"
        after = self._waited_until(key, batch.first)
        if isinstance(after, str):
            return after
        false = self.log.objection() or self.stretch.objection(self.log, after, receipt.round)
        if false is not None:
            return false
        leaf = leaf_hash(batch.groups[self.group][self.place])
        return "the entry is there" if leaf in self.stretch.hashes else None

    def _waited_until(self, key: bytes, first: int) -> int | str:
        """Up to which round the log can't have the batch; or what is wrong with the earlier receipt."""
        if self.waited is None:
            return 0
        earlier = self.waited.receipt
        if not earlier.is_signed(key, self.waited.digest, taken=self.waited.taken):
            return "the earlier receipt is not signed by the board's key"
        # A board that was recovered may say 0, or be told a number again that it has had: not before this.
        if not 1 <= earlier.next_group <= first or earlier.newest_closed > self.receipt.newest_closed:
            return "the earlier receipt doesn't come before the batch"
        return earlier.newest_closed


def write_receipt(receipt: FeedReceipt) -> bytes:
    """80 bytes."""
    return b"".join(
        (
            receipt.next_group.to_bytes(8),
            receipt.round.to_bytes(4),
            receipt.newest_closed.to_bytes(4),
            receipt.signature,
        )
    )


def read_receipt(reader: Reader) -> FeedReceipt:
    """Raises MalformedMessage("length")."""
    return FeedReceipt(reader.number(8), reader.number(4), reader.number(4), reader.take(64))
