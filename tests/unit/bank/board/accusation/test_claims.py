"""Accusations about claims and accounts: what they prove, and every near miss that they don't."""

from dataclasses import replace
from pathlib import Path

import pytest

from bank.board.accusation.denied import ExecutionDenied
from bank.board.accusation.lies import AnswerFalse, Named
from bank.board.accusation.verdict import Accused, Verdict
from bank.formats.answer import Body, Certificates, Held, Hold, Refusal, Refused, Spent, sign_answer
from bank.formats.claim import Claim
from bank.formats.coin import sign_certificate
from bank.formats.entry import AnswerEntry, PostedEntry
from bank.formats.order import SPEND_LABEL, tau_of
from bank.ledger import Terms
from mixmint.keys import SigningKey
from tests.unit.bank.board.accusation.cheats import BANK, BANK_ID, certified, judge
from tests.unit.bank.board.accusation.claimed import (
    COIN,
    WANTED,
    ClaimedLog,
    answer,
    answered,
    claim,
    executed,
    forked,
)
from tests.unit.bank.board.logs import BEGIN_S

BANK_ALONE = Accused(bank=BANK.public)


def test_silence_under_the_boards_signature_accuses_the_one_or_the_other(tmp_path: Path) -> None:
    """The board may have kept an answer back."""
    log = ClaimedLog(tmp_path)
    verdict = judge(log.unanswered())
    assert verdict.holds
    assert verdict.whom == Accused(log.verifier, BANK.public)
    assert log.claim.subject.hex() in verdict.sentence


def test_silence_that_the_bank_confirmed_accuses_the_bank(tmp_path: Path) -> None:
    """Up to the end of what it confirmed: an answer behind the claim's time counts, too."""
    log = ClaimedLog(tmp_path)
    verdict = judge(log.unanswered(log.edge.size - 1, confirmed=True))
    assert (verdict.holds, verdict.whom) == (True, BANK_ALONE)
    assert not judge(log.unanswered(confirmed=True)).holds


def test_a_claim_that_was_answered_is_no_accusation(tmp_path: Path) -> None:
    """By the bank's answer, true or false; by certificates, published or posted; not by somebody else's."""
    mine = claim()
    too_late = answered(mine, Refused(Refusal.TOO_LATE))
    posted = PostedEntry(WANTED, 3, 1, sign_certificate(BANK, BANK_ID, 3, 1, WANTED)).encode()
    for number, entry in enumerate((too_late, certified(WANTED).encode(), posted)):
        log = ClaimedLog(tmp_path / str(number), mine, entry)
        assert "was answered" in judge(log.unanswered()).sentence
    others = (answered(claim(99), Refused(Refusal.TOO_LATE)), certified(WANTED, exponent=4).encode())
    for number, entry in enumerate(others, start=3):
        assert judge(ClaimedLog(tmp_path / str(number), mine, entry).unanswered()).holds


def test_what_another_key_answered_may_be_a_successors(tmp_path: Path) -> None:
    """The change may stand before the claim. The bank's own statement says that there was none by then."""
    mine, other = claim(), SigningKey.generate()
    body = sign_answer(other, BANK_ID, mine.answer_subject, Refused(Refusal.TOO_LATE))
    for entry in (AnswerEntry(body).encode(), certified(WANTED, key=other).encode()):
        log = ClaimedLog(tmp_path / str(entry[0]), mine, entry)
        assert "another key answered" in judge(log.unanswered()).sentence
        assert judge(log.unanswered(log.edge.size - 1, confirmed=True)).holds


def test_before_its_time_or_with_gaps_it_proves_nothing(tmp_path: Path) -> None:
    """Every leaf of the claim's time must be shown, and no fewer rounds than the terms give."""
    log = ClaimedLog(tmp_path)
    assert not judge(log.unanswered(log.due() - 1)).holds
    whole = log.unanswered()
    gap = log.proof(1, log.at, *range(log.at + 2, log.due() + 1))
    assert judge(replace(whole, leaves=gap)).sentence == "leaves are left out"
    assert not judge(replace(whole, leaves=log.proof(*range(log.at, log.due() + 1)))).holds
    other = SigningKey.generate()
    assert not judge(replace(whole, bank_key=other.public)).holds


