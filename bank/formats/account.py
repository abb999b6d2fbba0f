"""
Accounts: requests that the holder signs, statements that the bank signs (docs/spec/account.md).

An account is a public key p_i and a chain of statements. Each statement names the hash of the one before;
each request of the holder names the head that he accepts. So neither side can deny or invent a statement.
"""

from dataclasses import dataclass
from enum import IntEnum

from bank.formats.fields import Reader
from bank.formats.order import MOST_OUTPUTS, NOTHING, Output, read_outputs
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, SigningKey, labelled_hash, verify

REQUEST_LABEL = Label("mixmint/account-request/v1")
DIGEST_LABEL = Label("mixmint/account-request-digest/v1")
STATEMENT_LABEL = Label("mixmint/statement/v1")
HEAD_LABEL = Label("mixmint/statement-head/v1")

VERSION = 1
NO_HEAD = NOTHING
MOST_REPLACED = 8
"""Coins in one request for replacement: with its receipt it must fit into a packet."""
STATEMENT_BYTES = 1 + 32 + 32 + 8 + 1 + 8 + 8 + 32 + 32 + 4


class Operation(IntEnum):
    """What changed a balance, or what a request asks for."""

    OPENED = 1
    CREDIT = 2
    """By the operator: money came in from outside. Trusted (docs/THREATS.md)."""
    WITHDRAW = 3
    DEPOSIT = 4
    RECOVERED = 5
    """A successor's first statement: the balance as he took it over, no amount, and no request's."""
    REPLACE = 6
    """Withdrawn coins that were never spent, back after they expired."""


@dataclass(frozen=True, slots=True)
class Statement:
    """
    One link of an account's chain; 158 bytes, encoded in this order, numbers big-endian:

    version 1, bank id 32, account key 32, sequence 8 (from 1), operation 1, amount 8 (units), balance 8
    (units, after it), digest 32 (of the request that caused it; zeros for the operator's), previous head 32,
    round 4 (of the board, by which its entries are public).
    """

    bank: bytes
    account: bytes
    sequence: int
    operation: Operation
    amount: int
    balance: int
    digest: bytes
    previous: bytes
    round: int

    def encode(self) -> bytes:
        return b"".join(
            (
                VERSION.to_bytes(1),
                self.bank,
                self.account,
                self.sequence.to_bytes(8),
                self.operation.to_bytes(1),
                self.amount.to_bytes(8),
                self.balance.to_bytes(8),
                self.digest,
                self.previous,
                self.round.to_bytes(4),
            )
        )

    @classmethod
    def read(cls, reader: Reader) -> "Statement":
        """Raises MalformedMessage."""
        if reader.number(1) != VERSION:
            raise MalformedMessage("version")
        bank, account, sequence = reader.take(32), reader.take(32), reader.number(8)
        try:
            operation = Operation(reader.number(1))
        except ValueError:
            raise MalformedMessage("operation") from None
        amount, balance = reader.number(8), reader.number(8)
        digest, previous, round_ = reader.take(32), reader.take(32), reader.number(4)
        return cls(bank, account, sequence, operation, amount, balance, digest, previous, round_)

    def head(self) -> bytes:
        """The hash (32 bytes) by which the next statement and the holder's next request name this one."""
        return labelled_hash(HEAD_LABEL, self.encode())

    def follows(self, earlier: "Statement | None") -> bool:
        """Whether this is the next link after ``earlier``, with a balance that adds up."""
        if earlier is None:
            return (
                self.sequence == 1
                and self.previous == NO_HEAD
                and self.operation is Operation.OPENED
                and self.amount == self.balance == 0
            )
        change = -self.amount if self.operation is Operation.WITHDRAW else self.amount
        return (
            self.operation is not Operation.OPENED
            and (self.operation is not Operation.RECOVERED or self.amount == 0)
            and self.account == earlier.account
            and self.bank == earlier.bank
            and self.sequence == earlier.sequence + 1
            and self.previous == earlier.head()
            and self.balance == earlier.balance + change
        )


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement and the bank's signature over its bytes (222 bytes encoded)."""

    statement: Statement
    signature: bytes

    def encode(self) -> bytes:
        return self.statement.encode() + self.signature

    @classmethod
    def read(cls, reader: Reader) -> "SignedStatement":
        return cls(Statement.read(reader), reader.take(64))

    def holds(self, bank_key: bytes) -> bool:
        """Whether the bank signed it."""
        return verify(bank_key, STATEMENT_LABEL, self.signature, self.statement.encode())


