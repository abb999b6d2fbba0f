"""A bank that doesn't answer on the board either, until its key is changed: then the successor owes one."""

from pathlib import Path

import pytest

from mixmint.errors import PendingError
from mixmint.keys import SigningKey
from tests.unit.wallet.forced.court import Court
from tests.unit.wallet.forced.test_silence import silence
from tests.unit.wallet.succession import Handover
from wallet.machines.record import ClaimRecord
from wallet.purse import CoinState


async def test_what_the_old_key_was_asked_is_claimed_again_at_the_successor(tmp_path: Path) -> None:
    """Nobody answers the first claim any more, and the successor keeps silent to this customer, too."""
    async with Court(tmp_path) as court:
        handover = Handover(court)
        ann = await court.funded()
        silence(ann)
        court.silent = True
        with pytest.raises(PendingError):
            await ann.cashier.exchange(None)
        while not court.claims():
            await court.resume(ann)
        await court.resume(ann)
        listed = await handover.list_accounts()
        await handover.lose()
        new = SigningKey(b"n" * 32)
        handover.change(new)
        changed = court.board.closed
        await handover.recover(new, listed)
        court.silent = False
        while len(court.claims()) < 2 and court.board.closed < changed + 30:
            await court.resume(ann)
        first, second = court.claims()
        assert first == second
        assert court.board.closed >= changed + 4
        ann.wire.fate = lambda: "both"
        await court.resume_until(ann)
        assert len(court.claims()) == 2
        # What both claims showed is exchanged once more.
        (coin,) = ann.purse.coins(CoinState.FREE).values()
        assert (coin.units, coin.is_clean) == (8, True)


def test_a_claim_is_void_however_the_change_and_its_round_are_learnt() -> None:
    """It may be shown in the very round of the change; and another copy may claim anew."""
    made = ClaimRecord(asked=3, entry=b"claim", posted=True)
    after = made.shown_in(7).after_change(9)
    assert (after.void, after.is_made, after.asked, after.entry) == (True, False, 0, b"claim")
    assert made.after_change(7).shown_in(7) == made.shown_in(7).after_change(7)
    later = made.after_change(7).shown_in(8)
    assert (later.void, later.is_made, later.round) == (False, True, 8)
    anew = after.shown_in(11)
    assert (anew.void, anew.round) == (False, 11)
    # A claim that nobody has seen yet is the successor's to answer.
    assert made.after_change(9).is_made
    assert ClaimRecord(asked=3).after_change(9) == ClaimRecord(asked=3)
