"""
Accusations of a bank by what it signed for one customer: a false answer, a forked account. Pure.

Source: docs/spec/accusation.md, section 5; what an answer may say: ``bank.claims.truth``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from bank.board.accusation.claims import read_leaf, terms_in
from bank.board.accusation.evidence import (
    ConfirmedLog,
    Leaves,
    ProvenLog,
    SignedLog,
    log_objection,
    read_log,
    read_sized,
    sized,
    write_log,
)
from bank.board.accusation.standing import Standing
from bank.board.accusation.verdict import Accused, Kind
from bank.claims.truth import Shown, falsehood
from bank.formats.account import SignedStatement, Statement
from bank.formats.answer import Answer, Refusal, Refused, Spent, Statements
from bank.formats.claim import Claim
from bank.formats.entry import AnswerEntry, RoundEntry
from bank.formats.fields import Reader
from bank.formats.request import Deposit, Replace
from bank.formats.terms import PublishedTerms
from mixmint.errors import MalformedMessage

SKEW_S = 7200
"""Seconds by which the clocks of bank and board may differ: an hour either way."""
_NEEDED = "the terms, the claim and a mark are needed, of a hold the answer before it"


class Named(IntEnum):
    """What a false answer names."""

    REQUEST = 1
    """The request itself: the bank was asked directly."""
    CLAIM = 2
    """The claim on the board, and all that it shows."""


@dataclass(frozen=True, slots=True)
class AnswerFalse:
    """
    An answer that no honest bank gives to a request: the bank's key 32; what it names 1; the claim's body and
    the answer, each with its length 2 before it; how many statements 1 (0 or 1) and that one (222), which the
    request names as its account's head; how many logs 1 (0 or 1), and that log and its leaves.

    Of the leaves the first is the claim and the next a mark, which says by which round it was there. To show
    *expired* false, the bank's terms before these two; of a claim that asks for a hold: terms, claim, answer
    and a mark behind it.
    """

    kind: ClassVar[Kind] = Kind.ANSWER_FALSE
    bank_key: bytes
    named: Named
    claim: Claim
    answer: Answer
    head: SignedStatement | None = None
    log: ProvenLog | None = None
    leaves: Leaves | None = None

    def encode(self) -> bytes:
        where = b"\x00"
        if self.log is not None and self.leaves is not None:
            where = b"\x01" + write_log(self.log) + self.leaves.encode()
        return b"".join(
            (
                self.bank_key,
                self.named.to_bytes(1),
                sized(self.claim.encode()),
                sized(self.answer.encode()),
                b"\x00" if self.head is None else b"\x01" + self.head.encode(),
                where,
            )
        )

    @classmethod
    def read(cls, reader: Reader) -> "AnswerFalse":
        """Raises MalformedMessage, ``counts`` for what is neither claim nor request, or there twice."""
        key, named = reader.take(32), reader.number(1)
        if named not in set(Named):
            raise MalformedMessage("counts")
        claim, answer = Claim.decode(read_sized(reader)), Answer.decode(read_sized(reader))
        head = SignedStatement.read(reader) if _flag(reader) else None
        if not _flag(reader):
            return cls(key, Named(named), claim, answer, head)
        return cls(key, Named(named), claim, answer, head, read_log(reader), Leaves.read(reader))

    def accused(self) -> Accused:
        # A board may show its bank the claim in another round than everyone else.
        board = self.log.board if isinstance(self.log, SignedLog) else None
        return Accused(board, self.bank_key)

    def sentence(self) -> str:
        body = self.answer.body
        said = type(body).__name__.lower()
        if isinstance(body, Refused):
            said = f"refused: {body.reason.name.lower().replace('_', ' ')}"
        what = "request" if self.named is Named.REQUEST else "claim of"
        return f"The bank answered the {what} {self.claim.subject.hex()} with a lie: {said}."

    def objection(self, standing: Standing | None = None) -> str | None:
        standing = standing or Standing.founding(self.bank_key)
        bank = standing.bank
        false = self.claim.objection(self.bank_key, bank)
        if false is not None:
            return false
        subject = self.claim.subject if self.named is Named.REQUEST else self.claim.answer_subject
        if self.answer.subject != subject:
            return "the answer belongs to another request"
        if not self.answer.holds(self.bank_key, bank):
            return "the answer is not signed by the bank's key"
        head = None
        if self.head is not None:
            head = head_of(self.claim, self.head, self.bank_key)
            if head is None:
                return "the statement is not the one that the request names"
        round_ = 0
        if self.log is not None and self.leaves is not None:
            objection = self._of_log(self.log, self.leaves, standing)
            if objection is not None:
                return objection
            if _says_expired(self.answer) and self.claim.hold is None:
                return self._age(self.leaves, bank)
            round_ = self._round(self.leaves.leaves)
            if not round_:
                return "the claim's round is not shown"
        asked = self.named is Named.REQUEST
        lie = falsehood(Shown(self.claim, self.bank_key, bank, round_, head, asked), self.answer.body)
        if lie is None or (standing.is_successor and self._may_be_all_he_knows()):
            return "the answer may be true"
        return None

    def _may_be_all_he_knows(self) -> bool:
        """
        Whether a successor may say so where a bank that began itself may not: *spent* by the very order, of
        which he knows only what the board shows; a chain that begins where the list of accounts did; that a
        coin is unknown which a listed withdrawal made, and the board never showed.
        """
        body, order = self.answer.body, self.claim.order
        if isinstance(self.claim.request, Replace) and isinstance(body, Refused):
            return body.reason is Refusal.UNKNOWN_CERTIFICATE
        if isinstance(body, Statements):
            return self.head is None
        return type(body) is Spent and order is not None and body.seal == order.seal

    def _of_log(self, log: ProvenLog, leaves: Leaves, standing: Standing) -> str | None:
        """
        What a log adds is when the claim was there. That is the board's word alone: it may show one claim in
        two rounds, and what a bank answers to it in the one is beside the other no lie of the bank's.
        """
        if isinstance(log, ConfirmedLog):
            return "only the board can say when the claim was there"
        return log_objection(log, standing) or leaves.objection(log) or standing.objection(*leaves.indexes)

    def _round(self, leaves: Sequence[tuple[int, bytes]]) -> int:
        """The round that the claim is in, if these are the claim and its round's mark; else 0."""
        if len(leaves) != 2:
            return 0
        (index, leaf), (mark_index, other) = leaves
        mark = read_leaf(other)
        if leaf != self.claim.entry().encode() or not isinstance(mark, RoundEntry):
            return 0
        return mark.number if mark.first <= index < mark_index else 0

    def _age(self, leaves: Leaves, bank: bytes) -> str | None:
        """
        None when the coin called expired wasn't, by the board's clock when the claim's round closed: else a
        bank could wait until its coins are too old. A hold begins when it is answered, so what counts of one
        that is asked for is the time by which the answer was there.

        That clock is the board's word, and a bank that confirms its log doesn't vouch for it.
        """
        body = self.answer.body
        shown = leaves.bytes
        if self.named is not Named.CLAIM or not isinstance(body, Refused):
            return _NEEDED
        terms, mark = terms_in(shown[:1], self.bank_key, bank), read_leaf(shown[-1])
        if terms is None or not isinstance(mark, RoundEntry) or body.index >= len(self.claim.certificates):
            return _NEEDED
        if self.claim.asks_for_hold:
            answer = AnswerEntry(self.answer.encode()).encode()
            if len(shown) != 4 or shown[1:3] != (self.claim.entry().encode(), answer):
                return _NEEDED
        elif not self._round(leaves.leaves[1:]):
            return _NEEDED
        lived = (mark.closed_at_s + SKEW_S) // terms.epoch_s - self.claim.certificates[body.index].epoch
        return None if lived < _usable_epochs(self.claim, terms) else "the answer may be true"


