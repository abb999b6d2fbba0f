"""Coins on their way back to their account, at a bank that doesn't answer."""

from pathlib import Path

import pytest

import bank.claims.clerk
from bank.board.audit.finding import Fault, Weight
from bank.formats.answer import Refusal, Refused
from bank.formats.claim import Claim
from bank.formats.entry import AnswerEntry
from bank.formats.request import Replace
from bank.ledger import Signer, Terms
from bank.stores.interface import Books
from mixmint.errors import PendingError
from mixmint.keys import SigningKey
from tests.unit.wallet.forced.court import SOON, Court
from tests.unit.wallet.town import NOW_S, Wallet
from wallet.machines.steps import Phase
from wallet.purse import CoinState

TERMS = Terms(epoch_s=1000, life_epochs=3, grace_epochs=2, hold_rounds=10, promise_rounds=3, claim_rounds=6)
OVER = 7
"""Epochs after which nothing can be done with a coin but to replace it."""


async def old(court: Court) -> Wallet:
    """A wallet whose 13 units of withdrawn coins are long over, at a bank that doesn't answer it."""
    court.board.maker.begin_s = int(NOW_S)
    ann = court.wallet("ann", **SOON)
    await court.fund(ann, 100)
    await ann.cashier.withdraw(13)
    court.now_s += OVER * TERMS.epoch_s
    court.board.maker.begin_s = int(court.now_s)
    await court.tick()

    def retire(book: Books) -> None:
        before = TERMS.epoch_at(court.now_s) - TERMS.expiry_epochs
        book.note_due(before, court.board.closed)
        book.retire(before)
        while not book.sweep(9):
            pass

    await court.store.run(retire)
    ann.wire.fate = lambda: "lost"
    with pytest.raises(PendingError):
        await ann.cashier.replace()
    return ann


async def test_a_replacement_that_the_bank_ignores_is_forced(tmp_path: Path) -> None:
    """Claimed with its receipt; the statement that the bank shows there books it, and the chain goes on."""
    async with Court(tmp_path, TERMS) as court:
        ann = await old(court)
        await court.resume_until(ann)
        (claim,) = [Claim.decode(entry.body) for entry in court.claims()]
        assert isinstance(claim.request, Replace)
        assert ann.units(CoinState.REPLACED) == 13
        assert await court.balance(ann) == ann.books.head().balance == 100
        ann.wire.fate = lambda: "both"
        outcome = await ann.cashier.withdraw(5)
        assert outcome.state.phase is Phase.SETTLED


@pytest.mark.parametrize("mine", [True, False])
async def test_ended_is_a_lie_where_the_log_shows_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mine: bool
) -> None:
    """No file holds alone; whoever has the whole log sees it. What another key signed is nobody's word."""

    def ended(claim: Claim, *_: object) -> bytes:
        signer = court.signer if mine else Signer(SigningKey(bytes(range(32))), TERMS, court.signer.bank)
        return AnswerEntry(signer.answer(claim.answer_subject, Refused(Refusal.ENDED_COIN, 0))).encode()

    monkeypatch.setattr(bank.claims.clerk, "answer_prepared", ended)
    async with Court(tmp_path, TERMS) as court:
        ann = await old(court)
        for _ in range(10):
            await court.resume(ann)
        assert ann.units(CoinState.EXPIRED) == 13
        report = await court.audit()
        cheats = [each for each in report.findings if each.weight is Weight.CHEAT]
        assert [each.fault for each in cheats if "is false" in each.sentence] == [Fault.CLAIM] * mine
