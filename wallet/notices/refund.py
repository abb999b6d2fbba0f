"""
Where a refund should go, said by who paid: bytes (docs/spec/notice.md, section 2). Pure.

Who has seen a request can write by its reply blocks. What he can't do is open the order that paid it, which
the board shows by its seal alone, nor sign with its coins' keys.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from bank.formats.claim import ShownCertificate
from bank.formats.coin import BankId, certificate_holds, coin_id, total_units
from bank.formats.fields import Reader
from bank.formats.order import MOST_INPUTS, MOST_OUTPUTS, NOTHING, SALT_BYTES, Order, seal_of
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, SigningKey, verify
from wallet.payment_request import PaymentRequest

REFUND_LABEL = Label("mixmint/refund-wanted/v1")
REFUND_KIND = 5
"""The first byte of such a notice. 3 was an earlier one, without certificates."""
MOST_ORDERS = 16
"""As many as a request has ids: then each was paid by an order of its own."""
_SIGNATURE_BYTES = 64


@dataclass(frozen=True)
class PaidBy:
    """
    One order of a payment, opened: its salt (16 bytes), and a signature (64 bytes) by each input's coin key,
    in input order, over the order's seal, the digest of the request that it paid, and the refund request.
    ``certificates``: of the inputs, in their order: that somebody signed for keys of his own, and a board
    listed it, makes no payment. ``round``: the one that shows them as spent. The repr hides them.
    """

    salt: bytes
    order: Order
    signatures: tuple[bytes, ...]
    certificates: tuple[ShownCertificate, ...]
    round: int

    @classmethod
    def make(
        cls,
        salt: bytes,
        order: Order,
        keys: dict[bytes, SigningKey],
        paid: bytes,
        wanted: PaymentRequest,
        certificates: tuple[ShownCertificate, ...],
        round_: int,
    ) -> "PaidBy":
        """``keys``: the inputs' coin keys, by their public key; KeyError when one is missing."""
        signed = seal_of(salt, order.encode()), paid, wanted.encode()
        signatures = tuple(keys[public].sign(REFUND_LABEL, *signed) for public in order.inputs)
        return cls(salt, order, signatures, certificates, round_)

    @cached_property
    def seal(self) -> bytes:
        """What the board shows of the order."""
        return seal_of(self.salt, self.order.encode())

    def holds(self, paid: bytes, wanted: PaymentRequest) -> bool:
        """Whether the holder of the order's coins wants this refund. One verification for each input."""
        signed = self.seal, paid, wanted.encode()
        pairs = zip(self.order.inputs, self.signatures, strict=True)
        return all(verify(public, REFUND_LABEL, signature, *signed) for public, signature in pairs)

    def is_money(self, bank: BankId, keys: Collection[bytes]) -> bool:
        """
        Whether one of the bank's ``keys`` certified every input, and they are worth what the order pays.
        Up to as many verifications for each input.
        """
        pairs = zip(self.order.inputs, self.certificates, strict=True)
        signed = [
            (each.signature, bank, each.exponent, each.epoch, coin_id(public)) for public, each in pairs
        ]
        worth = total_units(each.exponent for each in self.certificates)
        if worth < total_units(output.exponent for output in self.order.outputs):
            return False
        return all(any(certificate_holds(key, *each) for key in keys) for each in signed)

    def encode(self) -> bytes:
        order = self.order
        return b"".join(
            (
                self.salt,
                order.request_id,
                order.last_round.to_bytes(4),
                order.note,
                len(order.inputs).to_bytes(1),
                len(order.outputs).to_bytes(1),
                *order.inputs,
                *(output.encode() for output in order.outputs),
                *self.signatures,
                *(each.encode() for each in self.certificates),
                self.round.to_bytes(4),
            )
        )

    @classmethod
    def read(cls, reader: Reader, bank: bytes, tau: bytes) -> "PaidBy":
        """Raises MalformedMessage."""
        salt, request_id, last_round = reader.take(SALT_BYTES), reader.take(16), reader.number(4)
        note, inputs, outputs = reader.take(32), reader.number(1), reader.number(1)
        if not 1 <= inputs <= MOST_INPUTS or not 1 <= outputs <= MOST_OUTPUTS:
            raise MalformedMessage("counts")
        head = Order(bank, request_id, last_round, (), (), NOTHING, tau, note).encode()[:-2]
        counts = inputs.to_bytes(1) + outputs.to_bytes(1)
        body = reader.take(32 * inputs + 33 * outputs)
        order = Order.read(Reader(head + counts + body))
        signatures = tuple([reader.take(_SIGNATURE_BYTES) for _ in range(inputs)])
        certificates = tuple([ShownCertificate.read(reader) for _ in range(inputs)])
        return cls(salt, order, signatures, certificates, reader.number(4))

    def __repr__(self) -> str:
        return f"PaidBy(inputs={len(self.order.inputs)})"


@dataclass(frozen=True, slots=True)
class RefundTo:
    """
    Kind 5; digest 32 of the request that was paid; tau 32 of the orders that paid it (zero: none); length 2
    and the request that a refund should pay; count 1 (1..16) and the orders, each: salt 16, request id 16,
    last round 4, note 32, counts of inputs and outputs 1 each, inputs 32 each, outputs 33 each, signatures 64
    each, certificates 69 each, round 4. All are at the bank that the refund request names.
    """

    paid: bytes
    request: PaymentRequest
    orders: tuple[PaidBy, ...]

    def encode(self) -> bytes:
        request = self.request.encode()
        return b"".join(
            (
                REFUND_KIND.to_bytes(1),
                self.paid,
                self.orders[0].order.tau,
                len(request).to_bytes(2),
                request,
                len(self.orders).to_bytes(1),
                *(order.encode() for order in self.orders),
            )
        )

    @classmethod
    def read(cls, reader: Reader) -> "RefundTo":
        """All but the kind. Raises MalformedMessage."""
        paid, tau = reader.take(32), reader.take(32)
        request = PaymentRequest.decode(reader.take(reader.number(2)))
        count = reader.number(1)
        if not 1 <= count <= MOST_ORDERS:
            raise MalformedMessage("counts")
        orders = tuple([PaidBy.read(reader, request.bank, tau) for _ in range(count)])
        reader.end()
        return cls(paid, request, orders)

    def units(self, asked: PaymentRequest) -> int:
        """What these orders paid of the ids that a request asked for."""
        ids = {output.coin for output in asked.outputs}
        outputs = [output for order in self.orders for output in order.order.outputs]
        return sum(1 << output.exponent for output in outputs if output.coin in ids)

    def __repr__(self) -> str:
        return f"RefundTo(units={self.request.units}, orders={len(self.orders)})"
