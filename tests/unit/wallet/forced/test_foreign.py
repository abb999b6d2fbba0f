"""What a payer signed and his payee carries out, and coins back to their account: forced like the rest."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from bank.formats.answer import Refusal, Refused, sign_answer
from bank.formats.claim import Claim, ShownCertificate
from bank.formats.coin import CoinKey, bank_id, coin_id, sign_certificate
from bank.formats.order import Order, sign_order
from bank.formats.request import Execute, decode_request, subject_of
from bank.formats.succession import BankKeys
from bank.ledger import Terms
from mixmint.errors import UserError
from mixmint.keys import SigningKey
from tests.unit.bank.desk import fresh
from tests.unit.wallet.forced.court import IMPATIENT_S, SOON, Court
from tests.unit.wallet.town import Wallet
from wallet.answers import Bank
from wallet.machines.foreign import ForeignState
from wallet.machines.steps import Phase
from wallet.marks.mark import Mark, Part
from wallet.notices.checks import certificates_of
from wallet.notices.notice import SealedNotice, decode_notice

TERMS = Terms(epoch_s=10**8, hold_rounds=40, promise_rounds=3, claim_rounds=6)


@pytest.fixture
async def court(tmp_path: Path) -> AsyncIterator[Court]:
    async with Court(tmp_path, TERMS) as made:
        yield made


async def held(court: Court) -> tuple[Wallet, Wallet, int]:
    """Ann's hold for Bob's request, which he knows; the request's row."""
    ann, bob = await court.funded(units=13), court.wallet("bob", **SOON)
    row, request = await bob.cashier.request(13, "", hold=True, reply=True)
    await ann.cashier.pay(request, now=True)
    return ann, bob, row


def carried(wallet: Wallet) -> ForeignState:
    (state,) = [
        stored.state
        for stored in wallet.purse.operations().values()
        if isinstance(stored.state, ForeignState)
    ]
    return state


async def capture(wallet: Wallet, row: int) -> None:
    with suppress(UserError), wallet.teller.hurry(IMPATIENT_S):
        await wallet.cashier.capture(row)


async def test_a_capture_that_the_bank_ignores_is_forced(court: Court) -> None:
    """Order, h and the bank's own hold are all that the claim needs; and it comes before the hold is over."""
    _ann, bob, row = await held(court)
    bob.wire.fate = lambda: "both" if court.claims() else "lost"
    await capture(bob, row)
    await court.resume_until(bob)
    (claim,) = [Claim.decode(entry.body) for entry in court.claims()]
    assert (claim.h, claim.certificates) == (carried(bob).h, ())
    assert court.round_of_claim() <= carried(bob).until()
    assert bob.units() == 13
    assert carried(bob).phase is Phase.SETTLED
    assert (await court.audit()).passed


@pytest.mark.parametrize("reason", [Refusal.NO_HOLD, Refusal.UNKNOWN_CERTIFICATE, Refusal.SUMS])
async def test_a_capture_that_is_refused_wrongly_is_forced(court: Court, reason: Refusal) -> None:
    """The bank's hold contradicts it, so only what it says in public ends the capture."""
    _ann, bob, row = await held(court)
    ask = bob.wire.ask

    async def deny(conversation: bytes, body: bytes, expires_s: int, timeout_s: float) -> bytes:
        asked = decode_request(body)
        if court.claims() or not isinstance(asked, Execute):
            return await ask(conversation, body, expires_s, timeout_s)
        subject = subject_of(asked, unknown=reason is Refusal.NO_HOLD)
        return sign_answer(court.key, court.signer.bank, subject, Refused(reason))

    bob.wire.ask = deny
    await capture(bob, row)
    assert carried(bob).phase is not Phase.REFUSED
    await court.resume_until(bob)
    assert len(court.claims()) == 1
    assert (bob.units(), carried(bob).phase) == (13, Phase.SETTLED)


async def test_a_capture_that_nobody_answers_convicts(court: Court) -> None:
    """As every claim without an answer."""
    _ann, bob, row = await held(court)
    bob.wire.fate, court.silent = (lambda: "lost"), True
    await capture(bob, row)
    for _ in range(10):
        await court.resume(bob)
    await court.ticks(10)
    assert len(court.claims()) == 1
    assert not (await court.audit()).passed


async def test_a_sealed_payment_that_the_bank_ignores_is_forced(court: Court, tmp_path: Path) -> None:
    """Its payer has shown the certificates of his coins, and they are checked before they are believed."""
    ann, bob = await court.funded(units=13), court.wallet("bob", **SOON)
    _, request = await bob.cashier.request(13, "")
    file = tmp_path / "payment"
    await ann.cashier.pay(request, now=True, is_sealed=True, path=file)
    bob.wire.fate = lambda: "both" if court.claims() else "lost"
    with suppress(UserError), bob.teller.hurry(IMPATIENT_S):
        await bob.cashier.take(file.read_text())
    await court.resume_until(bob)
    (claim,) = [Claim.decode(entry.body) for entry in court.claims()]
    assert len(claim.certificates) == len(claim.order.order.inputs)
    assert (bob.units(), carried(bob).phase) == (13, Phase.SETTLED)


def test_certificates_that_do_not_hold_are_none() -> None:
    """A payer may write what he likes; the payment itself is good all the same."""
    key, other, bank = SigningKey.generate(), SigningKey.generate(), SigningKey.generate()
    order = Order(bank_id(bank.public), bytes(16), 9, (CoinKey(key.public),), (fresh(3)[1],))
    opening = Mark.make(bytes(32), "", "").open((Part.REQUEST,))
    known = Bank(BankKeys(bank.public))
    for signer, count in ((bank, 1), (other, 0)):
        certificate = sign_certificate(signer, known.id, 3, 7, coin_id(key.public))
        shown = (ShownCertificate(3, 7, certificate),)
        notice = decode_notice(SealedNotice(sign_order(order, [key]), opening, shown).encode())
        assert isinstance(notice, SealedNotice)
        assert notice.certificates == shown
        assert len(certificates_of(notice, known)) == count
