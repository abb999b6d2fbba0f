"""
Accusations of a bank by what it signed: certificates, statements, a log that it confirmed. Pure.

Each class is one kind of evidence: ``objection`` is None when it proves what ``sentence`` says, and nobody
can make one that does against a bank that keeps the rules, whatever board it has and whoever its customers
are. Why not stands in each docstring.

Source: docs/spec/accusation.md, section 3.
"""

from dataclasses import dataclass
from typing import ClassVar

from bank.board.accusation.evidence import (
    ConfirmedLog,
    Leaves,
    ProvenLog,
    log_objection,
    read_log,
    read_statement,
    sized,
    statement_objection,
    write_log,
)
from bank.board.accusation.standing import Standing
from bank.board.accusation.verdict import Accused, Kind
from bank.formats.answer import CertifiedBefore
from bank.formats.entry import (
    CertifiedEntry,
    Entry,
    KeyEntry,
    PostedEntry,
    ReplacedEntry,
    SpentEntry,
    StatementEntry,
    decode_entry,
)
from bank.formats.fields import Reader
from bank.formats.statement import BankStatement, Tally, units_of
from mixmint.errors import MalformedMessage


def read_entries(leaves: Leaves) -> list[Entry] | None:
    """The leaves as entries; None when one of them is none."""
    try:
        return [decode_entry(leaf) for leaf in leaves.bytes]
    except MalformedMessage:
        return None


@dataclass(frozen=True, slots=True)
class CertifiedTwice:
    """
    Two certificates of one coin id with different values or epochs. The bank's key 32, then coin id 32,
    exponent 1, epoch 4, certificate 64 of each, the lesser first.

    A bank certifies an id once, by its books' primary key, and certifies it again with the same value and
    epoch only.
    """

    kind: ClassVar[Kind] = Kind.CERTIFIED_TWICE
    bank_key: bytes
    one: CertifiedBefore
    other: CertifiedBefore

    def encode(self) -> bytes:
        return self.bank_key + self.one.encode() + self.other.encode()

    @classmethod
    def read(cls, reader: Reader) -> "CertifiedTwice":
        return cls(reader.take(32), CertifiedBefore.read(reader), CertifiedBefore.read(reader))

    def accused(self) -> Accused:
        return Accused(bank=self.bank_key)

    def sentence(self) -> str:
        one, other = self.one, self.other
        return (
            f"The bank certified coin {one.coin.hex()} twice: with {1 << one.exponent} units in epoch "
            f"{one.epoch}, and with {1 << other.exponent} units in epoch {other.epoch}."
        )

    def objection(self, standing: Standing | None = None) -> str | None:
        one, other = self.one, self.other
        if one.coin != other.coin:
            return "the certificates are of two coins"
        if (one.exponent, one.epoch) >= (other.exponent, other.epoch):
            return "both certificates say the same, or stand in the wrong order"
        bank = (standing or Standing.founding(self.bank_key)).bank
        if not all(each.holds(self.bank_key, bank) for each in (one, other)):
            return "a certificate is not signed by the bank's key"
        return None


@dataclass(frozen=True, slots=True)
class StatementsContradict:
    """
    One statement that can't be true, or two that can't both be. The bank's key 32, count 1, the statements.

    An order spends what it certifies, so exchanges keep the balance; counts only grow; and a statement is
    stored with its sequence in the transaction that makes it.
    """

    kind: ClassVar[Kind] = Kind.STATEMENTS_CONTRADICT
    bank_key: bytes
    statements: tuple[BankStatement, ...]

    def encode(self) -> bytes:
        statements = b"".join(sized(each.encode()) for each in self.statements)
        return self.bank_key + len(self.statements).to_bytes(1) + statements

    @classmethod
    def read(cls, reader: Reader) -> "StatementsContradict":
        """Raises MalformedMessage, ``counts`` when there are neither one nor two."""
        key, count = reader.take(32), reader.number(1)
        if count not in {1, 2}:
            raise MalformedMessage("counts")
        return cls(key, tuple(read_statement(reader) for _ in range(count)))

    def accused(self) -> Accused:
        return Accused(bank=self.bank_key)

    def sentence(self) -> str:
        numbers = " and ".join(str(each.sequence) for each in self.statements)
        what = contradiction(self.statements) or "nothing is wrong with it"
        plural = "s" if len(self.statements) > 1 else ""
        return f"The bank's statement{plural} number {numbers} can't be true: {what}."

    def objection(self, standing: Standing | None = None) -> str | None:
        for statement in self.statements:
            false = statement_objection(statement, self.bank_key, standing)
            if false is not None:
                return false
        return None if contradiction(self.statements) else "the statements don't contradict each other"


