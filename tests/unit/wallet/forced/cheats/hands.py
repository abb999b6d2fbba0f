"""
How a bank cheats in these tests, and what its victim then does. He gets his money, or has in hand what
convicts the bank: each row of docs/ATTACKS.md about a bank names one of them.
"""

from collections.abc import Callable

import pytest

import bank.claims.clerk
from bank.board.accusation.file import check_file
from bank.board.accusation.verdict import Verdict
from bank.board.audit.audit import Report
from bank.formats.answer import Answer, Body, sign_answer
from bank.formats.claim import Claim
from bank.formats.entry import AnswerEntry
from tests.unit.wallet.forced.court import Court
from tests.unit.wallet.town import Wallet


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
