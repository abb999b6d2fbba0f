"""
The first pass over a log, one chunk of leaves at a time: hashes, order, marks, every signature. Pure.

Chunks are worked on in any process and in any order; what their results say of each other (is the first mark
of one chunk the next after the last mark of another?) is the auditor's to compare. What is said of coins
leaves as *records*, to be sorted by coin in the second pass (``bank.board.audit.shard``).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct

from bank.board.audit.finding import Fault, Problems
from bank.board.log.tree import leaf_hash, parents
from bank.board.rounds import is_mark
from bank.formats.claim import Claim
from bank.formats.entry import (
    AccountEntry,
    AnswerEntry,
    CertifiedEntry,
    ClaimEntry,
    Entry,
    KeyChangeEntry,
    KeyEntry,
    Kind,
    MapEntry,
    ReplacedEntry,
    RoundEntry,
    SpentEntry,
    StatementEntry,
    TermsEntry,
    decode_entry,
)
from bank.formats.statement import BankStatement
from bank.formats.succession import BankKeys, KeyChange
from bank.formats.terms import PublishedTerms
from mixmint.errors import MalformedMessage

CHUNK = 4096
"""Leaves: whole blocks."""
BLOCK = 256
"""Leaves whose subtree's hash is kept: a bundle of the log, read again alone when it is needed."""
RECORD = Struct(">32sQBBI16s")
"""
Coin id 32, index 8, what the entry says of the coin 1, exponent 1, epoch 4, half of the seal that it was
spent under 16: sorted as bytes, by coin. Two seals that agree in half are 2**64 work.
"""
MARK = Struct(">QIQ")
"""A mark's index 8, its round's number 4, when that closed 8."""

CERTIFIED, SPENT, REPLACED = 1, 2, 3
"""What an entry says of its coin: the state of the map."""
VOID = 0x40
"""Added when a key signed it that another had replaced: it is nobody's crime, and counts for nothing."""
UNPROVED = 0x80
"""Added when its signature is false: the map has it all the same, and nothing else counts it."""

_KNOWN = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Leaves from ``first`` on, a multiple of CHUNK; fewer than CHUNK only at the log's end."""

    first: int
    leaves: Sequence[bytes]
    bank_key: bytes | None
    """The founding one. None as long as the log has no key of a bank: then there can be no entries of one."""
    changes: tuple[KeyChange, ...] = ()
    """Of that key, those that count."""


@dataclass(slots=True)
class Checked:
    """
    What a chunk comes to. ``blocks``: the hashes of its full blocks; ``rest``: of the leaves behind them.
    """

    first: int
    count: int
    blocks: list[bytes]
    rest: list[bytes]
    edges: tuple[bytes, bytes]
    """The first leaf and the last."""
    problems: Problems = field(default_factory=Problems)
    marks: bytes = b""
    """Packed, in order."""
    first_mark: RoundEntry | None = None
    records: dict[int, bytes] = field(default_factory=dict)
    """By shard, the first byte of the coin id."""
    landmarks: list[tuple[int, bytes]] = field(default_factory=list)
    """Statements of the bank's and map entries, with their indexes."""
    claims: list[tuple[int, bytes]] = field(default_factory=list)
    """
    True claims, answers, and what they are judged by: terms, accounts, changes of the bank's key and its
    later keys' own entries.
    """
    kinds: Counter[int] = field(default_factory=Counter)


def check_chunk(chunk: Chunk) -> Checked:
    """Check everything that can be told from these leaves alone."""
    leaves, first = chunk.leaves, chunk.first
    hashes = [leaf_hash(leaf) for leaf in leaves]
    full = len(hashes) // BLOCK * BLOCK
    blocks = hashes[:full]
    for _ in range(BLOCK.bit_length() - 1):
        blocks = parents(blocks)
    result = Checked(first, len(leaves), blocks, hashes[full:], (leaves[0], leaves[-1]))
    before = b""
    for index, leaf in enumerate(leaves, start=first):
        if before > leaf and not is_mark(before):
            result.problems.add(Fault.ORDER, index - 1, index)
        before = leaf
    _Reading(chunk, result).read()
    return result


def follows(before: tuple[int, int, int], index: int, mark: RoundEntry) -> bool:
    """Whether a mark is the next one after ``before``: index, number and time of closing."""
    last, number, closed_at_s = before
    return mark.number == number + 1 and mark.first == last + 1 and mark.closed_at_s >= closed_at_s


BEFORE_THE_FIRST = (-1, 0, 0)
"""What the mark of round 1 follows."""


