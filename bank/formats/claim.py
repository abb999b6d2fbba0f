"""
Claims: what a customer whom the bank leaves without an answer shows to everyone (docs/spec/claim.md).

An opened order (or an account request), with the certificates of the coins that go in: whoever reads it can
check that the bank owes an answer, without asking anyone.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum

from bank.formats.account import Operation, SignedAccountRequest
from bank.formats.coin import MOST_EXPONENT, certificate_holds, coin_id
from bank.formats.entry import MOST_CLAIM_BYTES, ClaimEntry
from bank.formats.fields import Reader
from bank.formats.order import SignedOrder
from bank.formats.request import Deposit, Withdraw, decode_request, encode_request, subject_of
from bank.formats.request import Kind as RequestKind
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, labelled_hash

CLAIM_ANSWER_LABEL = Label("mixmint/claim-answer/v1")


class Subtype(IntEnum):
    """The first byte of a claim's body."""

    ORDER = 1
    """A SignedOrder that credits no account."""
    ACCOUNT = 2
    """A Withdraw, or a Deposit with its order."""


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """The certificate of one of the order's inputs: exponent 1, epoch 4, signature 64."""

    exponent: int
    epoch: int
    signature: bytes

    def encode(self) -> bytes:
        return self.exponent.to_bytes(1) + self.epoch.to_bytes(4) + self.signature

    @classmethod
    def read(cls, reader: Reader) -> "ShownCertificate":
        """Raises MalformedMessage: ``length``, ``value``."""
        found = cls(reader.number(1), reader.number(4), reader.take(64))
        if found.exponent > MOST_EXPONENT:
            raise MalformedMessage("value")
        return found


@dataclass(frozen=True, slots=True)
class Claim:
    """
    Encoded: subtype 1, length 2, the request without its kind byte, count of certificates 1, certificates 69
    each, one for each input of the order, in their order. A withdrawal has none.
    """

    request: SignedOrder | Withdraw | Deposit
    certificates: tuple[ShownCertificate, ...] = ()

    @property
    def subject(self) -> bytes:
        """What the bank's answer would name, had it been asked itself: 32 bytes."""
        return subject_of(self.request)

    @property
    def answer_subject(self) -> bytes:
        """
        What the bank's answer on the board names, 32 bytes: this claim, with all that it shows. So no answer
        that the bank gave before it was shown that can pass for one.
        """
        return labelled_hash(CLAIM_ANSWER_LABEL, self.entry().encode())

    @property
    def order(self) -> SignedOrder | None:
        """The opened order; None for a withdrawal."""
        match self.request:
            case Deposit(order=order):
                return order
            case SignedOrder():
                return self.request
        return None

    @property
    def account(self) -> SignedAccountRequest | None:
        """The account's request; None for an order between coins."""
        return None if isinstance(self.request, SignedOrder) else self.request.signed

    def encode(self) -> bytes:
        """The body of a CLAIM entry."""
        request = encode_request(self.request)[1:]
        return b"".join(
            (
                (Subtype.ORDER if isinstance(self.request, SignedOrder) else Subtype.ACCOUNT).to_bytes(1),
                len(request).to_bytes(2),
                request,
                len(self.certificates).to_bytes(1),
                *(each.encode() for each in self.certificates),
            )
        )

    def entry(self) -> ClaimEntry:
        """As it stands on the board."""
        return ClaimEntry(self.encode())

    @classmethod
    def decode(cls, body: bytes) -> "Claim":
        """
        Read a claim's body from hostile bytes; no signature is checked here.

        Raises MalformedMessage: ``length``, ``subtype``, ``counts``, and what ``decode_request`` raises.
        """
        if len(body) > MOST_CLAIM_BYTES:
            raise MalformedMessage("length")
        reader = Reader(body)
        subtype = reader.number(1)
        request = _read_request(subtype, reader.take(reader.number(2)))
        certificates = tuple([ShownCertificate.read(reader) for _ in range(reader.number(1))])
        reader.end()
        claim = cls(request, certificates)
        inputs = () if claim.order is None else claim.order.order.inputs
        if len(certificates) != len(inputs):
            raise MalformedMessage("counts")
        return claim

    def objection(self, bank_key: bytes | Collection[bytes], bank: bytes) -> str | None:
        """
        Why the bank (its key and id, 32 bytes each) owes no answer; None when it does. Where the bank had
        several keys, a certificate by any of these will do.

        At most 17 verifications for one key. Whether the account exists is for the board to say.
        """
        keys = (bank_key,) if isinstance(bank_key, bytes) else bank_key
        if self.account is not None:
            if self.account.request.bank != bank:
                return "it is for another bank"
            if not self.account.holds():
                return "it is not signed by its account"
        if self.order is None:
            return None
        order = self.order.order
        if order.bank != bank:
            return "it is for another bank"
        if self.order.false_signature() is not None:
            return "it is not signed by its coins"
        for public, shown in zip(order.inputs, self.certificates, strict=True):
            signed = shown.signature, bank, shown.exponent, shown.epoch, coin_id(public)
            if not any(certificate_holds(key, *signed) for key in keys):
                return "a coin that goes in is not certified by the bank"
        return None


def _read_request(subtype: int, body: bytes) -> SignedOrder | Withdraw | Deposit:
    if subtype == Subtype.ORDER:
        kind = RequestKind.ORDER
    elif subtype == Subtype.ACCOUNT:
        operation = SignedAccountRequest.read(Reader(body)).request.operation
        kind = RequestKind.WITHDRAW if operation is Operation.WITHDRAW else RequestKind.DEPOSIT
    else:
        raise MalformedMessage("subtype")
    request = decode_request(kind.to_bytes(1) + body)
    if not isinstance(request, SignedOrder | Withdraw | Deposit):
        # decode_request returns what the kind says.
        raise MalformedMessage("subtype")
    return request
