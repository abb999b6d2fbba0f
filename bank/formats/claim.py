"""
Claims: what a customer whom the bank leaves without an answer shows to everyone (docs/spec/claim.md).

An opened request, with what makes it valid: the certificates of the coins that go in, the h of an order that
was held, the bank's own hold or statement. Whoever reads it can check that the bank owes an answer, without
asking anyone.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum

from bank.formats.account import Operation, SignedAccountRequest
from bank.formats.answer import Answer, Hold
from bank.formats.coin import MOST_EXPONENT, certificate_holds, coin_id
from bank.formats.entry import MOST_CLAIM_BYTES, ClaimEntry
from bank.formats.fields import Reader
from bank.formats.order import NOTHING, SignedOrder, tau_of
from bank.formats.request import Deposit, Replace, Withdraw, decode_request, encode_request, subject_of
from bank.formats.request import Kind as RequestKind
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, labelled_hash

CLAIM_ANSWER_LABEL = Label("mixmint/claim-answer/v1")
EXECUTION_LABEL = Label("mixmint/claim-execution/v1")
H_BYTES = 32

ClaimRequest = SignedOrder | Withdraw | Deposit | Replace

_ACCOUNT_KINDS = {
    Operation.WITHDRAW: RequestKind.WITHDRAW,
    Operation.DEPOSIT: RequestKind.DEPOSIT,
    Operation.REPLACE: RequestKind.REPLACE,
}


class Subtype(IntEnum):
    """The first byte of a claim's body."""

    ORDER = 1
    """A SignedOrder that credits no account."""
    ACCOUNT = 2
    """A Withdraw, a Deposit with its order, or a Replace with its receipt."""
    EXECUTION = 3
    """A SignedOrder with a tau, then its h: whoever has h asks that it be executed."""


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
    Encoded: subtype 1, length 2, the request without its kind byte (of an execution the order, then h 32),
    count of certificates 1, certificates 69 each, one for each input of the order, in their order. What has
    no order has none. An execution may have none either: then the bank's hold of this order, a signed answer,
    follows to the end; the bank gave that for coins that it certified, and whose sums were right.
    """

    request: ClaimRequest
    certificates: tuple[ShownCertificate, ...] = ()
    h: bytes = b""
    hold: Answer | None = None

    @property
    def subject(self) -> bytes:
        """What the bank's answer would name, had it been asked itself: 32 bytes."""
        return subject_of(self.request)

    @property
    def name(self) -> bytes:
        """
        What a board takes once, 32 bytes: the subject; but of an execution another, since the hold of the
        same order may have been claimed before by its payer.
        """
        return labelled_hash(EXECUTION_LABEL, self.subject) if self.h else self.subject

    @property
    def asks_for_hold(self) -> bool:
        """Whether what is claimed is a hold, which begins only when it is answered."""
        return isinstance(self.request, SignedOrder) and self.request.order.tau != NOTHING and not self.h

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
        request = encode_request(self.request)[1:] + self.h
        subtype = Subtype.ORDER if isinstance(self.request, SignedOrder) else Subtype.ACCOUNT
        return b"".join(
            (
                (Subtype.EXECUTION if self.h else subtype).to_bytes(1),
                len(request).to_bytes(2),
                request,
                len(self.certificates).to_bytes(1),
                *(each.encode() for each in self.certificates),
                b"" if self.hold is None else self.hold.encode(),
            )
        )

    def entry(self) -> ClaimEntry:
        """As it stands on the board."""
        return ClaimEntry(self.encode())

    @classmethod
    def decode(cls, body: bytes) -> "Claim":
        """
        Read a claim's body from hostile bytes; no signature is checked here.

        Raises MalformedMessage: ``length``, ``subtype``, ``counts``, and what the parts' readers raise.
        """
        if len(body) > MOST_CLAIM_BYTES:
            raise MalformedMessage("length")
        reader = Reader(body)
        subtype, data = reader.number(1), reader.take(reader.number(2))
        h = data[-H_BYTES:] if subtype == Subtype.EXECUTION else b""
        request = _read_request(subtype, data[: len(data) - len(h)])
        certificates = tuple([ShownCertificate.read(reader) for _ in range(reader.number(1))])
        if h and not certificates:
            return cls(request, (), h, _read_hold(reader.rest()))
        reader.end()
        claim = cls(request, certificates, h)
        inputs = () if claim.order is None else claim.order.order.inputs
        if len(certificates) != len(inputs):
            raise MalformedMessage("counts")
        return claim

    def objection(self, bank_key: bytes | Collection[bytes], bank: bytes) -> str | None:
        """
        Why the bank (its key and id, 32 bytes each) owes no answer; None when it does. Where the bank had
        several keys, a certificate by any of these will do.

        At most 18 verifications for one key. Whether the account exists is for the board to say.
        """
        keys = (bank_key,) if isinstance(bank_key, bytes) else bank_key
        if isinstance(self.request, Replace) and not (
            self.request.withdrawal.holds() and any(self.request.statement.holds(key) for key in keys)
        ):
            return "the withdrawal that it is about is not signed by both"
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
        if self.h and (order.tau == NOTHING or tau_of(self.h) != order.tau):
            return "its h doesn't open the order"
        if self.hold is not None:
            held = self.hold.subject == self.order.seal and isinstance(self.hold.body, Hold)
            if held and any(self.hold.holds(key, bank) for key in keys):
                return None
            return "the bank did not hold the order"
        for public, shown in zip(order.inputs, self.certificates, strict=True):
            signed = shown.signature, bank, shown.exponent, shown.epoch, coin_id(public)
            if not any(certificate_holds(key, *signed) for key in keys):
                return "a coin that goes in is not certified by the bank"
        return None


def _read_hold(data: bytes) -> Answer:
    answer = Answer.decode(data)
    if not isinstance(answer.body, Hold):
        raise MalformedMessage("counts")
    return answer


def _read_request(subtype: int, body: bytes) -> ClaimRequest:
    if subtype in (Subtype.ORDER, Subtype.EXECUTION):
        kind = RequestKind.ORDER
    elif subtype == Subtype.ACCOUNT:
        operation = SignedAccountRequest.read(Reader(body)).request.operation
        if operation not in _ACCOUNT_KINDS:
            raise MalformedMessage("subtype")
        kind = _ACCOUNT_KINDS[operation]
    else:
        raise MalformedMessage("subtype")
    request = decode_request(kind.to_bytes(1) + body)
    if not isinstance(request, ClaimRequest):
        # decode_request returns what the kind says.
        raise MalformedMessage("subtype")
    return request
