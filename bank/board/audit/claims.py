"""
Claims: whether each true one is answered in time, and whether what the bank answered may be true.

A claim is answered by the bank's answer that names it, or by certificates for all that its order asks for,
published or posted after it. Late is told from never: what came late is no proof against anybody, since the
board may have kept it back. What didn't come at all, when its time was over, accuses the board or the bank;
and the bank alone once a statement of its own confirms so much of the log.

Only true claims are debts: a board that puts in others can't make a bank look silent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bank.board.accusation.claims import ClaimUnanswered, answers_claim, read_claim, read_leaf, wanted_of
from bank.board.accusation.denied import ExecutionDenied
from bank.board.accusation.evidence import ProvenLog
from bank.board.accusation.file import Evidence
from bank.board.accusation.lies import AnswerFalse, Named
from bank.board.audit.chunk import CERTIFIED, RECORD
from bank.board.audit.convict import MOST_PROVED, Prosecutor
from bank.board.audit.finding import Fault, Finding, Weight
from bank.board.audit.replay import Replay
from bank.board.audit.shown import says_more
from bank.board.audit.spill import Spilled, read_shards
from bank.formats.answer import Answer, Refusal, Refused, Spent
from bank.formats.claim import Claim
from bank.formats.coin import bank_id
from bank.formats.entry import AccountEntry, AnswerEntry, ClaimEntry, KeyChangeEntry, TermsEntry
from bank.formats.request import Replace
from bank.formats.terms import PublishedTerms
from bank.ledger.terms import Terms
from mixmint.errors import MalformedMessage

MOST_SHOWN = 8
"""Claims that get a file; the rest are counted."""
MOST_EVIDENCE_BYTES = 11 << 20
"""Of leaves in one file, which is longer by a third."""


@dataclass
class _Debt:
    """
    A true claim: its leaf, its round, by when it is due; and a leaf with terms by the very key that owes the
    answer (-1: it published none before), with the round that these say.
    """

    leaf: int
    round: int
    due: int
    terms: int
    said: int
    account: int = -1
    """The leaf that opened the account, of an account's claim."""
    wanted: frozenset[tuple[bytes, int]] = field(default_factory=frozenset)
    shown: dict[tuple[bytes, int], int] = field(default_factory=dict)
    """Where each certificate that it asks for stands, first."""


