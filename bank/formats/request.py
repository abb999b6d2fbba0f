"""
What can be asked of the bank, the same bytes over the mixes and over HTTP (docs/spec/order.md).

A request is one kind byte and a body. An answer is in ``bank.formats.answer``.
"""

from dataclasses import dataclass
from enum import IntEnum

from bank.formats.account import Operation, SignedAccountRequest, SignedStatement
from bank.formats.fields import Reader
from bank.formats.order import NOTHING, SignedOrder
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, SigningKey, labelled_hash, verify

READ_LABEL = Label("mixmint/read-account/v1")
SUBJECT_LABEL = Label("mixmint/request-subject/v1")
MOST_REQUEST_BYTES = 1480


class Kind(IntEnum):
    """The first byte of a request."""

    ORDER = 1
    """A SignedOrder that credits no account: exchange, or hold when it carries tau."""
    EXECUTE = 2
    """seal 32, h 32: shows the h of a held order."""
    WITHDRAW = 3
    """A SignedAccountRequest with operation WITHDRAW."""
    DEPOSIT = 4
    """A SignedAccountRequest with operation DEPOSIT, then the SignedOrder whose seal it names."""
    STATEMENTS = 5
    """A ReadAccount: the account's statements from a sequence on."""
    REPLACE = 6
    """A SignedAccountRequest with operation REPLACE, then the receipt of the withdrawal that it names."""


@dataclass(frozen=True, slots=True)
class Execute:
    """Shows h for the order with this seal."""

    seal: bytes
    h: bytes

    def encode(self) -> bytes:
        return self.seal + self.h


@dataclass(frozen=True, slots=True)
class Withdraw:
    """A withdrawal."""

    signed: SignedAccountRequest

    def encode(self) -> bytes:
        return self.signed.encode()


@dataclass(frozen=True, slots=True)
class Deposit:
    """A deposit: the holder's request and the coins' order."""

    signed: SignedAccountRequest
    order: SignedOrder

    def encode(self) -> bytes:
        return self.signed.encode() + self.order.encode()


@dataclass(frozen=True, slots=True)
class Replace:
    """
    Coins of a withdrawal that were never spent, back to their account: the holder's request, and the receipt:
    the withdrawal's own request as he signed it, and the statement that the bank signed for it (222 bytes).
    """

    signed: SignedAccountRequest
    withdrawal: SignedAccountRequest
    statement: SignedStatement

    def encode(self) -> bytes:
        return self.signed.encode() + self.withdrawal.encode() + self.statement.encode()

    def fits(self) -> bool:
        """Whether request and receipt speak of one withdrawal of one account, and of coins that it made."""
        asked, withdrawn, booked = self.signed.request, self.withdrawal.request, self.statement.statement
        digest = withdrawn.digest()
        return (
            asked.operation is Operation.REPLACE
            and withdrawn.operation is booked.operation is Operation.WITHDRAW
            and asked.seal == digest == booked.digest
            and asked.account == withdrawn.account == booked.account
            and asked.bank == withdrawn.bank == booked.bank
            and set(asked.outputs) <= set(withdrawn.outputs)
        )


@dataclass(frozen=True, slots=True)
class ReadAccount:
    """bank 32, account 32, sequence 8 (the first wanted), signature 64 by the account's key."""

    bank: bytes
    account: bytes
    sequence: int
    signature: bytes

    def encode(self) -> bytes:
        return self.bank + self.account + self.sequence.to_bytes(8) + self.signature

    def holds(self) -> bool:
        """Whether the account's holder asks. It reads only, so a replay tells nobody anything new."""
        return verify(
            self.account, READ_LABEL, self.signature, self.bank, self.account, self.sequence.to_bytes(8)
        )


def sign_read(key: SigningKey, bank: bytes, sequence: int) -> ReadAccount:
    """The holder asks for his statements from ``sequence`` on."""
    signature = key.sign(READ_LABEL, bank, key.public, sequence.to_bytes(8))
    return ReadAccount(bank, key.public, sequence, signature)


BankRequest = SignedOrder | Execute | Withdraw | Deposit | Replace | ReadAccount

_KINDS: dict[type, Kind] = {
    SignedOrder: Kind.ORDER,
    Execute: Kind.EXECUTE,
    Withdraw: Kind.WITHDRAW,
    Deposit: Kind.DEPOSIT,
    Replace: Kind.REPLACE,
    ReadAccount: Kind.STATEMENTS,
}


def encode_request(request: BankRequest) -> bytes:
    """Kind byte and body."""
    return _KINDS[type(request)].to_bytes(1) + request.encode()


def subject_of(request: BankRequest, *, unknown: bool = False) -> bytes:
    """
    What the answer to a request names (32 bytes), so that no answer can pass for another request's.

    An order: its seal. EXECUTE: the seal it names. What changes an account: the digest of the account
    request. A reading of statements: the hash of the whole request.

    ``unknown``: the bank answers that it knows of no such hold. A seal that it doesn't know is whatever the
    asker wrote, another request's or a claim's name perhaps; so that answer names the hash of the EXECUTE.
    """
    if isinstance(request, Execute) and unknown:
        return unread_subject(encode_request(request))
    if isinstance(request, SignedOrder | Execute):
        return request.seal
    if isinstance(request, Withdraw | Deposit | Replace):
        return request.signed.request.digest()
    return unread_subject(encode_request(request))


def unread_subject(data: bytes) -> bytes:
    """The subject (32 bytes) of an answer to bytes that are no request, or that name nothing themselves."""
    return labelled_hash(SUBJECT_LABEL, data)


def decode_request(data: bytes) -> BankRequest:
    """
    Read a request from hostile bytes; no signature is checked here.

    Raises MalformedMessage.
    """
    if not 1 < len(data) <= MOST_REQUEST_BYTES:
        raise MalformedMessage("length")
    kind, body = data[0], data[1:]
    if kind == Kind.ORDER:
        order = SignedOrder.decode(body)
        if order.order.is_deposit:
            raise MalformedMessage("operation")
        return order
    reader = Reader(body)
    if kind == Kind.EXECUTE:
        execute = Execute(reader.take(32), reader.take(32))
        reader.end()
        return execute
    if kind == Kind.WITHDRAW:
        withdraw = Withdraw(SignedAccountRequest.read(reader))
        reader.end()
        if withdraw.signed.request.operation is not Operation.WITHDRAW:
            raise MalformedMessage("operation")
        return withdraw
    if kind == Kind.DEPOSIT:
        signed = SignedAccountRequest.read(reader)
        order = SignedOrder.decode(reader.rest())
        request = signed.request
        # The two halves must speak of the same order, account and bank. A deposit is never held: an account
        # statement can't lapse.
        if (
            request.operation is not Operation.DEPOSIT
            or request.seal != order.seal
            or request.account != order.order.account
            or request.bank != order.order.bank
            or order.order.tau != NOTHING
        ):
            raise MalformedMessage("operation")
        return Deposit(signed, order)
    if kind == Kind.REPLACE:
        replace = Replace(
            SignedAccountRequest.read(reader), SignedAccountRequest.read(reader), SignedStatement.read(reader)
        )
        reader.end()
        if not replace.fits():
            raise MalformedMessage("operation")
        return replace
    if kind == Kind.STATEMENTS:
        read = ReadAccount(reader.take(32), reader.take(32), reader.number(8), reader.take(64))
        reader.end()
        return read
    raise MalformedMessage("kind")
