"""
The receipt's file: JSON, with the order, its coins' signatures for one reader, and proofs of its entries.

The bank has seen the order, and the payee of a hold has too; so the opening alone proves nothing about who
shows it. What does are fresh signatures by the coins' own keys, over a text that names whom it is for.

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
MOST_TO_BYTES = 200
MOST_FILE_BYTES = 1 << 20
MOST_ENTRIES = MOST_INPUTS + MOST_OUTPUTS + 1
MOST_CHANGES = 32
_NONE = "this is no payment receipt, or a damaged one; `mixmint wallet prove` makes one"


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    ``to``: whom it is for, the payer's words. ``signatures``: one (64 bytes) by each input's coin key, over
    seal and ``to``. ``opening``: of the order's mark; None when the order has none. ``founding``: the bank's
    first key (32 bytes), ``changes``: of it. ``entries``: proofs of the order's entries and of the mark of
    their round, each with its entry.
    """

    to: str
    order: SignedOrder
    signatures: tuple[bytes, ...]
    opening: MarkOpening | None
    request: PaymentRequest | None
    founding: bytes
    changes: tuple[KeyChange, ...]
    entries: tuple[LogProof, ...]

    def encode(self) -> bytes:
        """The file's bytes."""
        written = _File(
            what=WHAT,
            to=self.to,
            order=self.order.encode().hex(),
            signatures=[signature.hex() for signature in self.signatures],
            mark="" if self.opening is None else self.opening.encode().hex(),
            request="" if self.request is None else self.request.uri(),
            founding_key=self.founding.hex(),
            key_changes=[change.encode().hex() for change in self.changes],
            entries=[proof.encode().decode() for proof in self.entries],
        )
        return msgspec.json.format(msgspec.json.encode(written), indent=1) + b"\n"


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


def is_receipt(data: bytes) -> bool:
    """Whether a file says that it is one: to tell it from other proofs."""
    return WHAT.encode() in data[:200]


def read_receipt(data: bytes) -> Receipt:
    """Read hostile bytes; nothing is checked here but form and bounds. Raises UserError."""
    if len(data) > MOST_FILE_BYTES:
        raise UserError(_NONE)
    try:
        file = msgspec.json.decode(data, type=_File)
        if file.what != WHAT or len(file.entries) > MOST_ENTRIES or len(file.key_changes) > MOST_CHANGES:
            raise UserError(_NONE)
        order = SignedOrder.decode(bytes.fromhex(file.order))
        signatures = tuple(bytes.fromhex(each) for each in file.signatures)
        if len(signatures) != len(order.order.inputs) or len(file.to.encode()) > MOST_TO_BYTES:
            raise UserError(_NONE)
        return Receipt(
            file.to,
            order,
            signatures,
            MarkOpening.decode(bytes.fromhex(file.mark)) if file.mark else None,
            parse_uri(file.request) if file.request else None,
            bytes.fromhex(file.founding_key),
            tuple(_change(bytes.fromhex(each)) for each in file.key_changes),
            tuple(LogProof.decode(each.encode()) for each in file.entries),
        )
    except (msgspec.MsgspecError, MalformedMessage, ValueError, RecursionError):
        raise UserError(_NONE) from None


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
