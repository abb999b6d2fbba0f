"""
A bank's keys, one after the other (docs/spec/succession.md).

A bank is its founding key's hash, for ever. Its signing key can be replaced: when it was stolen, when the
bank cheated, when its operator gave up. The network's authorities then sign (old key, new key, cut), where
the cut is the size and root of a checkpoint that witnesses have seen. From there on one rule holds for
everyone who reads the board: **at leaf i counts what the key in force at i signed**, and that is the key of
the last change whose cut is at or below i. So what the old key had certified on the board stays money, and
nothing that it signs for a later place is worth anything, whoever has it.

Source: Simon, section 3.1, the inputs ("recover", p_B*).
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from struct import Struct

from bank.formats.coin import BankId, bank_id
from bank.formats.fields import Reader
from mixmint.errors import MalformedMessage, PeerError
from mixmint.keys import Label, SigningKey, verify

KEY_CHANGE_LABEL = Label("mixmint/key-change/v1")

MOST_AUTHORITIES = 32
_HEAD = Struct(">32sI32s32sQ32sI")


@dataclass(frozen=True, slots=True)
class Cut:
    """The board's first ``size`` leaves, whose tree has this root (32 bytes)."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class KeyChange:
    """
    Encoded, numbers big-endian: bank id 32, number 4 (from 1), old key 32, new key 32, cut's size 8 and root
    32, answer rounds 4; count of signatures 1, then authority's key 32 and signature 64 each, ascending.

    ``answer_rounds``: for so many rounds after the change's own the successor answers openings of orders
    whose coins its predecessor took without certifying what they asked for.
    """

    bank: bytes
    number: int
    old: bytes
    new: bytes
    cut: Cut
    answer_rounds: int
    signatures: tuple[tuple[bytes, bytes], ...] = ()

    def signed_part(self) -> bytes:
        """What the authorities sign, under its label."""
        return _HEAD.pack(
            self.bank, self.number, self.old, self.new, self.cut.size, self.cut.root, self.answer_rounds
        )

    def encode(self) -> bytes:
        return b"".join(
            (
                self.signed_part(),
                len(self.signatures).to_bytes(1),
                *(authority + signature for authority, signature in self.signatures),
            )
        )

    @classmethod
    def read(cls, reader: Reader) -> "KeyChange":
        """Raises MalformedMessage: ``length``, ``counts``, ``order-of-signatures``."""
        bank, number, old, new, size, root, rounds = _HEAD.unpack(reader.take(_HEAD.size))
        count = reader.number(1)
        if count > MOST_AUTHORITIES or number == 0 or old == new:
            raise MalformedMessage("counts")
        signatures = tuple([(reader.take(32), reader.take(64)) for _ in range(count)])
        if any(a[0] >= b[0] for a, b in pairwise(signatures)):
            raise MalformedMessage("order-of-signatures")
        return cls(bank, number, old, new, Cut(size, root), rounds, signatures)

    def signed_by(self, key: SigningKey) -> "KeyChange":
        """The same with this authority's signature added, or made again."""
        kept = {authority: signature for authority, signature in self.signatures if authority != key.public}
        kept[key.public] = key.sign(KEY_CHANGE_LABEL, self.signed_part())
        return replace(self, signatures=tuple(sorted(kept.items())))

    def holds(self, authorities: Collection[bytes], threshold: int) -> bool:
        """Whether ``threshold`` of these authorities (public keys, 32 bytes) signed."""
        part = self.signed_part()
        good = sum(
            verify(authority, KEY_CHANGE_LABEL, signature, part)
            for authority, signature in self.signatures
            if authority in authorities
        )
        return good >= max(1, threshold)


@dataclass(frozen=True, slots=True)
class BankKeys:
    """
    A bank's keys: the founding one (32 bytes), and the changes since, in order.

    Whoever makes one has checked the authorities' signatures; ``after`` checks that the changes fit together.
    """

    founding: bytes
    changes: tuple[KeyChange, ...] = ()

    @property
    def id(self) -> BankId:
        """The bank, whatever its key is."""
        return bank_id(self.founding)

    @property
    def current(self) -> bytes:
        """The newest key: what the bank signs with now."""
        return self.changes[-1].new if self.changes else self.founding

    @property
    def all(self) -> tuple[bytes, ...]:
        """Every key, the founding one first."""
        return (self.founding, *(change.new for change in self.changes))

    def key_at(self, leaf: int) -> bytes:
        """The key in force at this leaf of the board: only what it signed counts there."""
        for change in reversed(self.changes):
            if change.cut.size <= leaf:
                return change.new
        return self.founding

    def end_of(self, key: bytes) -> int | None:
        """The leaf from which on this key of the bank's counts no more; None: it still counts."""
        return next((change.cut.size for change in self.changes if change.old == key), None)

    def after(self, change: KeyChange) -> "BankKeys":
        """
        These keys and the next change. The last change again changes nothing, so whoever reads the board
        twice gets the same keys.

        Raises PeerError("succession"): another bank's, not the next number, not from the current key, back to
        a key that was in force before, or with a cut before the last one's.
        """
        known = self.changes[change.number - 1 : change.number]
        if known and known[0].signed_part() == change.signed_part():
            return self
        last = self.changes[-1].cut.size if self.changes else 0
        if (
            change.bank != self.id
            or change.number != len(self.changes) + 1
            or change.old != self.current
            or change.new in self.all
            or change.cut.size < last
        ):
            raise PeerError("succession", "a change of the bank's key doesn't follow from the keys before it")
        return BankKeys(self.founding, (*self.changes, change))

    def follow(
        self, change: KeyChange, authorities: Collection[bytes], threshold: int, first: int
    ) -> "BankKeys":
        """
        What a reader of the board makes of a change that he finds in a round whose first leaf is ``first``:
        the keys after it, or these, when it doesn't count. Only the first of two that contradict does.

        A cut above its own round would be about a board that nobody has seen.
        """
        if change.cut.size > first or not change.holds(authorities, threshold):
            return self
        try:
            return self.after(change)
        except PeerError:
            return self


@dataclass(frozen=True, slots=True)
class LoggedChange:
    """A change on the board, and the leaves of the round that has it: ``first`` .. ``stop`` - 1."""

    change: KeyChange
    first: int
    stop: int

    @property
    def void(self) -> range:
        """
        Leaves at which the old key still wrote, and what it signed counts for nothing: from the cut to the
        end of the round that says so. The new key's are behind it: no board takes its feed before.
        """
        return range(self.change.cut.size, self.stop)


def in_force(logged: Iterable[LoggedChange]) -> list[LoggedChange]:
    """
    Those of a log's changes, in its order, that count. For the board's own log, whose changes it has checked
    before it took them: no signature is looked at.
    """
    found: list[LoggedChange] = []
    keys: BankKeys | None = None
    for each in logged:
        keys = keys or BankKeys(each.change.old)
        try:
            after = keys.after(each.change)
        except PeerError:
            continue
        if after is not keys:
            found.append(each)
            keys = after
    return found
