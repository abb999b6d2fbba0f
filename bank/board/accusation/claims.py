"""
Accusations about claims that the bank left without an answer. Pure.

Who is accused of silence depends on who signed for the log. The board's checkpoint shows that no answer is
there; the board may have kept one back, so it was the board or the bank. A bank's own statement that confirms
the log beyond the claim's time shows more: the bank makes none while an answer of its own isn't public there.

Source: docs/spec/accusation.md, section 5; docs/spec/claim.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bank.board.accusation.evidence import (
    ConfirmedLog,
    Leaves,
    ProvenLog,
    SignedLog,
    log_objection,
    read_log,
    write_log,
)
from bank.board.accusation.standing import Standing
from bank.board.accusation.verdict import Accused, Kind
from bank.formats.answer import Answer
from bank.formats.claim import Claim
from bank.formats.coin import bank_id
from bank.formats.entry import (
    AccountEntry,
    AnswerEntry,
    CertifiedEntry,
    ClaimEntry,
    Entry,
    KeyChangeEntry,
    RoundEntry,
    TermsEntry,
    decode_entry,
)
from bank.formats.fields import Reader
from bank.formats.terms import PublishedTerms
from mixmint.errors import MalformedMessage


def read_claim(leaf: bytes) -> Claim | None:
    """The claim that a leaf is, if it is one."""
    entry = read_leaf(leaf)
    try:
        return Claim.decode(entry.body) if isinstance(entry, ClaimEntry) else None
    except MalformedMessage:
        return None


def read_leaf(leaf: bytes) -> Entry | None:
    """The entry that a leaf is; None for one that can't be read here."""
    try:
        return decode_entry(leaf)
    except MalformedMessage:
        return None


def answers_claim(entry: Entry | None, claim: Claim, bank_key: bytes, bank: bytes | None = None) -> bool:
    """
    Whether an entry is the bank's answer to this very claim, true or false. ``bank``: its id, where the key
    isn't its founding one.
    """
    answer = _naming(entry, claim)
    return answer is not None and answer.holds(bank_key, bank_id(bank_key) if bank is None else bank)


def _naming(entry: Entry | None, claim: Claim) -> Answer | None:
    """The answer that an entry is, if it names this claim, whoever signed it."""
    if not isinstance(entry, AnswerEntry):
        return None
    try:
        answer = Answer.decode(entry.body)
    except MalformedMessage:
        return None
    return answer if answer.subject == claim.answer_subject else None


def wanted_of(claim: Claim) -> frozenset[tuple[bytes, int]]:
    """
    The coins (id, exponent) whose certificates answer it; none when only an answer does: an account's holder
    needs the statement too, and a hold certifies nothing.
    """
    if claim.account is not None or claim.order is None or claim.asks_for_hold:
        return frozenset()
    return frozenset((output.coin, output.exponent) for output in claim.order.order.outputs)


