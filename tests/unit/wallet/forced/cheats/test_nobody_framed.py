"""What convicts no bank: a board that keeps its answer back, and terms of old."""

import pytest

from bank.board.accusation.claims import ClaimUnanswered
from bank.formats.entry import Kind
from mixmint.errors import PendingError
from tests.unit.wallet.forced.cheats.hands import stuck, verdicts
from tests.unit.wallet.forced.court import Court
from tests.unit.wallet.forced.proving import prove


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