class Claims:
    """The checks of all claims of one log."""

    def __init__(self, spilled: Spilled, replay: Replay, prosecutor: Prosecutor) -> None:
        self._spilled = spilled
        self._replay = replay
        self._prosecutor = prosecutor
        self._key = replay.bank_key
        self.findings: list[Finding] = []
        self.unjudged = 0
        """Claims from before the bank's first terms: nothing was promised yet."""
        self.open = 0
        """Claims whose time isn't over."""
        self._more = 0
        self._executed: dict[bytes, int] = {}
        """The first answer that says of an order (its seal) that it spent a coin."""

    async def judge(self) -> None:
        """Raises Unavailable, PeerError: the log can't be read again."""
        if self._key is None:
            return
        debts = await self._read(self._key)
        self._look_for_certificates(debts)
        for subject, debt in debts.items():
            await self._judge_debt(subject, debt)
        if self._more:
            self.findings.append(
                Finding(Weight.CHEAT, Fault.CLAIM, f"{self._more} more claims without a true answer.")
            )

    async def _read(self, key: bytes) -> dict[bytes, _Debt]:
        """The claims without an answer, by what their answer would name; answers are judged on the way."""
        debts: dict[bytes, _Debt] = {}
        claims: dict[bytes, int] = {}
        accounts: dict[bytes, int] = {}
        shortest = 0
        by_key: dict[bytes | None, tuple[int, int]] = {}
        newest: PublishedTerms | None = None
        for index, leaf in self._spilled.claims():
            entry = read_leaf(leaf)
            if isinstance(entry, TermsEntry):
                self._compare_terms(newest, entry.terms)
                newest = entry.terms
                # The shortest counts, as anyone may be shown any of them.
                rounds, signer = entry.terms.claim_rounds, self._replay.key_at(index)
                shortest = min(shortest or rounds, rounds)
                if signer not in by_key or rounds < by_key[signer][1]:
                    by_key[signer] = index, rounds
            elif isinstance(entry, AccountEntry):
                accounts.setdefault(entry.account, index)
            elif isinstance(entry, KeyChangeEntry):
                # Who owes what after a change is for its own rules (docs/spec/succession.md). One that
                # doesn't count changes nothing: any board can make that up.
                part = entry.change.signed_part()
                if any(each.signed_part() == part for each in self._replay.changes):
                    debts.clear()
            elif isinstance(entry, ClaimEntry):
                claim = read_claim(leaf)
                if claim is not None:
                    claims[claim.subject] = claims[claim.answer_subject] = index
                    own = by_key.get(self._replay.key_at(index), (-1, shortest))
                    self._owe(debts, claim, index, accounts, own, shortest)
            elif isinstance(entry, AnswerEntry):
                await self._answer(entry, index, claims, debts, key)
        return debts

    def _compare_terms(self, before: PublishedTerms | None, terms: PublishedTerms) -> None:
        """docs/spec/terms.md, sections 2 and 3. The same again is a board's repetition, and takes nothing."""
        if before is None or terms == before:
            return
        objection = Terms.of(terms).objection_after(Terms.of(before))
        if terms.number != before.number + 1:
            objection = f"they follow number {before.number}"
        if objection:
            what = f"The bank's terms number {terms.number} can't be: {objection}."
            self.findings.append(Finding(Weight.CHEAT, Fault.TERMS, what, "the board, or its bank"))

    def _owe(
        self,
        debts: dict[bytes, _Debt],
        claim: Claim,
        index: int,
        accounts: dict[bytes, int],
        own: tuple[int, int],
        shortest: int,
    ) -> None:
        place = self._spilled.round_of(index)
        if not shortest or place is None:
            self.unjudged += 1
            return
        account = -1
        if claim.account is not None:
            account = accounts.get(claim.account.request.account, -1)
            if account < 0:
                return
        terms, rounds = own
        due, said = place.number + shortest, place.number + rounds
        debt = _Debt(index, place.number, due, terms, said, account, wanted_of(claim))
        debts.setdefault(claim.answer_subject, debt)

    async def _answer(
        self,
        entry: AnswerEntry,
        index: int,
        claims: dict[bytes, int],
        debts: dict[bytes, _Debt],
        key: bytes,
    ) -> None:
        try:
            answer = Answer.decode(entry.body)
        except MalformedMessage:
            return
        signer, bank = self._replay.key_at(index), bank_id(key)
        if signer is None or not answer.holds(signer, bank):
            # Any board can put that in; and what an earlier key signed is void behind its cut.
            return
        if type(answer.body) is Spent and answer.body.proves():
            self._executed.setdefault(answer.body.seal, index)
        at = claims.get(answer.subject)
        claim = None if at is None else read_claim(await self._replay.leaf(at))
        if at is None or claim is None:
            return
        debt = debts.get(answer.subject)
        if debt is not None and answers_claim(entry, claim, signer, bank):
            del debts[answer.subject]
            self._late(debt, index, claim.subject)
        evidence = await self._lie(claim, answer, at, index, debt, signer)
        evidence = evidence or await self._denial(claim, answer, at, index, signer)
        if evidence is not None or self._ended_nowhere(claim, answer) or _denies_account(debt, answer):
            words = f"the answer at entry {index} to the claim of {claim.subject.hex()} is false"
            self._add(self._prosecutor.finding(Fault.CLAIM, evidence, words))

    def _late(self, debt: _Debt, index: int, subject: bytes) -> None:
        place = self._spilled.round_of(index)
        if place is not None and place.number > debt.due:
            words = (
                f"the claim of {subject.hex()} was due by round {debt.due} and was answered in round "
                f"{place.number}: the bank was late, or its board was."
            )
            self._add(Finding(Weight.LATE, Fault.CLAIM, words))

    async def _lie(
        self, claim: Claim, answer: Answer, at: int, index: int, debt: _Debt | None, key: bytes
    ) -> Evidence | None:
        """The accusation, if the answer is provably false."""
        named = Named.CLAIM if answer.subject == claim.answer_subject else Named.REQUEST
        alone = await self._prosecutor.proven(AnswerFalse(key, named, claim, answer))
        if alone is not None:
            return alone
        if named is Named.REQUEST:
            return None
        place, behind = self._spilled.round_of(at), self._spilled.round_of(index)
        if place is None or behind is None:
            return None
        groups: list[Sequence[int]] = [(at, place.mark)]
        if debt is not None and debt.terms >= 0:
            # Of *expired*: how old a coin was when it was claimed; for a hold, when that was answered.
            until = (index, behind.mark) if claim.asks_for_hold else (place.mark,)
            groups.append((debt.terms, at, *until))
        for indexes in groups:
            for log in self._prosecutor.logs(max(indexes)):
                leaves = await self._prosecutor.leaves(log.size, indexes)
                lie = AnswerFalse(key, named, claim, answer, None, log, leaves)
                evidence = await self._prosecutor.proven(lie) if leaves else None
                if evidence is not None:
                    return evidence
        return None

    def _ended_nowhere(self, claim: Claim, answer: Answer) -> bool:
        """
        Whether the bank says of a coin to be replaced that it has ended, and the log shows no end of it. By
        then its epoch has been over for long, so no entry of it can be on its way.
        """
        body = answer.body
        if not isinstance(claim.request, Replace) or not isinstance(body, Refused):
            return False
        outputs = claim.request.signed.request.outputs
        if body.reason is not Refusal.ENDED_COIN or body.index >= len(outputs):
            return False
        coin, size = outputs[body.index].coin, self._replay.size
        return says_more(coin, CERTIFIED, size, self._spilled) is None

    async def _denial(self, claim: Claim, answer: Answer, at: int, index: int, key: bytes) -> Evidence | None:
        """The accusation, if the bank had said before that this very order was executed."""
        before = self._executed.get(claim.subject)
        if before is None or before >= at:
            return None
        for log in self._prosecutor.logs(index):
            leaves = await self._prosecutor.leaves(log.size, (before, at, index))
            denied = ExecutionDenied(key, log, leaves) if leaves else None
            evidence = await self._prosecutor.proven(denied)
            if evidence is not None:
                return evidence
        return None

    def _look_for_certificates(self, debts: dict[bytes, _Debt]) -> None:
        """Find the certificates that answer claims: one pass over the shards that they are in."""
        by_coin: dict[bytes, list[_Debt]] = {}
        for debt in debts.values():
            for coin, _ in debt.wanted:
                by_coin.setdefault(coin, []).append(debt)
        for shard in sorted({coin[0] for coin in by_coin}):
            for records in read_shards(self._spilled.folder, shard, 1):
                for coin, index, what, exponent, _, _ in RECORD.iter_unpack(records):
                    if what == CERTIFIED and coin in by_coin:
                        _note(by_coin[coin], coin, exponent, index)

    async def _judge_debt(self, subject: bytes, debt: _Debt) -> None:
        if debt.wanted and debt.shown.keys() == debt.wanted:
            claim = read_claim(await self._replay.leaf(debt.leaf))
            self._late(debt, max(debt.shown.values()), claim.subject if claim else subject)
            return
        due = self._due(debt)
        if due is None or self._replay.last_mark[1] < due:
            self.open += 1
            return
        if len(self.findings) >= MOST_SHOWN:
            self._more += 1
            return
        evidence = await self._unanswered(debt)
        words = (
            f"the claim at entry {debt.leaf}, of round {debt.round}, had no answer by round {due}, nor "
            "has it any now"
        )
        self._add(self._prosecutor.finding(Fault.CLAIM, evidence, words))

    def _due(self, debt: _Debt) -> int | None:
        """
        The round by which it must be answered; None: not yet. A successor begins when his books are made, and
        owes what was claimed before from then on.
        """
        key = self._replay.key_at(debt.leaf)
        if key is None or key == self._key:
            return debt.due
        began = self._prosecutor.began(key)
        place = None if began < 0 else self._spilled.round_of(began)
        return None if place is None else max(debt.due, place.number + debt.due - debt.round)

    async def _unanswered(self, debt: _Debt) -> Evidence | None:
        """All leaves of the claim's time in one file, if they fit."""
        key = self._replay.key_at(debt.leaf)
        if debt.terms < 0 or debt.said > self._spilled.rounds or key is None:
            return None
        place = self._spilled.place(debt.said - 1)
        if place.number != debt.said:
            return None
        before = [debt.terms] if debt.account < 0 else sorted((debt.terms, debt.account))
        confirmed = self._prosecutor.confirmed(place.mark)
        logs: list[tuple[ProvenLog, int]] = [(confirmed, confirmed.size - 1)] if confirmed else []
        logs.append((self._prosecutor.signed, place.mark))
        for log, last in logs:
            indexes = [*before, *range(debt.leaf, last + 1)]
            if len(indexes) > MOST_PROVED:
                continue
            leaves = await self._prosecutor.leaves(log.size, indexes)
            if leaves is None or sum(map(len, leaves.bytes)) > MOST_EVIDENCE_BYTES:
                continue
            evidence = await self._prosecutor.proven(ClaimUnanswered(key, log, leaves))
            if evidence is not None:
                return evidence
        return None

    def _add(self, finding: Finding) -> None:
        if len(self.findings) < MOST_SHOWN:
            self.findings.append(finding)
        elif finding.weight is Weight.CHEAT:
            self._more += 1


def _denies_account(debt: _Debt | None, answer: Answer) -> bool:
    """Whether the bank says to a claim that there is no such account, whose opening stands before it."""
    is_denied = isinstance(answer.body, Refused) and answer.body.reason is Refusal.NO_ACCOUNT
    return is_denied and debt is not None and debt.account >= 0


def _note(debts: Sequence[_Debt], coin: bytes, exponent: int, index: int) -> None:
    """A certificate stands at ``index``: the first one behind a claim of its coin is what answers that."""
    for debt in debts:
        if index > debt.leaf and (coin, exponent) in debt.wanted:
            debt.shown[coin, exponent] = min(index, debt.shown.get((coin, exponent), index))