@dataclass(frozen=True, slots=True)
class ClaimUnanswered:
    """
    A claim, and every leaf behind it up to the end of its time, or of what the bank confirmed: none of them
    answers it. The bank's key 32; the log; the leaves: terms of the bank's; of an account's claim its
    account; then the claim and all that follow it without a gap.

    Any terms from before the claim will do: the bank must keep the shortest time that it ever promised, so
    older terms can only give it more.
    """

    kind: ClassVar[Kind] = Kind.CLAIM_UNANSWERED
    bank_key: bytes
    log: ProvenLog
    leaves: Leaves

    def encode(self) -> bytes:
        return self.bank_key + write_log(self.log) + self.leaves.encode()

    @classmethod
    def read(cls, reader: Reader) -> "ClaimUnanswered":
        return cls(reader.take(32), read_log(reader), Leaves.read(reader))

    def accused(self) -> Accused:
        if isinstance(self.log, SignedLog):
            return Accused(self.log.board, self.bank_key)
        return Accused(bank=self.bank_key)

    @property
    def _begin(self) -> int:
        """Where the claim stands among the leaves; -1 when it doesn't."""
        found = [place for place, leaf in enumerate(self.leaves.bytes[:3]) if read_claim(leaf) is not None]
        return found[0] if found else -1

    def sentence(self) -> str:
        begin = self._begin
        claim = read_claim(self.leaves.bytes[begin]) if begin >= 0 else None
        marks = [entry.number for entry in map(read_leaf, self.leaves.bytes) if isinstance(entry, RoundEntry)]
        subject = claim.subject.hex() if claim else "nobody"
        since = f"round {marks[0]}" if marks else "no round"
        return f"The claim of {subject}, on the board in {since}, was not answered there in its time."

    def objection(self, standing: Standing | None = None) -> str | None:
        standing = standing or Standing.founding(self.bank_key)
        false = log_objection(self.log, standing) or self.leaves.objection(self.log)
        if false is not None:
            return false
        if isinstance(self.log, ConfirmedLog) and self.log.bank_key != self.bank_key:
            return "another bank confirmed the log"
        begin = self._begin
        claim = read_claim(self.leaves.bytes[begin]) if begin >= 0 else None
        if claim is None:
            return "there is no claim where it should stand"
        terms = terms_in(self.leaves.bytes[:begin], self.bank_key, standing.bank)
        if terms is None:
            return "the bank's terms are not shown"
        return (
            standing.objection(self.leaves.indexes[begin])
            or self._debt(claim, begin, standing)
            or self._silence(claim, begin, terms.claim_rounds, standing)
        )

    def _debt(self, claim: Claim, begin: int, standing: Standing) -> str | None:
        """None when the bank owes an answer: of a coin by an earlier key it must at least say *unknown*."""
        false = claim.objection((*standing.earlier, self.bank_key), standing.bank)
        if false is not None:
            return false
        if claim.account is not None:
            entries = [read_leaf(leaf) for leaf in self.leaves.bytes[:begin]]
            if AccountEntry(claim.account.request.account) not in entries:
                return "the claim's account is not on the board"
        return None

    def _silence(self, claim: Claim, begin: int, rounds: int, standing: Standing) -> str | None:
        """None when all leaves of the claim's time are shown, and none answers it."""
        indexes = self.leaves.indexes[begin:]
        if indexes[-1] - indexes[0] != len(indexes) - 1:
            return "leaves are left out"
        entries = [read_leaf(leaf) for leaf in self.leaves.bytes[begin:]]
        marks = [entry for entry in entries if isinstance(entry, RoundEntry)]
        if not marks or marks[0].first > indexes[0] or marks[-1].number < marks[0].number + rounds:
            return "the claim's time is not over"
        if isinstance(self.log, ConfirmedLog) and indexes[-1] != self.log.size - 1:
            return "not all is shown that the bank confirmed"
        unclear = None if isinstance(self.log, ConfirmedLog) else _answered_by_another(claim, entries)
        return unanswered(claim, entries, self.bank_key, standing.bank) or unclear


def _answered_by_another(claim: Claim, entries: Sequence[Entry | None]) -> str | None:
    """
    None when nobody answered at all. The bank's key may have been changed before the claim, where these
    leaves don't show it; then what its successor answered is signed by his key. A statement by this key rules
    that out, the board's signature doesn't.
    """
    wanted = wanted_of(claim)
    shown = {(entry.coin, entry.exponent) for entry in entries if isinstance(entry, CertifiedEntry)}
    if any(_naming(entry, claim) for entry in entries) or (wanted and wanted <= shown):
        return "another key answered it; only the whole log shows whether that was the bank's by then"
    return None


def unanswered(claim: Claim, entries: Sequence[Entry | None], bank_key: bytes, bank: bytes) -> str | None:
    """None when none of these entries, from the claim on, answers it, and all of them together don't."""
    if any(isinstance(entry, KeyChangeEntry) for entry in entries):
        return "the bank's key was changed meanwhile"
    if any(answers_claim(entry, claim, bank_key, bank) for entry in entries):
        return "the claim was answered"
    wanted = wanted_of(claim)
    shown = {
        (entry.coin, entry.exponent)
        for entry in entries
        if isinstance(entry, CertifiedEntry)
        and (entry.coin, entry.exponent) in wanted
        and entry.holds(bank_key, bank)
    }
    return "the claim was answered by certificates" if wanted and shown == wanted else None


def terms_in(leaves: Sequence[bytes], bank_key: bytes, bank: bytes) -> PublishedTerms | None:
    """The terms of the bank with this key and id, if the first such entry among these leaves has them."""
    for leaf in leaves:
        entry = read_leaf(leaf)
        if isinstance(entry, TermsEntry):
            terms = entry.terms
            return terms if terms.holds(bank_key, bank) else None
    return None