def contradiction(statements: tuple[BankStatement, ...]) -> str | None:
    """What is wrong with one statement, or with two given in the order of their numbers; None: nothing."""
    if len(statements) == 1:
        return _wrong_alone(statements[0])
    one, other = statements
    if one.sequence == other.sequence:
        # Ordered, so that there is one file for one pair.
        return "both have this number" if one.signed_part() < other.signed_part() else None
    if one.sequence > other.sequence:
        return None
    if _falls(one.totals, other.totals):
        return "a running total falls"
    later = {(row.exponent, row.epoch): row.tally for row in other.rows}
    for row in one.rows:
        if _falls(row.tally, later.get((row.exponent, row.epoch), row.tally)):
            return f"a count falls, of {1 << row.exponent} units in epoch {row.epoch}"
    return None


def _wrong_alone(statement: BankStatement) -> str | None:
    if not statement.balances():
        return "value in isn't value out"
    if _overdrawn(statement.totals):
        return "more was spent than was certified"
    if any(_overdrawn(row.tally) for row in statement.rows):
        return "more coins of a value were spent than were certified"
    if _falls(units_of(statement.rows), statement.totals):
        return "its rows come to more than its running totals"
    return None


def _overdrawn(tally: Tally) -> bool:
    return tally.spent + tally.replaced > tally.certified or tally.deposited > tally.spent


def _falls(earlier: Tally, later: Tally) -> bool:
    return any(a > b for a, b in zip(earlier.numbers(), later.numbers(), strict=True))


@dataclass(frozen=True, slots=True)
class ValueCreated:
    """
    More certificates in the log that a statement confirms than the statement states: of one value and epoch
    by its row, or in units by the running totals. The confirmed log, the leaves.

    What the bank has read before it signed, it had certified before, and counted when it certified. So
    certificates in that log are never more than it counts, whoever put them there.
    """

    kind: ClassVar[Kind] = Kind.VALUE_CREATED
    log: ConfirmedLog
    leaves: Leaves

    def encode(self) -> bytes:
        return self.log.encode() + self.leaves.encode()

    @classmethod
    def read(cls, reader: Reader) -> "ValueCreated":
        return cls(ConfirmedLog.read(reader), Leaves.read(reader))

    def accused(self) -> Accused:
        return self.log.accused()

    def sentence(self) -> str:
        return (
            f"The bank's statement number {self.log.statement.sequence} states fewer coins than the bank had "
            f"certified: {len(self.leaves.leaves)} certificates are more than it allows."
        )

    def objection(self, standing: Standing | None = None) -> str | None:
        false = log_objection(self.log, standing) or self.leaves.objection(self.log)
        if false is not None:
            return false
        entries = read_entries(self.leaves)
        if entries is None or not all(isinstance(entry, CertifiedEntry) for entry in entries):
            return "a leaf is no certificate"
        certified = [entry for entry in entries if isinstance(entry, CertifiedEntry)]
        if len({entry.coin for entry in certified}) != len(certified):
            return "a coin is counted twice"
        if not self._exceeds(certified):
            return "the statement states as many coins"
        key = self.log.bank_key
        standing = standing or Standing.founding(key)
        if not all(entry.holds(key, standing.bank) for entry in certified):
            return "a certificate is not signed by the bank's key"
        return standing.objection(*self.leaves.indexes)

    def _exceeds(self, certified: list[CertifiedEntry]) -> bool:
        statement = self.log.statement
        if sum(1 << entry.exponent for entry in certified) > statement.totals.certified:
            return True
        values = {(entry.exponent, entry.epoch) for entry in certified}
        rows = {(row.exponent, row.epoch): row.tally.certified for row in statement.rows}
        return len(values) == 1 and len(certified) > rows.get(values.pop(), len(certified))