def _usable_epochs(claim: Claim, terms: PublishedTerms) -> int:
    """For how many epochs a coin can be used so: held, deposited, or exchanged."""
    if claim.asks_for_hold:
        return terms.life_epochs - 1
    if isinstance(claim.request, Deposit):
        return terms.life_epochs
    return terms.life_epochs + terms.grace_epochs


def _says_expired(answer: Answer) -> bool:
    return isinstance(answer.body, Refused) and answer.body.reason is Refusal.EXPIRED_COIN


def head_of(claim: Claim, head: SignedStatement, bank_key: bytes) -> Statement | None:
    """The statement that the claim's request names as its account's head, if this is it."""
    if claim.account is None or not head.holds(bank_key):
        return None
    asked, statement = claim.account.request, head.statement
    same = (statement.bank, statement.account) == (asked.bank, asked.account)
    is_head = statement.head() == asked.head and statement.sequence == asked.sequence - 1
    return statement if same and is_head else None


def _flag(reader: Reader) -> bool:
    """Raises MalformedMessage("counts")."""
    flag = reader.number(1)
    if flag > 1:
        raise MalformedMessage("counts")
    return bool(flag)


@dataclass(frozen=True, slots=True)
class AccountForked:
    """
    Two statements of one account that can't stand in one chain: two with one number, or one after the other
    that doesn't follow. The bank's key 32, the signed statements 222 each, by ascending number and bytes.
    """

    kind: ClassVar[Kind] = Kind.ACCOUNT_FORKED
    bank_key: bytes
    one: SignedStatement
    other: SignedStatement

    def encode(self) -> bytes:
        return self.bank_key + self.one.encode() + self.other.encode()

    @classmethod
    def read(cls, reader: Reader) -> "AccountForked":
        return cls(reader.take(32), SignedStatement.read(reader), SignedStatement.read(reader))

    @classmethod
    def of(cls, bank_key: bytes, one: SignedStatement, other: SignedStatement) -> "AccountForked":
        """In the order that the evidence has them."""
        first, second = sorted((one, other), key=_place)
        return cls(bank_key, first, second)

    def accused(self) -> Accused:
        return Accused(bank=self.bank_key)

    def sentence(self) -> str:
        one, other = self.one.statement, self.other.statement
        return (
            f"The bank signed statements {one.sequence} and {other.sequence} of account "
            f"{one.account.hex()}, which can not both stand in its chain."
        )

    def objection(self, standing: Standing | None = None) -> str | None:
        bank = (standing or Standing.founding(self.bank_key)).bank
        one, other = self.one.statement, self.other.statement
        if not (self.one.holds(self.bank_key) and self.other.holds(self.bank_key)):
            return "a statement is not signed by the bank's key"
        if _place(self.one) >= _place(self.other):
            return "the statements stand in the wrong order"
        if (one.bank, one.account) != (other.bank, other.account) or one.bank != bank:
            return "the statements are not of one account at this bank"
        if one.sequence == other.sequence:
            return None if one != other else "it is one statement"
        if other.sequence != one.sequence + 1:
            return "the statements are not neighbours"
        return "one follows the other" if other.follows(one) else None


def _place(signed: SignedStatement) -> tuple[int, bytes]:
    return signed.statement.sequence, signed.encode()
