"""A bank that is silent, to one or to all: its victim has it answer on the board, or convicts it."""

import pytest

from bank.board.audit.finding import Weight
from mixmint.errors import PendingError
from tests.unit.wallet.forced.cheats.hands import stuck, verdicts
from tests.unit.wallet.forced.court import Court


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
