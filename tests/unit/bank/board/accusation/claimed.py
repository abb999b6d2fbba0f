"""A log in which a claim stands without an answer, and what the bank signed for the one who claims."""

from collections.abc import Sequence
from pathlib import Path

from bank.board.accusation.claims import ClaimUnanswered
from bank.board.accusation.denied import ExecutionDenied
from bank.board.accusation.evidence import ConfirmedLog, Leaves, SignedLog
from bank.board.accusation.lies import AccountForked, AnswerFalse, Named
from bank.formats.account import NO_HEAD, Operation, Statement, sign_statement
from bank.formats.answer import Answer, Body, Refusal, Refused, Spent, sign_answer
from bank.formats.claim import Claim, ShownCertificate
from bank.formats.coin import CoinId, CoinKey, coin_id, sign_certificate
from bank.formats.entry import AnswerEntry, TermsEntry, make_key_entry
from bank.formats.order import NOTHING, Order, Output, sign_order
from bank.ledger import Terms
from mixmint.keys import SigningKey
from tests.unit.bank.board.accusation.cheats import BANK, BANK_ID, Shown

COIN = SigningKey(b"\3" * 32)
ACCOUNT = SigningKey(b"\4" * 32)
WANTED = CoinId(bytes(range(32)))
ROUNDS = 3


def claim(last_round: int = 100, epoch: int = 1, tau: bytes = NOTHING) -> Claim:
    """A coin of 8 units, certified in this epoch, that its holder wants exchanged (or held, with a tau)."""
    order = Order(BANK_ID, bytes(16), last_round, (CoinKey(COIN.public),), (Output(WANTED, 3),), tau=tau)
    shown = sign_certificate(BANK, BANK_ID, 3, epoch, coin_id(COIN.public))
    return Claim(sign_order(order, [COIN], bytes(16)), (ShownCertificate(3, epoch, shown),))


def answer(claim: Claim, body: Body, *, asked: bool = False) -> Answer:
    subject = claim.subject if asked else claim.answer_subject
    return Answer.decode(sign_answer(BANK, BANK_ID, subject, body))


class ClaimedLog(Shown):
    """
    Key and terms (and what was ``before``) in round 1, the claim in round 2, then rounds until its time is
    over, and one more.
    """

    def __init__(
        self, folder: Path, shown: Claim | None = None, *answers: bytes, before: Sequence[bytes] = ()
    ) -> None:
        super().__init__(folder)
        self.claim = shown or claim()
        terms = Terms(claim_rounds=ROUNDS).published(BANK, BANK_ID, 1)
        self.close([make_key_entry(BANK, BANK_ID).encode(), TermsEntry(terms).encode(), *before])
        self.close([self.claim.entry().encode()])
        self.at = self.leaves.index(self.claim.entry().encode())
        self.close(list(answers))
        for _ in range(ROUNDS):
            self.close([])

    def due(self) -> int:
        """The mark of the round by which an answer is due: rounds 2 + 3."""
        return self.mark(2 + ROUNDS)

    def mark(self, number: int) -> int:
        marks = [place for place, leaf in enumerate(self.leaves) if leaf[0] == 127]
        return marks[number - 1]

    def unanswered(self, last: int | None = None, *, confirmed: bool = False) -> ClaimUnanswered:
        """The accusation, with all leaves up to ``last``."""
        end = self.due() if last is None else last
        log: SignedLog | ConfirmedLog = self.confirmed() if confirmed else self.signed()
        return ClaimUnanswered(BANK.public, log, self._leaves(*range(self.at, end + 1)))

    def _leaves(self, *indexes: int) -> Leaves:
        return self.proof(1, *indexes)

    def expired(self, *leaves: int) -> AnswerFalse:
        """That *expired* is a lie, beside these leaves."""
        said = answer(self.claim, Refused(Refusal.EXPIRED_COIN, 0))
        where = self.signed(), self.proof(*leaves)
        return AnswerFalse(BANK.public, Named.CLAIM, self.claim, said, None, *where)

    def denied(self, first: bytes, last: bytes, *, confirmed: bool = False) -> ExecutionDenied:
        """That these answers, before the claim and behind it, can't both be."""
        places = self.leaves.index(first), self.at, self.leaves.index(last)
        log: SignedLog | ConfirmedLog = self.confirmed() if confirmed else self.signed()
        return ExecutionDenied(BANK.public, log, self.proof(*places))

    def lie(self, body: Body, named: Named = Named.CLAIM, *, log: bool = False) -> AnswerFalse:
        said = answer(self.claim, body, asked=named is Named.REQUEST)
        if not log:
            return AnswerFalse(BANK.public, named, self.claim, said)
        leaves = self.proof(self.at, self.mark(2))
        return AnswerFalse(BANK.public, named, self.claim, said, None, self.signed(), leaves)


def answered(claim: Claim, body: Body) -> bytes:
    return AnswerEntry(answer(claim, body).encode()).encode()


def executed(mine: Claim, subject: bytes = bytes(32)) -> bytes:
    """The bank's word, to somebody's question, that the claim's order spent its coin."""
    assert mine.order is not None
    spent = Spent(0, mine.order.order.inputs[0], mine.order.seal, mine.order.signatures[0])
    return AnswerEntry(sign_answer(BANK, BANK_ID, subject, spent)).encode()


def forked() -> AccountForked:
    """Two second statements of one account."""
    opened = Statement(BANK_ID, ACCOUNT.public, 1, Operation.OPENED, 0, 0, NOTHING, NO_HEAD, 0)
    two = [
        Statement(BANK_ID, ACCOUNT.public, 2, Operation.CREDIT, units, units, NOTHING, opened.head(), 0)
        for units in (8, 9)
    ]
    return AccountForked.of(BANK.public, *(sign_statement(BANK, each) for each in two))
