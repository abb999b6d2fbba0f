"""
What a payer tells his payee: bytes, and the text that they travel as. Pure (docs/spec/notice.md).

None of them is money. A hold and a sealed payment pay the payee's own ids, whoever submits them; what they
tell (the order: inputs, change, what its mark opens) is between the two.
"""

import base64
import binascii
import hmac
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

from bank.formats.answer import Answer, Hold
from bank.formats.claim import ShownCertificate
from bank.formats.fields import Reader
from bank.formats.order import NOTHING, SignedOrder
from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import Label, labelled_hash
from wallet.marks.mark import MarkOpening
from wallet.notices.refund import REFUND_KIND, RefundTo

CHECKSUM_LABEL = Label("mixmint/notice-checksum/v1")

FIRST_LINE = "mixmint payment notice v1"
MOST_TEXT_CHARACTERS = 8192
_CHECKSUM_BYTES = 4
_LINE_CHARACTERS = 76
_DAMAGED = "the payment notice is damaged; ask the payer for a whole copy"


class Kind(IntEnum):
    """The first byte of a notice."""

    HOLD = 1
    SEALED = 2
    REFUND_TO = REFUND_KIND
    SEALED_CERTIFIED = 4


@dataclass(frozen=True, slots=True)
class HoldNotice:
    """The coins are kept: length 2 and the opened order (with a tau); the bank's signed answer to the end."""

    order: SignedOrder
    answer: Answer

    @property
    def hold(self) -> Hold:
        """Decoding has seen that it is one."""
        if not isinstance(self.answer.body, Hold):
            raise MalformedMessage("answer")
        return self.answer.body

    def encode(self) -> bytes:
        return Kind.HOLD.to_bytes(1) + _sized(self.order.encode()) + self.answer.encode()

    def __repr__(self) -> str:
        return "HoldNotice()"


@dataclass(frozen=True, slots=True)
class SealedNotice:
    """
    The payment itself: length 2 and the signed order (without tau); the certificates of its inputs, 69 bytes
    each (of kind SEALED none); the opening of its mark to the end.
    """

    order: SignedOrder
    opening: MarkOpening
    certificates: tuple[ShownCertificate, ...] = ()

    def encode(self) -> bytes:
        kind = Kind.SEALED_CERTIFIED if self.certificates else Kind.SEALED
        shown = b"".join(each.encode() for each in self.certificates)
        return kind.to_bytes(1) + _sized(self.order.encode()) + shown + self.opening.encode()

    def __repr__(self) -> str:
        return "SealedNotice()"


Notice = HoldNotice | SealedNotice | RefundTo


def decode_notice(data: bytes) -> Notice:
    """Read hostile bytes; no signature is checked here. Raises MalformedMessage."""
    reader = Reader(data)
    kind = reader.number(1)
    if kind == Kind.REFUND_TO:
        return RefundTo.read(reader)
    if kind not in (Kind.HOLD, Kind.SEALED, Kind.SEALED_CERTIFIED):
        raise MalformedMessage("kind")
    order = SignedOrder.decode(reader.take(reader.number(2)))
    if order.order.is_deposit or (kind == Kind.HOLD) is (order.order.tau == NOTHING):
        raise MalformedMessage("operation")
    if kind != Kind.HOLD:
        count = len(order.order.inputs) if kind == Kind.SEALED_CERTIFIED else 0
        shown = tuple([ShownCertificate.read(reader) for _ in range(count)])
        return SealedNotice(order, MarkOpening.decode(reader.rest()), shown)
    notice = HoldNotice(order, Answer.decode(reader.rest()))
    if not isinstance(notice.answer.body, Hold):
        raise MalformedMessage("answer")
    return notice


def decode_all(kept: Iterable[bytes]) -> list[Notice]:
    """Notices that were decoded once; what an earlier version kept in another form is passed over."""
    found: list[Notice] = []
    for data in kept:
        with suppress(MalformedMessage):
            found.append(decode_notice(data))
    return found


def notice_text(notice: Notice) -> str:
    """As it travels: the first line, then base64 of bytes and checksum in lines of 76."""
    return armour(FIRST_LINE, notice.encode())


def parse_notice(text: str) -> Notice:
    """Raises UserError: no notice, cut short or changed."""
    try:
        return decode_notice(unarmour(FIRST_LINE, text))
    except MalformedMessage:
        raise UserError(_DAMAGED) from None


def armour(first_line: str, data: bytes) -> str:
    """Bytes and their checksum as a text that survives copying."""
    body = base64.b64encode(data + _checksum(data)).decode()
    lines = [body[at : at + _LINE_CHARACTERS] for at in range(0, len(body), _LINE_CHARACTERS)]
    return "\n".join((first_line, *lines, ""))


def unarmour(first_line: str, text: str) -> bytes:
    """Raises UserError."""
    first, _, body = text.strip().partition("\n")
    if first.strip() != first_line:
        raise UserError(f"this is no payment notice; one begins with the line '{first_line}'")
    if len(text) > MOST_TEXT_CHARACTERS:
        raise UserError(_DAMAGED)
    try:
        data = base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UserError(_DAMAGED) from None
    content, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if not hmac.compare_digest(checksum, _checksum(content)):
        raise UserError(_DAMAGED)
    return content


def _checksum(data: bytes) -> bytes:
    return labelled_hash(CHECKSUM_LABEL, data)[:_CHECKSUM_BYTES]


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data
