"""
Accusations of a bank that says here that an order was executed, and there that it wasn't. Pure.

Source: docs/spec/accusation.md, section 5; docs/spec/claim.md, section 7.
"""

from dataclasses import dataclass
from typing import ClassVar

from bank.board.accusation.claims import read_claim, read_leaf
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
from bank.formats.answer import (
    Answer,
    Body,
    Certificates,
    CertifiedBefore,
    Held,
    Refusal,
    Refused,
    Spent,
    Taken,
)
from bank.formats.claim import Claim
from bank.formats.entry import AnswerEntry, Entry
from bank.formats.fields import Reader
from bank.formats.order import SignedOrder
from mixmint.errors import MalformedMessage


@dataclass(frozen=True, slots=True)
class ExecutionDenied:
    """
    The bank said *spent*, by an order's signature for one of its coins; then somebody claimed that order, and
    the bank answered with something else than its certificates. The bank's key 32; the log; three leaves: the
    bank's answer that says *spent*, the claim, the bank's answer to it.

    An order is executed whole, by the transaction that spends its coins; what was answered before the claim
    was on the board was decided before the claim was. So an honest bank has the order's certificates, and the
    claim brings all that they need. Only when the coins have expired since, and their spending is forgotten,
    it says so instead; whether that is true is judged by the terms.

    A board could show a claim and its answer a second time, behind the order's execution; and a bank that
    confirms such a log doesn't vouch for when it answered. So it alone is convicted by what is final only.

    Who has signed an order that came to nothing can have its signature shown against him for ever: *spent*,
    by an order that nobody ever sees. This takes the order out of the dark.
    """

    kind: ClassVar[Kind] = Kind.EXECUTION_DENIED
    bank_key: bytes
    log: ProvenLog
    leaves: Leaves

    def encode(self) -> bytes:
        return self.bank_key + write_log(self.log) + self.leaves.encode()

    @classmethod
    def read(cls, reader: Reader) -> "ExecutionDenied":
        return cls(reader.take(32), read_log(reader), Leaves.read(reader))

    def accused(self) -> Accused:
        # A board alone may have shown its bank another order of things.
        board = self.log.board if isinstance(self.log, SignedLog) else None
        return Accused(board, self.bank_key)

    def sentence(self) -> str:
        claim = read_claim(self.leaves.bytes[1]) if len(self.leaves.leaves) > 1 else None
        subject = claim.subject.hex() if claim else "of nobody"
        return f"The bank said that order {subject} had spent its coins, and denied it when that was claimed."

    def objection(self, standing: Standing | None = None) -> str | None:
        standing = standing or Standing.founding(self.bank_key)
        if standing.is_successor:
            return "of what its predecessor executed a successor knows only what the board shows"
        false = log_objection(self.log, standing) or self.leaves.objection(self.log)
        if false is not None:
            return false
        if isinstance(self.log, ConfirmedLog) and self.log.bank_key != self.bank_key:
            return "another bank confirmed the log"
        if len(self.leaves.leaves) != 3:
            return "an answer, a claim and an answer are needed"
        first, claimed, last = self.leaves.bytes
        said, answered = (_answer(read_leaf(leaf), self.bank_key, standing.bank) for leaf in (first, last))
        claim = read_claim(claimed)
        if said is None or claim is None or answered is None:
            return "an answer, a claim and an answer are needed"
        if answered.subject != claim.answer_subject:
            return "the answer belongs to another claim"
        if not says_executed(said.body, claim):
            return "the bank did not say that this order was executed"
        is_said = denies_for_good if isinstance(self.log, ConfirmedLog) else denies
        return None if is_said(answered.body) else "the answer may be true"


def says_executed(body: Body, claim: Claim) -> bool:
    """Whether an answer of the bank's is its word that a claim's order has spent its coins."""
    order = claim.request
    if not isinstance(order, SignedOrder) or not isinstance(body, Spent) or isinstance(body, Held):
        return False
    return body.seal == order.seal and body.coin_key in order.order.inputs and body.proves()


def denies(body: Body) -> bool:
    """Whether an answer to the claim of an order that was executed can't be."""
    is_over = isinstance(body, Refused) and body.reason is Refusal.EXPIRED_COIN
    return not isinstance(body, Certificates) and not is_over


def denies_for_good(body: Body) -> bool:
    """Whether it can't be, whichever was said first: a coin was spent otherwise, an id certified before."""
    if isinstance(body, Taken):
        return isinstance(body.proof, CertifiedBefore)
    return isinstance(body, Spent) and not isinstance(body, Held)


def _answer(entry: Entry | None, bank_key: bytes, bank: bytes) -> Answer | None:
    if not isinstance(entry, AnswerEntry):
        return None
    try:
        answer = Answer.decode(entry.body)
    except MalformedMessage:
        return None
    return answer if answer.holds(bank_key, bank) else None