@dataclass(frozen=True, slots=True)
class SpentTwice:
    """
    Two entries of a log that each end the same coin: spent by two orders; or spent, and replaced.

    A confirmed log convicts the bank: it confirms only what its own books published, and they spend a coin
    once. A signed log alone can't tell whether the bank published both, or the board and a holder of the
    coin, who can sign as often as he likes, made the second one up. The same order's entry twice ends
    nothing twice.
    """

    kind: ClassVar[Kind] = Kind.COIN_SPENT_TWICE
    log: ProvenLog
    leaves: Leaves

    def encode(self) -> bytes:
        return write_log(self.log) + self.leaves.encode()

    @classmethod
    def read(cls, reader: Reader) -> "SpentTwice":
        return cls(read_log(reader), Leaves.read(reader))

    def accused(self) -> Accused:
        return self.log.accused()

    def sentence(self) -> str:
        one, other = self.leaves.indexes[0], self.leaves.indexes[-1]
        return f"Entries {one} and {other} of the log both end one coin: it was given out twice."

    def objection(self, standing: Standing | None = None) -> str | None:
        false = log_objection(self.log, standing) or self.leaves.objection(self.log)
        if false is not None:
            return false
        entries = read_entries(self.leaves)
        if entries is None or len(entries) != 2:
            return "two entries are needed"
        if len({_ended(entry) for entry in entries}) != 1 or _ended(entries[0]) is None:
            return "the entries don't end one coin"
        spent = [entry for entry in entries if isinstance(entry, SpentEntry)]
        replaced = [entry for entry in entries if isinstance(entry, ReplacedEntry)]
        if len({entry.seal for entry in spent}) + bool(replaced) != 2:
            return "both entries are of one order"
        if not all(entry.holds() for entry in spent):
            return "a spent entry is not signed by its coin"
        if not isinstance(self.log, ConfirmedLog):
            return "whose coin was replaced can't be told without the bank's statement" if replaced else None
        standing = standing or Standing.founding(self.log.bank_key)
        if not all(entry.holds(self.log.bank_key, standing.bank) for entry in replaced):
            return "a replaced entry is not signed by the bank's key"
        # What comes second is the crime; and to a successor a coin that was replaced before him may be alive.
        own = [self.leaves.indexes[-1]]
        own += [at for at, entry in zip(self.leaves.indexes, entries, strict=True) if entry in replaced]
        return standing.objection(*own)


def _ended(entry: Entry) -> bytes | None:
    return entry.coin if isinstance(entry, SpentEntry | ReplacedEntry) else None


@dataclass(frozen=True, slots=True)
class EntryFalse:
    """
    An entry whose signature is false, in a log. Confirmed by the bank: a certificate, a spent or replaced
    coin, a key or a statement, which can come from nobody else. Only signed by the board: a spent coin, whose
    signature is judged without knowing the bank's key; and the board or its bank may have made it up.
    """

    kind: ClassVar[Kind] = Kind.ENTRY_FALSE
    log: ProvenLog
    leaves: Leaves

    def encode(self) -> bytes:
        return write_log(self.log) + self.leaves.encode()

    @classmethod
    def read(cls, reader: Reader) -> "EntryFalse":
        return cls(read_log(reader), Leaves.read(reader))

    def accused(self) -> Accused:
        return self.log.accused()

    def sentence(self) -> str:
        return f"Entry {self.leaves.indexes[0]} of the log bears a false signature."

    def objection(self, standing: Standing | None = None) -> str | None:
        false = log_objection(self.log, standing) or self.leaves.objection(self.log)
        if false is not None:
            return false
        entries = read_entries(self.leaves)
        if entries is None or len(entries) != 1:
            return "one entry is needed"
        key = self.log.bank_key if isinstance(self.log, ConfirmedLog) else None
        if key is not None:
            standing = standing or Standing.founding(key)
        if not is_false(entries[0], key, standing):
            return "the entry isn't shown to be false"
        return standing.objection(*self.leaves.indexes) if standing is not None else None


def is_false(entry: Entry, bank_key: bytes | None, standing: Standing | None = None) -> bool:
    """
    Whether an entry is one that this bank can't have given; without its key, one that no bank can have given.
    ``standing``: of the key, where it isn't the bank's founding one.

    Posted certificates are for anyone to give: a false one among them is the board's doing, not the bank's.
    """
    if isinstance(entry, SpentEntry):
        return not entry.holds()
    if bank_key is None or isinstance(entry, PostedEntry):
        return False
    bank = (standing or Standing.founding(bank_key)).bank
    if isinstance(entry, KeyEntry):
        return not entry.holds(bank)
    if isinstance(entry, StatementEntry):
        return not entry.statement.holds(bank_key, bank)
    return isinstance(entry, CertifiedEntry | ReplacedEntry) and not entry.holds(bank_key, bank)


def ordered(statements: list[BankStatement]) -> tuple[BankStatement, ...]:
    """Two statements as the evidence has them: by number, then by bytes."""
    return tuple(sorted(statements, key=lambda each: (each.sequence, each.signed_part())))
