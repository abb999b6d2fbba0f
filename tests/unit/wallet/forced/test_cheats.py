"""
A bank that cheats in each possible way: the victim gets his money, or has in hand what convicts the bank.

Each row of docs/ATTACKS.md about a bank names one of these.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

import bank.claims.clerk
from bank.board.accusation.answers import OverlappingHolds, Word
from bank.board.accusation.books import CertifiedTwice
from bank.board.accusation.claims import ClaimUnanswered
from bank.board.accusation.file import check_file, encode_accusation
from bank.board.accusation.verdict import Verdict
from bank.board.audit.audit import Report
from bank.board.audit.finding import Weight
from bank.formats.account import Operation, Statement, sign_statement
from bank.formats.answer import (
    Answer,
    Body,
    Certificates,
    CertifiedBefore,
    Hold,
    Promise,
    Refusal,
    Refused,
    Spent,
    Statements,
    Taken,
    Withdrawn,
    sign_answer,
    sign_promise,
)
from bank.formats.claim import Claim
from bank.formats.coin import CoinKey, sign_certificate
from bank.formats.entry import AnswerEntry, CertifiedEntry, Kind
from bank.formats.order import Order, sign_order, tau_of
from bank.formats.request import decode_request, encode_request
from mixmint.errors import PendingError, UserError
from mixmint.keys import SigningKey
from tests.unit.bank.desk import fresh
from tests.unit.wallet.forced.court import IMPATIENT_S, Court
from tests.unit.wallet.forced.proving import prove
from tests.unit.wallet.town import Wallet
from wallet.purse import CoinState


async def stuck(court: Court, wallet: Wallet, rounds: int) -> None:
    """The member tries again and again."""
    for _ in range(rounds):
        await court.resume(wallet)


def verdicts(report: Report) -> list[Verdict]:
    return [check_file(finding.accusation) for finding in report.findings if finding.accusation]


def lies(court: Court, wallet: Wallet, said: Callable[[Answer], Body]) -> None:
    """The bank's own hand, to this customer, each time it is asked."""

    def bends(data: bytes) -> bytes:
        answer = Answer.decode(data)
        return sign_answer(court.key, court.signer.bank, answer.subject, said(answer))

    wallet.wire.bends = bends


def lies_to_claims(court: Court, monkeypatch: pytest.MonkeyPatch, said: Callable[[Claim], Body]) -> None:
    """The bank answers every claim so, and executes none."""

    def answer(claim: Claim, *_: object) -> bytes:
        return AnswerEntry(court.signer.answer(claim.answer_subject, said(claim))).encode()

    monkeypatch.setattr(bank.claims.clerk, "answer_prepared", answer)


# Silence


async def test_silent_to_one_customer(court: Court) -> None:
    """He has it answer on the board: money back, and nobody needs to be accused."""
    ann = await court.funded()
    ann.wire.fate = lambda: "both" if court.claims() else "lost"
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    await court.resume_until(ann)
    assert ann.units() == 8
    assert (await court.audit()).passed


async def test_silent_to_everybody(court: Court) -> None:
    """The claim itself, unanswered, is the accusation: of the board or the bank, as the board signed it."""
    ann = await court.funded()
    ann.wire.fate, court.silent = (lambda: "lost"), True
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    await stuck(court, ann, 12)
    await court.ticks(12)
    report = await court.audit()
    assert not report.passed
    (verdict,) = [each for each in verdicts(report) if each.holds][:1]
    assert verdict.whom.board == court.board.maker.verifier
    assert verdict.whom.bank == court.key.public
    assert "was not answered" in verdict.sentence


async def test_silent_and_confirming_all_the_same(court: Court) -> None:
    """Its own statement, beyond the claim's time, takes the "or" out: the bank alone is convicted."""
    ann = await court.funded()
    ann.wire.fate, court.silent = (lambda: "lost"), True
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    await stuck(court, ann, 12)
    # An honest bank states nothing while it owes an answer. This one forgets what it owes.
    await court.store.run(lambda book: book.connection.execute("DELETE FROM claim"))
    bob = await court.funded("bob")
    for _ in range(4):
        await bob.cashier.exchange(None)
        await court.ticks(6)
    report = await court.audit()
    found = [each for each in verdicts(report) if each.holds]
    assert found
    assert found[0].whom.bank == court.key.public
    assert found[0].whom.board is None