def test_a_claim_that_is_not_true_is_nobodys_debt(tmp_path: Path) -> None:
    """A board may put what it likes into its log."""
    mine = claim()
    false = replace(mine, certificates=(replace(mine.certificates[0], epoch=2),))
    assert "not certified" in judge(ClaimedLog(tmp_path, false).unanswered()).sentence


@pytest.mark.parametrize(
    ("reason", "holds"),
    [
        (Refusal.UNKNOWN_CERTIFICATE, True),
        (Refusal.SUMS, True),
        (Refusal.SIGNATURE, True),
        (Refusal.TOO_LATE, False),
        (Refusal.EXPIRED_COIN, False),
    ],
)
def test_a_lie_in_public_needs_no_log(tmp_path: Path, reason: Refusal, holds: bool) -> None:
    """It names the claim, and the claim shows what contradicts it."""
    verdict = judge(ClaimedLog(tmp_path).lie(Refused(reason)))
    assert verdict.holds is holds
    assert verdict.whom == BANK_ALONE


def test_too_late_is_a_lie_beside_the_claims_round(tmp_path: Path) -> None:
    """Round 2, of an order that was good until 2; and none if it was good until 1."""
    late = Refused(Refusal.TOO_LATE)
    assert judge(ClaimedLog(tmp_path / "1", claim(2)).lie(late, log=True)).holds
    assert not judge(ClaimedLog(tmp_path / "2", claim(1)).lie(late, log=True)).holds


def test_a_claim_that_its_board_shows_twice_convicts_no_bank_alone(tmp_path: Path) -> None:
    """
    What a bank answers to the first showing is false beside the second, and the other way round: a hold that
    was live is over, and an order that was in time is late. It confirms both showings, since they are there.
    """
    mine = claim(last_round=6)
    held = Held(0, COIN.public, bytes(32), COIN.sign(SPEND_LABEL, bytes(32)), 5)
    log = ClaimedLog(tmp_path, mine, answered(mine, held))
    log.close([mine.entry().encode()])
    again = len(log.leaves) - 2
    assert log.leaves[again] == mine.entry().encode()
    late = Refused(Refusal.TOO_LATE)
    for body, at, mark in ((held, again, again + 1), (late, log.at, log.mark(2))):
        lie = AnswerFalse(BANK.public, Named.CLAIM, mine, answer(mine, body), None)
        shown = log.proof(at, mark)
        assert judge(replace(lie, log=log.signed(), leaves=shown)).whom == Accused(log.verifier, BANK.public)
        assert judge(replace(lie, log=log.signed(), leaves=shown)).holds
        assert not judge(replace(lie, log=log.confirmed(), leaves=shown)).holds


def test_expired_is_judged_by_the_claims_own_round(tmp_path: Path) -> None:
    """Twelve epochs of life and three of grace. When the bank answers at last, the coin may be older."""
    now = Terms().epoch_at(BEGIN_S)
    young, old = claim(epoch=now - 14), claim(epoch=now - 15)
    for mine, holds in ((young, True), (old, False)):
        said = answered(mine, Refused(Refusal.EXPIRED_COIN, 0))
        log = ClaimedLog(tmp_path / str(holds), mine, said)
        assert judge(log.expired(1, log.at, log.mark(2))).holds is holds
        assert not judge(log.expired(1, log.at, log.mark(3))).holds
        assert not judge(log.expired(1, log.at, log.leaves.index(said), log.mark(3))).holds


def test_expired_is_a_lie_of_a_coin_that_the_claim_shows_held(tmp_path: Path) -> None:
    """It needs no terms: the bank's own hold lasts beyond the claim's round, 2."""
    h = bytes(range(32))
    made = claim(tau=tau_of(h))
    for last, holds in ((2, True), (1, False)):
        held = answer(made, Hold(1, last), asked=True)
        mine = Claim(made.request, (), h, held)
        assert mine.objection(BANK.public, BANK_ID) is None
        log = ClaimedLog(tmp_path / str(last), mine)
        assert judge(log.expired(log.at, log.mark(2))).holds is holds
        assert not judge(log.expired(1, log.at, log.mark(2))).holds


