"""A bank that answers falsely, a customer or a claim: the money comes by the board, or the lie is proved."""

import os
from collections.abc import Callable

import pytest

from bank.formats.answer import (
    Answer,
    Body,
    Certificates,
    Promise,
    Refusal,
    Refused,
    Spent,
    Taken,
    sign_promise,
)
from bank.formats.claim import Claim
from bank.formats.coin import sign_certificate
from bank.formats.entry import Kind
from mixmint.errors import PendingError
from mixmint.keys import SigningKey
from tests.unit.wallet.forced.cheats.hands import lies, lies_to_claims, stuck, verdicts
from tests.unit.wallet.forced.court import Court


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