async def test_an_honest_bank_that_was_away_is_late_and_no_cheat(court: Court) -> None:
    """It answers when it comes back; the audit says late, and nobody can convict it any more."""
    ann = await court.funded()
    ann.wire.fate, court.silent = (lambda: "lost" if court.silent else "both"), True
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    await stuck(court, ann, 22)
    court.silent = False
    await court.resume_until(ann)
    assert ann.units() == 8
    report = await court.audit()
    assert report.passed
    assert {finding.weight for finding in report.findings if finding.fault == "claim"} == {Weight.LATE}


# False answers, given directly


def another_id(court: Court) -> Callable[[Answer], Body]:
    """Certificates of ids that nobody asked for."""

    def said(answer: Answer) -> Body:
        body = answer.body
        wrong = sign_certificate(court.key, court.signer.bank, 3, 0, os.urandom(32))
        return Certificates(body.round, body.epoch, (wrong,)) if isinstance(body, Certificates) else body

    return said


def invented_proof(court: Court) -> Callable[[Answer], Body]:
    def said(answer: Answer) -> Body:
        key = SigningKey.generate()
        return Spent(0, key.public, bytes(32), bytes(64))

    return said


def false_promise(court: Court) -> Callable[[Answer], Body]:
    return lambda answer: Taken(0, Promise(os.urandom(32), bytes(32), 9, bytes(64)))


def sums(court: Court) -> Callable[[Answer], Body]:
    return lambda answer: Refused(Refusal.SUMS)


@pytest.mark.parametrize("lie", [another_id, invented_proof, false_promise, sums])
async def test_a_false_answer_is_convicted_and_the_money_comes_by_the_board(
    court: Court, lie: Callable[[Court], Callable[[Answer], Body]]
) -> None:
    """What it signed is in the evidence folder, as a file that holds; the claim brings the coins."""
    ann = await court.funded()
    lies(court, ann, lie(court))
    court.board.bends = lambda entries: [e for e in entries if e[0] not in (Kind.CERTIFIED, Kind.SPENT)]
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    court.board.bends = lambda entries: entries
    assert court.convictions(ann) == ["answer-false"]