def test_a_hold_is_as_late_as_its_answer(tmp_path: Path) -> None:
    """It begins then, so what its coins were before says nothing."""
    now = Terms().epoch_at(BEGIN_S)
    for epoch, holds in ((now - 10, True), (now - 11, False)):
        mine = claim(epoch=epoch, tau=tau_of(bytes(32)))
        said = answered(mine, Refused(Refusal.EXPIRED_COIN, 0))
        log = ClaimedLog(tmp_path / str(holds), mine, said)
        assert judge(log.expired(1, log.at, log.leaves.index(said), log.mark(3))).holds is holds
        assert not judge(log.expired(1, log.at, log.mark(2))).holds


def denied(log: ClaimedLog, first: bytes, last: bytes, *, confirmed: bool = False) -> Verdict:
    """What these two answers around the claim come to."""
    return judge(log.denied(first, last, confirmed=confirmed))


@pytest.mark.parametrize(
    ("body", "alone", "holds"),
    [
        (Refused(Refusal.TOO_LATE), False, True),
        (Held(0, COIN.public, bytes(32), bytes(64), 90), False, True),
        (Hold(3, 9), False, True),
        (Spent(0, COIN.public, bytes(32), bytes(64)), True, True),
        (Certificates(9, 1, (bytes(64),)), False, False),
        (Refused(Refusal.EXPIRED_COIN, 0), False, False),
    ],
)
def test_an_execution_that_is_denied_when_it_is_claimed(
    tmp_path: Path, body: Body, alone: bool, holds: bool
) -> None:
    """Under the board's signature; the bank alone only by what could never be true before an execution."""
    mine = claim()
    first, last = executed(mine), answered(mine, body)
    log = ClaimedLog(tmp_path, mine, last, before=[first])
    verdict = denied(log, first, last)
    assert verdict.holds is holds
    assert verdict.whom == Accused(log.verifier, BANK.public)
    assert denied(log, first, last, confirmed=True).holds is alone


def test_nobody_is_convicted_by_answers_that_fit(tmp_path: Path) -> None:
    """The word came after the claim; it is about another order; the answer is to another claim."""
    mine, other = claim(), claim(99)
    late = answered(mine, Refused(Refusal.TOO_LATE))
    after = ClaimedLog(tmp_path / "1", mine, executed(mine), late)
    places = after.at, after.leaves.index(executed(mine)), after.leaves.index(late)
    assert not judge(ExecutionDenied(BANK.public, after.signed(), after.proof(*places))).holds
    log = ClaimedLog(
        tmp_path / "2", mine, late, answered(other, Refused(Refusal.TOO_LATE)), before=[executed(other)]
    )
    assert "did not say" in denied(log, executed(other), late).sentence
    log = ClaimedLog(
        tmp_path / "3", mine, answered(other, Refused(Refusal.TOO_LATE)), before=[executed(mine)]
    )
    assert "another claim" in denied(log, executed(mine), answered(other, Refused(Refusal.TOO_LATE))).sentence
    stranger = SigningKey.generate()
    log = ClaimedLog(tmp_path / "4", mine, late, before=[executed(mine)])
    places = log.leaves.index(executed(mine)), log.at, log.leaves.index(late)
    assert not judge(ExecutionDenied(stranger.public, log.signed(), log.proof(*places))).holds


def test_what_was_said_directly_bears_no_time(tmp_path: Path) -> None:
    """So only what is never true convicts."""
    log = ClaimedLog(tmp_path)
    false = Certificates(9, 1, (bytes(64),))
    assert judge(log.lie(false, Named.REQUEST)).holds
    assert judge(log.lie(Refused(Refusal.SUMS), Named.REQUEST)).holds
    for reason in (Refusal.UNKNOWN_CERTIFICATE, Refusal.SIGNATURE, Refusal.TOO_LATE):
        assert not judge(log.lie(Refused(reason), Named.REQUEST)).holds
    true = Certificates(9, 1, (sign_certificate(BANK, BANK_ID, 3, 1, WANTED),))
    assert not judge(log.lie(true, Named.REQUEST)).holds


def test_two_statements_for_one_place(tmp_path: Path) -> None:
    """Either order of the two is one evidence; one statement twice, or two in a row, are nothing."""
    evidence = forked()
    assert (judge(evidence).holds, judge(evidence).whom) == (True, BANK_ALONE)
    assert not judge(replace(evidence, one=evidence.other, other=evidence.one)).holds
    assert not judge(replace(evidence, other=evidence.one)).holds
    assert not judge(replace(evidence, bank_key=SigningKey.generate().public)).holds
