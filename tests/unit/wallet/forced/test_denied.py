"""A bank that keeps the signatures of orders that it refused, and shows them as proofs of a spending."""

import pytest

import bank.claims.clerk
from bank.board.accusation.denied import ExecutionDenied
from bank.board.accusation.file import check_file, decode_accusation
from bank.formats.answer import Body, Refusal, Refused, Spent, sign_answer
from bank.formats.claim import Claim
from bank.formats.entry import AnswerEntry
from bank.formats.order import SignedOrder
from bank.formats.request import decode_request, subject_of
from tests.unit.wallet.forced.court import Court
from tests.unit.wallet.town import Wallet
from wallet.machines.claim import REVIVE
from wallet.machines.order import OrderState
from wallet.machines.steps import Phase
from wallet.purse import CoinState


class Thief:
    """The bank denies a coin; to each claim it says that another order of the holder's has spent it."""

    def __init__(self, court: Court, wallet: Wallet, *, relents: bool = False) -> None:
        self.orders: dict[bytes, SignedOrder] = {}
        self._court, self._ask, self._relents = court, wallet.wire.ask, relents
        wallet.wire.ask = self.deny
        self._answer = bank.claims.clerk.answer_prepared

    async def deny(self, conversation: bytes, body: bytes, expires_s: int, timeout_s: float) -> bytes:
        asked = decode_request(body)
        known = isinstance(asked, SignedOrder) and (asked.seal in self.orders or len(self.orders) < 2)
        if not isinstance(asked, SignedOrder) or not known:
            return await self._ask(conversation, body, expires_s, timeout_s)
        self.orders[asked.seal] = asked
        refused = Refused(Refusal.UNKNOWN_CERTIFICATE, 0)
        return sign_answer(self._court.key, self._court.signer.bank, subject_of(asked), refused)

    def answer(self, claim: Claim, *rest: object) -> bytes | None:
        body = self.said(claim)
        if body is None:
            return self._answer(claim, *rest)
        return AnswerEntry(self._court.signer.answer(claim.answer_subject, body)).encode()

    def said(self, claim: Claim) -> Body | None:
        mine = claim.order.seal
        if self._relents and mine == next(iter(self.orders)):
            return None
        other = next(order for seal, order in self.orders.items() if seal != mine)
        return Spent(0, other.order.inputs[0], other.seal, other.signatures[0])


def revived(wallet: Wallet) -> list[OrderState]:
    states = [stored.state for stored in wallet.purse.operations().values()]
    return [state for state in states if isinstance(state, OrderState) and state.purpose == REVIVE]


async def test_spent_by_an_order_that_was_refused_convicts_when_that_is_claimed(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each claim is answered by a true signature for the other; one of the two answers must be a lie."""
    ann = await court.funded()
    thief = Thief(court, ann)
    monkeypatch.setattr(bank.claims.clerk, "answer_prepared", thief.answer)
    await ann.cashier.exchange(None)
    for _ in range(40):
        await court.resume(ann)
    assert [state.signed for state in revived(ann)] == [next(iter(thief.orders.values())).encode()]
    await court.ticks(3)
    report = await court.audit()
    files = [finding.accusation for finding in report.findings if finding.accusation]
    denied = [file for file in files if isinstance(decode_accusation(file), ExecutionDenied)]
    assert denied, [finding.sentence for finding in report.findings]
    verdict = check_file(denied[0])
    assert verdict.holds
    assert verdict.whom.bank == court.key.public


async def test_a_bank_that_shows_the_certificates_after_all_has_paid(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it said was spent by that order is exchanged by that order: the money is there."""
    ann = await court.funded()
    thief = Thief(court, ann, relents=True)
    monkeypatch.setattr(bank.claims.clerk, "answer_prepared", thief.answer)
    await ann.cashier.exchange(None)
    for _ in range(60):
        await court.resume(ann)
        if ann.units(CoinState.FREE) == 8:
            break
    (state,) = revived(ann)
    assert state.phase is Phase.SETTLED
    assert ann.units() == 8
