"""
The receipt's file: JSON, with the payment's orders, their coins' signatures for one reader, and proofs of
their entries.

The bank has seen the orders, and the payee of a hold has too; so the opening alone proves nothing about who
shows it. What does are fresh signatures by the coins' own keys, over a text that names whom it is for.

A payment by one order is written as version 1, one coin by coin as version 2: a list of its orders.

Source: docs/spec/receipt.md.
"""

from dataclasses import dataclass

import msgspec

from bank.board.log.proof import LogProof
from bank.formats.fields import Reader
from bank.formats.order import MOST_INPUTS, MOST_OUTPUTS, SignedOrder
from bank.formats.succession import KeyChange
from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import Label
from wallet.marks.mark import MarkOpening
from wallet.payment_request import PaymentRequest, parse_uri

RECEIPT_LABEL = Label("mixmint/receipt/v1")

WHAT = "mixmint payment receipt v1"
WHAT_2 = "mixmint payment receipt v2"
MOST_TO_BYTES = 200
MOST_FILE_BYTES = 1 << 20
MOST_ENTRIES = MOST_INPUTS + 2 * MOST_OUTPUTS + 1
"""Each posted certificate may have a round, and so a mark, of its own."""
MOST_ORDERS = MOST_OUTPUTS
"""One for each output of a request."""
MOST_CHANGES = 32
_NONE = "this is no payment receipt, or a damaged one; `mixmint wallet prove` makes one"


@dataclass(frozen=True, slots=True)
class ShownOrder:
    """
    One order. ``signatures``: one (64 bytes) by each input's coin key, over seal and the receipt's ``to``.
    ``opening``: of the order's mark; None when the order has none. ``entries``: proofs of the order's entries
    and of the marks of their rounds, each with its entry.
    """

    order: SignedOrder
    signatures: tuple[bytes, ...]
    opening: MarkOpening | None
    entries: tuple[LogProof, ...]

    def _written(self) -> "_Order":
        return _Order(
            order=self.order.encode().hex(),
            signatures=[signature.hex() for signature in self.signatures],
            mark="" if self.opening is None else self.opening.encode().hex(),
            entries=[proof.encode().decode() for proof in self.entries],
        )


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    ``to``: whom it is for, the payer's words. ``orders``: one for each coin of the request, or one in all.
    ``founding``: the bank's first key (32 bytes), ``changes``: of it.
    """

    to: str
    orders: tuple[ShownOrder, ...]
    request: PaymentRequest | None
    founding: bytes
    changes: tuple[KeyChange, ...]

    def encode(self) -> bytes:
        """The file's bytes."""
        orders = [shown._written() for shown in self.orders]
        request = "" if self.request is None else self.request.uri()
        changes = [change.encode().hex() for change in self.changes]
        written: _File | _File2 = _File2(WHAT_2, self.to, request, self.founding.hex(), changes, orders)
        if len(orders) == 1:
            (one,) = orders
            written = _File(
                what=WHAT,
                to=self.to,
                order=one.order,
                signatures=one.signatures,
                mark=one.mark,
                request=request,
                founding_key=self.founding.hex(),
                key_changes=changes,
                entries=one.entries,
            )
        return msgspec.json.format(msgspec.json.encode(written), indent=1) + b"\n"


class _Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    order: str
    signatures: list[str]
    mark: str
    entries: list[str]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    what: str
    to: str
    order: str
    signatures: list[str]
    mark: str
    request: str
    founding_key: str
    key_changes: list[str]
    entries: list[str]

    @property
    def orders(self) -> list[_Order]:
        return [_Order(self.order, self.signatures, self.mark, self.entries)]


class _File2(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    what: str
    to: str
    request: str
    founding_key: str
    key_changes: list[str]
    orders: list[_Order]


def is_receipt(data: bytes) -> bool:
    """Whether a file says that it is one: to tell it from other proofs."""
    return WHAT.encode() in data[:200] or WHAT_2.encode() in data[:200]


def read_receipt(data: bytes) -> Receipt:
    """Read hostile bytes; nothing is checked here but form and bounds. Raises UserError."""
    if len(data) > MOST_FILE_BYTES:
        raise UserError(_NONE)
    try:
        file: _File | _File2
        if WHAT_2.encode() in data[:200]:
            file, what = msgspec.json.decode(data, type=_File2), WHAT_2
        else:
            file, what = msgspec.json.decode(data, type=_File), WHAT
        if file.what != what or len(file.key_changes) > MOST_CHANGES or len(file.to.encode()) > MOST_TO_BYTES:
            raise UserError(_NONE)
        if not 1 <= len(file.orders) <= MOST_ORDERS:
            raise UserError(_NONE)
        return Receipt(
            file.to,
            tuple(_shown(each) for each in file.orders),
            parse_uri(file.request) if file.request else None,
            bytes.fromhex(file.founding_key),
            tuple(_change(bytes.fromhex(each)) for each in file.key_changes),
        )
    except (msgspec.MsgspecError, MalformedMessage, ValueError, RecursionError):
        raise UserError(_NONE) from None


def _shown(written: _Order) -> ShownOrder:
    order = SignedOrder.decode(bytes.fromhex(written.order))
    signatures = tuple(bytes.fromhex(each) for each in written.signatures)
    if len(signatures) != len(order.order.inputs) or len(written.entries) > MOST_ENTRIES:
        raise UserError(_NONE)
    return ShownOrder(
        order,
        signatures,
        MarkOpening.decode(bytes.fromhex(written.mark)) if written.mark else None,
        tuple(LogProof.decode(each.encode()) for each in written.entries),
    )


def _change(data: bytes) -> KeyChange:
    reader = Reader(data)
    change = KeyChange.read(reader)
    reader.end()
    return change


def check_to(text: str) -> str:
    """Whom a receipt is for, in words that fit. Raises UserError."""
    if len(text.encode()) > MOST_TO_BYTES:
        raise UserError(f"the text for the reader is longer than {MOST_TO_BYTES} bytes; shorten it")
    return text