async def test_a_denied_coin_is_no_proof_until_it_is_denied_in_public(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    """*Unknown certificate* bears no time. In answer to a claim that shows the certificate it convicts."""
    ann = await court.funded()
    ann.wire.fate = lambda: "lost"
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    lies_to_claims(court, monkeypatch, lambda claim: Refused(Refusal.UNKNOWN_CERTIFICATE, 0))
    await stuck(court, ann, 12)
    assert "answer-false" in court.convictions(ann)
    report = await court.audit()
    assert not report.passed
    assert verdicts(report)[0].holds
    assert verdicts(report)[0].whom.bank == court.key.public


TO_CLAIMS: dict[str, Callable[[Court, Claim], Body]] = {
    "spent by an invented order": lambda court, claim: Spent(
        0, claim.order.order.inputs[0], bytes(32), bytes(64)
    ),
    "spent by the very order": lambda court, claim: Spent(
        0, claim.order.order.inputs[0], claim.order.seal, claim.order.signatures[0]
    ),
    "taken by a promise that is false": lambda court, claim: Taken(
        0, Promise(claim.order.order.outputs[0].coin, bytes(32), 10**6, bytes(64))
    ),
    "too late": lambda court, claim: Refused(Refusal.TOO_LATE),
    "promised, but not any more": lambda court, claim: Taken(
        0, sign_promise(court.key, court.signer.bank, claim.order.order.outputs[0].coin, bytes(32), 1)
    ),
    "no hold": lambda court, claim: Refused(Refusal.NO_HOLD),
    "expired": lambda court, claim: Refused(Refusal.EXPIRED_COIN, 0),
    "certificates of nothing": lambda court, claim: Certificates(9, 0, (bytes(64),)),
}


@pytest.mark.parametrize("lie", TO_CLAIMS)
async def test_a_false_answer_to_a_claim_is_proved_by_the_log(
    court: Court, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    """Anyone who audits the board finds it, with a file that holds offline."""
    ann = await court.funded()
    ann.wire.fate = lambda: "lost"
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    lies_to_claims(court, monkeypatch, lambda claim: TO_CLAIMS[lie](court, claim))
    await stuck(court, ann, 12)
    report = await court.audit()
    assert not report.passed
    found = [each for each in verdicts(report) if each.holds]
    assert found, [finding.sentence for finding in report.findings]
    assert found[0].whom.bank == court.key.public
    assert "lie" in found[0].sentence


# What it signs, and doesn't publish


@pytest.mark.parametrize("kept_back", [{Kind.CERTIFIED, Kind.SPENT}, {Kind.CERTIFIED}])
async def test_certificates_that_are_never_published(court: Court, kept_back: set[Kind]) -> None:
    """The wallet has them, and puts them on the board itself: money back."""
    ann = await court.funded()
    court.board.bends = lambda entries: [e for e in entries if e[0] not in kept_back]
    with suppress(UserError), ann.teller.hurry(IMPATIENT_S):
        await ann.cashier.exchange(None)
    await court.resume_until(ann)
    assert ann.units() == 8


async def test_spent_on_the_board_without_certificates_or_an_answer(court: Court) -> None:
    """The coins are gone and nothing was signed: the claim has the bank certify what they were spent for."""
    ann = await court.funded()
    answered = []

    def swallow(data: bytes) -> bytes:
        answered.append(data)
        return data

    ann.wire.bends, ann.wire.fate = swallow, lambda: "both" if court.claims() else "no answer"
    court.board.bends = lambda entries: [e for e in entries if e[0] != Kind.CERTIFIED]
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    while not court.claims():
        await court.resume(ann)
    court.board.bends = lambda entries: entries
    await court.resume_until(ann)
    assert ann.units() == 8


async def test_an_order_split_over_rounds(court: Court) -> None:
    """Spent in one round, certified in another: kept as evidence, and the money is there all the same."""
    ann = await court.funded()
    held: list[bytes] = []

    def split(entries: list[bytes]) -> list[bytes]:
        late, kept = list(held), [e for e in entries if e[0] != Kind.CERTIFIED]
        held[:] = [e for e in entries if e[0] == Kind.CERTIFIED]
        return sorted([*kept, *late])

    court.board.bends = split
    with suppress(UserError), ann.teller.hurry(IMPATIENT_S):
        await ann.cashier.exchange(None)
    await court.resume_until(ann)
    assert ann.units() == 8
    assert any(path.name.startswith("split-order") for path in ann.books.evidence())
    # Under the board's signature alone it can't be told which of the two split it.
    assert court.confirmer.complaint is not None


# Two words about one thing


async def test_two_certificates_of_one_id(court: Court) -> None:
    """The bank's two signatures are the proof; whoever meets both has it in hand."""
    ann = await court.funded()
    (coin,) = ann.purse.coins(CoinState.FREE).values()
    other = sign_certificate(court.key, court.signer.bank, 5, coin.epoch, coin.id())
    shown = CertifiedBefore(coin.id(), 3, coin.epoch, coin.certificate)
    evidence = CertifiedTwice(court.key.public, shown, CertifiedBefore(coin.id(), 5, coin.epoch, other))
    assert check_file(encode_accusation(evidence)).holds
    twice = CertifiedEntry(coin.id(), 5, coin.epoch, other).encode()
    court.board.bends = lambda entries: sorted([*entries, twice])
    await court.tick()
    court.board.bends = lambda entries: entries
    await court.tick()
    report = await court.audit()
    assert "certified-twice" in {finding.fault for finding in report.findings}


def two_step(court: Court, coin: SigningKey) -> bytes:
    order = Order(
        court.signer.bank,
        os.urandom(16),
        10**6,
        (CoinKey(coin.public),),
        (fresh(3)[1],),
        tau=tau_of(os.urandom(32)),
    )
    return encode_request(sign_order(order, [coin]))


async def ask(court: Court, data: bytes) -> Word:
    """An order's word: request and answer."""
    return Word(decode_request(data), Answer.decode((await court.bank.answer([data]))[0]))


@pytest.mark.parametrize("forgets", [True, False])
async def test_a_coin_held_for_two(court: Court, forgets: bool) -> None:
    """Two holds that overlap, or a hold that the bank forgets and executes under: both answers convict it."""
    ann = await court.funded()
    (coin,) = ann.purse.coins(CoinState.FREE).values()
    one = await ask(court, two_step(court, coin.key()))
    assert isinstance(one.answer.body, Hold)
    await court.store.run(lambda book: book.connection.execute("DELETE FROM held_coin"))
    if forgets:
        order = Order(court.signer.bank, os.urandom(16), 10**6, (CoinKey(coin.key().public),), (fresh(3)[1],))
        other = await ask(court, encode_request(sign_order(order, [coin.key()])))
    else:
        other = await ask(court, two_step(court, coin.key()))
    evidence = OverlappingHolds.of(court.key.public, one, other)
    verdict = check_file(encode_accusation(evidence))
    assert verdict.holds
    assert verdict.whom.bank == court.key.public


# Accounts


async def test_a_forked_account(court: Court) -> None:
    """Two statements for one place in the chain: both signed, so both are shown."""
    ann = await court.funded()
    await court.fund_again(ann, 8)

    def forked(answer: Answer) -> Body:
        if not isinstance(answer.body, Withdrawn):
            return answer.body
        true = answer.body.statement.statement
        # The balance as if something had been taken before.
        false = replace(true, balance=true.balance - 1, previous=bytes(range(32)))
        return Withdrawn(sign_statement(court.key, false), answer.body.certificates)

    await ann.cashier.withdraw(1)
    lies(court, ann, forked)
    with pytest.raises(PendingError):
        await ann.cashier.withdraw(1)
    assert set(court.convictions(ann)) <= {"answer-false", "account-forked"}
    assert court.convictions(ann)


async def test_an_invented_booking(court: Court) -> None:
    """It isn't accepted, and what the bank signed is kept; the claim has it show what it booked in public."""
    ann = await court.funded()
    await court.fund_again(ann, 8)

    def invented(answer: Answer) -> Body:
        if not isinstance(answer.body, Statements):
            return answer.body
        last = answer.body.statements[-1].statement
        booked = Statement(
            last.bank, last.account, last.sequence + 1, Operation.WITHDRAW, 8, last.balance - 8,
            os.urandom(32), last.head(), 1,
        )  # fmt: skip
        return Statements((*answer.body.statements, sign_statement(court.key, booked)))

    lies(court, ann, invented)
    head = ann.books.head()
    with pytest.raises(PendingError):
        await ann.cashier.withdraw(4)
    assert ann.books.head() == head
    ann.wire.bends = lambda data: data
    await court.resume_until(ann)
    assert ann.units() == 12


# Nobody is framed


async def test_a_board_that_keeps_the_answer_back_convicts_no_bank(court: Court) -> None:
    """What the board alone signed accuses the one or the other; the bank confirms none of it."""
    ann = await court.funded()
    ann.wire.fate = lambda: "lost"
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    await court.ticks(2)

    def keep_back(entries: list[bytes]) -> list[bytes]:
        return [e for e in entries if e[0] not in (Kind.ANSWER, Kind.CERTIFIED, Kind.SPENT)]

    court.board.bends = keep_back
    await stuck(court, ann, 20)
    report = await court.audit()
    accused = [each.whom for each in verdicts(report) if each.holds]
    assert accused
    assert all(whom.board == court.board.maker.verifier for whom in accused)


async def test_old_terms_frame_nobody(court: Court) -> None:
    """Terms with more time came later: the bank keeps to the shortest, so a judge may be shown any."""
    ann = await court.funded()
    ann.wire.fate = lambda: "both" if court.claims() else "lost"
    with pytest.raises(PendingError):
        await ann.cashier.exchange(None)
    await court.resume_until(ann)
    await court.ticks(8)
    maker = court.board.maker
    (at,) = [place for place, leaf in enumerate(maker.leaves) if leaf[0] == Kind.CLAIM]
    (terms,) = [place for place, leaf in enumerate(maker.leaves) if leaf[0] == Kind.TERMS]
    last = max(place for place, leaf in enumerate(maker.leaves) if leaf[0] == Kind.ROUND)
    signed, leaves = prove(maker, [terms, *range(at, last + 1)])
    evidence = ClaimUnanswered(court.key.public, signed, leaves)
    assert evidence.objection() == "the claim was answered by certificates"
    shorter, leaves = prove(maker, [terms, *range(at, at + 2)])
    assert ClaimUnanswered(court.key.public, shorter, leaves).objection() == "the claim's time is not over"
    gap, leaves = prove(maker, [terms, *range(at, at + 3), last])
    assert ClaimUnanswered(court.key.public, gap, leaves).objection() == "leaves are left out"
