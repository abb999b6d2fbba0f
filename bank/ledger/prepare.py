"""
Everything about a request that needs no book: reading it, its signatures, and the answer of the good case.

This is most of an order's price and runs outside the transaction, in any thread. What is signed here in
advance (certificates, the answer) leaves the bank only after the transaction that makes it true.
"""

from dataclasses import dataclass

from bank.formats.answer import Certificates, Refusal, Refused
from bank.formats.coin import coin_id
from bank.formats.entry import CertifiedEntry, SpentEntry
from bank.formats.order import NOTHING, Output, SignedOrder
from bank.formats.request import (
    BankRequest,
    Deposit,
    Execute,
    ReadAccount,
    Replace,
    Withdraw,
    decode_request,
    subject_of,
    unread_subject,
)
from bank.ledger.terms import Moment, Signer
from mixmint.errors import MalformedMessage


@dataclass(slots=True)
class Exchange:
    """
    A one-step order whose signatures hold: input ids, and what is answered and published when it succeeds.
    """

    order: SignedOrder
    coins: tuple[bytes, ...]
    certificates: Certificates
    entries: list[bytes]
    answer: bytes


@dataclass(slots=True)
class Refusing:
    """Refused whatever the books say: the signed answer."""

    answer: bytes


@dataclass(slots=True)
class Asking:
    """Any other request whose signatures hold; ``subject`` (32 bytes) is what its answer names."""

    request: SignedOrder | Execute | Withdraw | Deposit | Replace | ReadAccount
    subject: bytes


Prepared = Exchange | Asking | Refusing


def prepare(data: bytes, signer: Signer, moment: Moment) -> Prepared:
    """Read and check a request's bytes, which may be hostile. Never raises for what they hold."""
    try:
        request = decode_request(data)
    except MalformedMessage:
        return Refusing(signer.answer(unread_subject(data), Refused(Refusal.MALFORMED)))
    if type(request) is SignedOrder and request.order.tau == NOTHING:
        return _prepare_exchange(request, signer, moment)
    subject = subject_of(request)
    refusal = _objection(request, signer)
    return Asking(request, subject) if refusal is None else Refusing(signer.answer(subject, refusal))


def _prepare_exchange(signed: SignedOrder, signer: Signer, moment: Moment) -> Prepared:
    refusal = _objection(signed, signer)
    if refusal is not None:
        return Refusing(signer.answer(signed.seal, refusal))
    return certify_ahead(signed, signer, moment)


def certify_ahead(signed: SignedOrder, signer: Signer, moment: Moment) -> Exchange:
    """The good case of an exchange whose signatures hold, as it is answered at this moment."""
    order = signed.order
    certificates = signer.certificates(order.outputs, moment.epoch, signer.promised_round(moment))
    return Exchange(
        signed,
        tuple([coin_id(key) for key in order.inputs]),
        certificates,
        entries_of(signed, certificates),
        signer.answer(signed.seal, certificates),
    )


def entries_of(signed: SignedOrder, certificates: Certificates) -> list[bytes]:
    """An executed order's group for the board: its outputs certified, its inputs spent."""
    entries = certified_entries(signed.order.outputs, certificates)
    for key, signature in zip(signed.order.inputs, signed.signatures, strict=True):
        entries.append(SpentEntry(key, signed.seal, signature).encode())
    return entries


def certified_entries(outputs: tuple[Output, ...], certificates: Certificates) -> list[bytes]:
    """The board entries of newly certified outputs."""
    return [
        CertifiedEntry(output.coin, output.exponent, certificates.epoch, certificate).encode()
        for output, certificate in zip(outputs, certificates.certificates, strict=True)
    ]


def _objection(request: BankRequest, signer: Signer) -> Refused | None:
    """What can be said against a request without the books: another bank's, or a signature that is false."""
    if isinstance(request, Execute):
        return None
    if isinstance(request, SignedOrder):
        return _order_objection(request, signer)
    if isinstance(request, ReadAccount):
        if request.bank != signer.bank:
            return Refused(Refusal.WRONG_BANK)
        return None if request.holds() else Refused(Refusal.SIGNATURE)
    asked = request.signed.request
    if asked.bank != signer.bank:
        return Refused(Refusal.WRONG_BANK)
    if not request.signed.holds():
        return Refused(Refusal.SIGNATURE)
    if isinstance(request, Deposit):
        return _order_objection(request.order, signer)
    if isinstance(request, Replace) and not (
        request.withdrawal.holds() and request.statement.holds(signer.key.public)
    ):
        return Refused(Refusal.SIGNATURE)
    return None


def _order_objection(signed: SignedOrder, signer: Signer) -> Refused | None:
    if signed.order.bank != signer.bank:
        return Refused(Refusal.WRONG_BANK)
    index = signed.false_signature()
    return None if index is None else Refused(Refusal.SIGNATURE, index)