class _Reading:
    """The pass over a chunk's entries."""

    def __init__(self, chunk: Chunk, result: Checked) -> None:
        self._chunk = chunk
        self._result = result
        self._problems = result.problems
        self._key = chunk.bank_key or bytes(32)
        self._keys = BankKeys(self._key, chunk.changes)
        self._bank = self._keys.id
        self._records: dict[int, list[bytes]] = {}
        self._marks: list[bytes] = []
        self._last_mark: tuple[int, int, int] | None = None

    def read(self) -> None:
        kinds = self._result.kinds
        for index, leaf in enumerate(self._chunk.leaves, start=self._chunk.first):
            try:
                entry = decode_entry(leaf)
            except MalformedMessage:
                if leaf and leaf[0] not in _KNOWN:
                    # A newer board's, perhaps. It is counted, so that nobody thinks it was checked.
                    kinds[leaf[0]] += 1
                else:
                    self._problems.add(Fault.MALFORMED, index)
                continue
            kinds[leaf[0]] += 1
            self._take(index, leaf, entry)
        self._result.records = {shard: b"".join(parts) for shard, parts in self._records.items()}
        self._result.marks = b"".join(self._marks)

    def _take(self, index: int, leaf: bytes, entry: Entry) -> None:
        if isinstance(entry, CertifiedEntry):
            self._coin(index, entry, CERTIFIED, self._signed(index, entry))
        elif isinstance(entry, SpentEntry):
            self._coin(index, entry, SPENT, 0 if entry.holds() else UNPROVED)
        elif isinstance(entry, ReplacedEntry):
            self._coin(index, entry, REPLACED, self._signed(index, entry))
        elif isinstance(entry, RoundEntry):
            self._mark(index, entry)
        elif isinstance(entry, MapEntry):
            self._result.landmarks.append((index, leaf))
        elif isinstance(entry, StatementEntry):
            if not self._signed(index, entry.statement):
                self._result.landmarks.append((index, leaf))
        elif isinstance(entry, KeyEntry):
            if not entry.holds(self._bank):
                self._problems.add(Fault.FALSE, index)
            elif entry.public in self._keys.all[1:]:
                self._result.claims.append((index, leaf))
        elif isinstance(entry, TermsEntry):
            if not self._signed(index, entry.terms):
                self._result.claims.append((index, leaf))
        elif isinstance(entry, AccountEntry | AnswerEntry | KeyChangeEntry) or self._counts(index, entry):
            self._result.claims.append((index, leaf))

    def _signed(
        self, index: int, what: CertifiedEntry | ReplacedEntry | BankStatement | PublishedTerms
    ) -> int:
        """0, when the key that counts at this leaf signed it; else UNPROVED or VOID, and a problem noted."""
        counting = self._keys.key_at(index)
        if what.holds(counting, self._bank):
            return 0
        earlier = self._keys.all[: self._keys.all.index(counting)]
        if any(what.holds(key, self._bank) for key in earlier):
            self._problems.add(Fault.VOID, index)
            return VOID
        self._problems.add(Fault.FALSE, index)
        return UNPROVED

    def _counts(self, index: int, entry: Entry) -> bool:
        """A claim that the bank owes an answer: by the key that counts there, or one before it."""
        if not isinstance(entry, ClaimEntry):
            return False
        keys = self._keys.all
        keys = keys[: keys.index(self._keys.key_at(index)) + 1]
        try:
            return Claim.decode(entry.body).objection(keys, self._bank) is None
        except MalformedMessage:
            return False

    def _coin(
        self, index: int, entry: CertifiedEntry | SpentEntry | ReplacedEntry, what: int, wrong: int
    ) -> None:
        what |= wrong
        coin = entry.coin
        if isinstance(entry, SpentEntry):
            if wrong:
                self._problems.add(Fault.FALSE, index)
            record = RECORD.pack(coin, index, what, 0, 0, entry.seal[:16])
        else:
            record = RECORD.pack(coin, index, what, entry.exponent, entry.epoch, b"")
        self._records.setdefault(coin[0], []).append(record)

    def _mark(self, index: int, mark: RoundEntry) -> None:
        if self._last_mark is None:
            self._result.first_mark = mark
        elif not follows(self._last_mark, index, mark):
            self._problems.add(Fault.MARK, self._last_mark[0], index)
        self._last_mark = (index, mark.number, mark.closed_at_s)
        self._marks.append(MARK.pack(*self._last_mark))
