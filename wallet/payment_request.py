"""
Payment requests: what a payee asks for, as a URI that is used once (docs/spec/payment-request.md).

It names coin ids that only the payee can spend. So no secret crosses the wire, a copy of the URI is worth
nothing to a thief, and whoever pays it needs no answer: the board shows both sides when it is paid.

Version 2 says more: a tau, when the payee wants the coins kept and decides later whether he takes them; and
reply blocks, by which the payer can send something back without learning to whom.
"""

import base64
import binascii
import hmac
from dataclasses import dataclass

from bank.formats.coin import total_units
from bank.formats.fields import Reader
from bank.formats.order import MOST_OUTPUTS, NOTHING, Output, read_outputs
from mix.packet.geometry import REPLY_BLOCK_BYTES
from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import Label, labelled_hash

CHECKSUM_LABEL = Label("mixmint/payment-request-checksum/v1")
DIGEST_LABEL = Label("mixmint/payment-request-digest/v1")

PREFIX = "mixmint:pay/"
PLAIN, WITH_MORE = 1, 2
"""The two versions. What version 1 can say is said in version 1, so a request has one encoding."""
CHECKSUM_BYTES = 4
MOST_NOTE_BYTES = 255
MOST_BLOCKS = 2
MOST_URI_CHARACTERS = 1900
"""The longest request has 1,890, and a QR code holds 2,953."""
_DAMAGED = "this is no whole payment request; copy it again, from 'mixmint:pay/' to its last letter"


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """
    A way back to the payee that doesn't tell who he is: 1 or 2 reply blocks (258 bytes each), one packet
    each, and the key (32 bytes) that messages by them are sealed to.
    """

    key: bytes
    blocks: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """
    What is asked. Encoded, numbers big-endian:

    version 1, bank id 32, last round 4, count of outputs 1 (1..16), outputs 33 each (sorted), length of the
    note 1, note (UTF-8); in version 2 then tau 32 (zero: none), count of blocks 1 (0..2) and, if there are
    any, key 32, blocks 258 each.

    ``last_round``: the payer's order must not be valid longer than this round of the board. ``tau``: the
    payer's order carries it, so the bank keeps the coins until the payee takes them or the hold ends.
    """

    bank: bytes
    last_round: int
    outputs: tuple[Output, ...]
    note: str = ""
    tau: bytes = NOTHING
    reply: ReplyTo | None = None

    @property
    def units(self) -> int:
        return total_units(output.exponent for output in self.outputs)

    @property
    def is_hold(self) -> bool:
        """Whether the payee wants the coins kept first."""
        return self.tau != NOTHING

    def encode(self) -> bytes:
        note = self.note.encode()
        has_more = self.is_hold or self.reply is not None
        return b"".join(
            (
                (WITH_MORE if has_more else PLAIN).to_bytes(1),
                self.bank,
                self.last_round.to_bytes(4),
                len(self.outputs).to_bytes(1),
                *(output.encode() for output in self.outputs),
                len(note).to_bytes(1),
                note,
                self._more() if has_more else b"",
            )
        )

    def _more(self) -> bytes:
        if self.reply is None:
            return self.tau + b"\x00"
        blocks = self.reply.blocks
        return b"".join((self.tau, len(blocks).to_bytes(1), self.reply.key, *blocks))

    @classmethod
    def decode(cls, data: bytes) -> "PaymentRequest":
        """Raises MalformedMessage."""
        reader = Reader(data)
        version = reader.number(1)
        if version not in (PLAIN, WITH_MORE):
            raise MalformedMessage("version")
        bank, last_round, count = reader.take(32), reader.number(4), reader.number(1)
        if not 1 <= count <= MOST_OUTPUTS:
            raise MalformedMessage("counts")
        outputs = read_outputs(reader, count)
        note = reader.take(reader.number(1))
        tau, reply = _read_more(reader) if version == WITH_MORE else (NOTHING, None)
        reader.end()
        try:
            return cls(bank, last_round, outputs, note.decode(), tau, reply)
        except UnicodeDecodeError:
            raise MalformedMessage("note") from None

    def digest(self) -> bytes:
        """32 bytes: what the payer's order is bound to, so that its opening shows what was paid."""
        return labelled_hash(DIGEST_LABEL, self.encode())

    def uri(self) -> str:
        """``mixmint:pay/`` and base64url of the encoding and its 4-byte checksum, without padding."""
        data = self.encode()
        return PREFIX + base64.urlsafe_b64encode(data + _checksum(data)).rstrip(b"=").decode()

    def __repr__(self) -> str:
        return f"PaymentRequest(units={self.units}, last_round={self.last_round})"


def _read_more(reader: Reader) -> tuple[bytes, ReplyTo | None]:
    """What version 2 adds; never nothing, which version 1 says shorter."""
    tau, count = reader.take(32), reader.number(1)
    if count > MOST_BLOCKS or (count == 0 and tau == NOTHING):
        raise MalformedMessage("counts")
    if not count:
        return tau, None
    key = reader.take(32)
    return tau, ReplyTo(key, tuple(reader.take(REPLY_BLOCK_BYTES) for _ in range(count)))


def _checksum(data: bytes) -> bytes:
    return labelled_hash(CHECKSUM_LABEL, data)[:CHECKSUM_BYTES]


def parse_uri(text: str) -> PaymentRequest:
    """
    Read a payment URI that a person pasted or scanned; white space around it is allowed.

    Raises UserError: not a payment URI, cut short or changed, or of a newer version.
    """
    text = text.strip()
    if not text.lower().startswith(PREFIX):
        raise UserError(f"this is no payment request; one begins with '{PREFIX}'")
    if len(text) > MOST_URI_CHARACTERS:
        raise UserError(_DAMAGED)
    body = text[len(PREFIX) :]
    try:
        # b64decode alone skips letters that are not of its alphabet: two texts would then be one request.
        data = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise UserError(_DAMAGED) from None
    content, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    if not hmac.compare_digest(checksum, _checksum(content)):
        raise UserError(_DAMAGED)
    try:
        request = PaymentRequest.decode(content)
    except MalformedMessage as error:
        if error.reason == "version":
            raise UserError("this payment request is of a newer version; update mixmint") from None
        raise UserError(_DAMAGED) from None
    if request.uri()[len(PREFIX) :] != body:
        raise UserError(_DAMAGED)
    return request


def check_note(note: str) -> str:
    """A note that fits a request. Raises UserError."""
    if len(note.encode()) > MOST_NOTE_BYTES:
        raise UserError(f"the note is longer than {MOST_NOTE_BYTES} bytes; shorten it")
    return note