def sign_statement(key: SigningKey, statement: Statement) -> SignedStatement:
    """The bank signs a statement."""
    return SignedStatement(statement, key.sign(STATEMENT_LABEL, statement.encode()))


@dataclass(frozen=True, slots=True)
class AccountRequest:
    """
    What an account's holder signs. Encoded, numbers big-endian:

    version 1, bank id 32, account key 32, sequence 8 (of the statement it asks for), head 32 (of the
    statement before it), operation 1 (WITHDRAW, DEPOSIT or REPLACE), request id 16, last round 4, seal 32
    (DEPOSIT: of the order whose sum is credited; REPLACE: the digest of the withdrawal; else zeros), count of
    outputs 1 (WITHDRAW: 1..16; REPLACE: 1..8 of the withdrawal's; else 0), outputs 33 each, sorted.
    """

    bank: bytes
    account: bytes
    sequence: int
    head: bytes
    operation: Operation
    request_id: bytes
    last_round: int
    seal: bytes = NOTHING
    outputs: tuple[Output, ...] = ()

    def encode(self) -> bytes:
        return b"".join(
            (
                VERSION.to_bytes(1),
                self.bank,
                self.account,
                self.sequence.to_bytes(8),
                self.head,
                self.operation.to_bytes(1),
                self.request_id,
                self.last_round.to_bytes(4),
                self.seal,
                len(self.outputs).to_bytes(1),
                *(output.encode() for output in self.outputs),
            )
        )

    def digest(self) -> bytes:
        """The hash (32 bytes) by which the statement names the request that caused it."""
        return labelled_hash(DIGEST_LABEL, self.encode())

    @classmethod
    def read(cls, reader: Reader) -> "AccountRequest":
        """Raises MalformedMessage."""
        if reader.number(1) != VERSION:
            raise MalformedMessage("version")
        bank, account, sequence, head = reader.take(32), reader.take(32), reader.number(8), reader.take(32)
        kind = reader.number(1)
        request_id, last_round, seal = reader.take(16), reader.number(4), reader.take(32)
        count = reader.number(1)
        if kind == Operation.WITHDRAW:
            # Everything that has no meaning here is zero: one request, one encoding.
            if not 1 <= count <= MOST_OUTPUTS or seal != NOTHING:
                raise MalformedMessage("counts")
        elif kind == Operation.REPLACE:
            if not 1 <= count <= MOST_REPLACED or seal == NOTHING:
                raise MalformedMessage("counts")
        elif kind != Operation.DEPOSIT or count or seal == NOTHING:
            raise MalformedMessage("operation")
        outputs = read_outputs(reader, count)
        return cls(bank, account, sequence, head, Operation(kind), request_id, last_round, seal, outputs)


@dataclass(frozen=True, slots=True)
class SignedAccountRequest:
    """A request and the holder's signature (64 bytes)."""

    request: AccountRequest
    signature: bytes

    def encode(self) -> bytes:
        return self.request.encode() + self.signature

    @classmethod
    def read(cls, reader: Reader) -> "SignedAccountRequest":
        return cls(AccountRequest.read(reader), reader.take(64))

    def holds(self) -> bool:
        """Whether the account's holder signed it."""
        return verify(self.request.account, REQUEST_LABEL, self.signature, self.request.encode())


def sign_request(key: SigningKey, request: AccountRequest) -> SignedAccountRequest:
    """The holder signs a request."""
    return SignedAccountRequest(request, key.sign(REQUEST_LABEL, request.encode()))
