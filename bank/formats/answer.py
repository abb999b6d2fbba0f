"""
What the bank answers: signed, and carrying the proof of what it says (docs/spec/order.md).

An answer is: kind 1, subject 32, body, signature 64. The subject is the seal of the order, or the digest of
the account request, that is answered (``bank.formats.request.subject_of``). The bank signs label, bank id,
kind, subject and body, so an answer can be shown to anyone together with the opened order.
"""

from dataclasses import dataclass
from enum import IntEnum

from bank.formats.account import SignedStatement
from bank.formats.coin import certificate_holds, coin_id
from bank.formats.fields import Reader
from bank.formats.order import MOST_INPUTS, MOST_OUTPUTS, spend_holds
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, SigningKey, verify

ANSWER_LABEL = Label("mixmint/answer/v1")
PROMISE_LABEL = Label("mixmint/promise/v1")

MOST_STATEMENTS = 6


class Kind(IntEnum):
    """The first byte of an answer."""

    CERTIFICATES = 1
    CREDITED = 2
    SPENT = 3
    TAKEN = 4
    HELD = 5
    REFUSED = 6
    HOLD = 7
    WITHDRAWN = 8
    STATEMENTS = 9


class Refusal(IntEnum):
    """Why the bank refused, each a thing that anyone can check from the opened request."""

    MALFORMED = 1
    WRONG_BANK = 2
    SUMS = 3
    UNKNOWN_CERTIFICATE = 4
    """An input id that was never certified. (A certificate shown in a claim proves the bank wrong.)"""
    SIGNATURE = 5
    TOO_LATE = 6
    """The board's round is past the order's last round."""
    EXPIRED_COIN = 7
    NO_ACCOUNT = 8
    SEQUENCE = 9
    """The account has newer statements than the request names; they come as STATEMENTS when asked for."""
    BALANCE = 10
    NO_HOLD = 11
    WRONG_H = 12
    NOT_YET = 13
    """A coin can't be replaced yet: its epoch isn't retired and swept, or a hold on it is live."""
    ENDED_COIN = 14
    """A coin was spent or replaced: the board shows it."""
    BUSY = 15
    """Of a hold: as many coins are held as the bank keeps at a time. Nothing happened; later it may."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """
    The outputs are certified. round 4 (in which they will be on the board, at the latest), epoch 4, count 1,
    certificates 64 each, in the order of the outputs.
    """

    round: int
    epoch: int
    certificates: tuple[bytes, ...]

    def encode(self) -> bytes:
        return b"".join(
            (
                self.round.to_bytes(4),
                self.epoch.to_bytes(4),
                len(self.certificates).to_bytes(1),
                *self.certificates,
            )
        )

    @classmethod
    def read(cls, reader: Reader) -> "Certificates":
        round_, epoch, count = reader.number(4), reader.number(4), reader.number(1)
        if not 1 <= count <= MOST_OUTPUTS:
            raise MalformedMessage("counts")
        return cls(round_, epoch, tuple(reader.take(64) for _ in range(count)))


@dataclass(frozen=True, slots=True)
class Credited:
    """The deposit is booked: its signed statement, with the round in which the board shows the coins."""

    statement: SignedStatement

    def encode(self) -> bytes:
        return self.statement.encode()

    @classmethod
    def read(cls, reader: Reader) -> "Credited":
        return cls(SignedStatement.read(reader))


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The withdrawal is booked: its signed statement, and the certificates."""

    statement: SignedStatement
    certificates: Certificates

    def encode(self) -> bytes:
        return self.statement.encode() + self.certificates.encode()

    @classmethod
    def read(cls, reader: Reader) -> "Withdrawn":
        return cls(SignedStatement.read(reader), Certificates.read(reader))


@dataclass(frozen=True, slots=True)
class Spent:
    """
    Input ``index`` was spent by an earlier order: its coin key 32, that order's seal 32, and the coin key's
    signature of that seal 64. Only a holder of x can have made it.
    """

    index: int
    coin_key: bytes
    seal: bytes
    signature: bytes

    def encode(self) -> bytes:
        return self.index.to_bytes(1) + self.coin_key + self.seal + self.signature

    @classmethod
    def read(cls, reader: Reader) -> "Spent":
        return cls(_index(reader, MOST_INPUTS), reader.take(32), reader.take(32), reader.take(64))

    def proves(self) -> bool:
        """Whether the coin's own key signed the earlier order."""
        return spend_holds(self.coin_key, self.seal, self.signature)


@dataclass(frozen=True, slots=True)
class Held(Spent):
    """Another hold on input ``index`` is live (Simon's "collision"): as Spent, then its last round 4."""

    last_round: int

    def encode(self) -> bytes:
        # Named, not super(): a dataclass with slots is a new class, which a bare super() would miss.
        return Spent.encode(self) + self.last_round.to_bytes(4)

    @classmethod
    def read(cls, reader: Reader) -> "Held":
        index, key, seal = _index(reader, MOST_INPUTS), reader.take(32), reader.take(32)
        return cls(index, key, seal, reader.take(64), reader.number(4))


@dataclass(frozen=True, slots=True)
class Promise:
    """
    The bank's word that an output id is promised to a held order.

    Coin 32, seal 32, last round 4, signature 64.
    """

    coin: bytes
    seal: bytes
    last_round: int
    signature: bytes

    def encode(self) -> bytes:
        return self.coin + self.seal + self.last_round.to_bytes(4) + self.signature

    @classmethod
    def read(cls, reader: Reader) -> "Promise":
        return cls(reader.take(32), reader.take(32), reader.number(4), reader.take(64))

    def holds(self, bank_key: bytes, bank: bytes) -> bool:
        """Whether the bank signed it."""
        last = self.last_round.to_bytes(4)
        return verify(bank_key, PROMISE_LABEL, self.signature, bank, self.coin, self.seal, last)


def sign_promise(key: SigningKey, bank: bytes, coin: bytes, seal: bytes, last_round: int) -> Promise:
    """The bank promises an output id to a held order."""
    signature = key.sign(PROMISE_LABEL, bank, coin, seal, last_round.to_bytes(4))
    return Promise(coin, seal, last_round, signature)


@dataclass(frozen=True, slots=True)
class CertifiedBefore:
    """The certificate that stands in the way: coin 32, exponent 1, epoch 4, certificate 64."""

    coin: bytes
    exponent: int
    epoch: int
    certificate: bytes

    def encode(self) -> bytes:
        return self.coin + self.exponent.to_bytes(1) + self.epoch.to_bytes(4) + self.certificate

    @classmethod
    def read(cls, reader: Reader) -> "CertifiedBefore":
        return cls(reader.take(32), reader.number(1), reader.number(4), reader.take(64))

    def holds(self, bank_key: bytes, bank: bytes) -> bool:
        """Whether the bank signed it."""
        return certificate_holds(bank_key, self.certificate, bank, self.exponent, self.epoch, self.coin)


@dataclass(frozen=True, slots=True)
class Taken:
    """Output ``index`` is certified (1) or promised (2) already: index 1, which 1, the proof."""

    index: int
    proof: CertifiedBefore | Promise

    def encode(self) -> bytes:
        which = 1 if isinstance(self.proof, CertifiedBefore) else 2
        return self.index.to_bytes(1) + which.to_bytes(1) + self.proof.encode()

    @classmethod
    def read(cls, reader: Reader) -> "Taken":
        index, which = _index(reader, MOST_OUTPUTS), reader.number(1)
        if which == 1:
            return cls(index, CertifiedBefore.read(reader))
        if which == 2:
            return cls(index, Promise.read(reader))
        raise MalformedMessage("proof")


@dataclass(frozen=True, slots=True)
class Refused:
    """reason 1, index 1 (of the input or output in question; else 0)."""

    reason: Refusal
    index: int = 0

    def encode(self) -> bytes:
        return self.reason.to_bytes(1) + self.index.to_bytes(1)

    @classmethod
    def read(cls, reader: Reader) -> "Refused":
        try:
            return cls(Refusal(reader.number(1)), _index(reader, MOST_OUTPUTS))
        except ValueError:
            raise MalformedMessage("reason") from None


@dataclass(frozen=True, slots=True)
class Hold:
    """The order's coins are unspent and kept for it: from round 4, to round 4 (both included)."""

    from_round: int
    to_round: int

    def encode(self) -> bytes:
        return self.from_round.to_bytes(4) + self.to_round.to_bytes(4)

    @classmethod
    def read(cls, reader: Reader) -> "Hold":
        return cls(reader.number(4), reader.number(4))


@dataclass(frozen=True, slots=True)
class Statements:
    """Up to six signed statements of the asking account, in sequence: count 1, then 222 bytes each."""

    statements: tuple[SignedStatement, ...]

    def encode(self) -> bytes:
        return len(self.statements).to_bytes(1) + b"".join(each.encode() for each in self.statements)

    @classmethod
    def read(cls, reader: Reader) -> "Statements":
        count = reader.number(1)
        if count > MOST_STATEMENTS:
            raise MalformedMessage("counts")
        return cls(tuple(SignedStatement.read(reader) for _ in range(count)))


Body = Certificates | Credited | Spent | Taken | Held | Refused | Hold | Withdrawn | Statements

_KINDS: dict[Kind, type[Body]] = {
    Kind.CERTIFICATES: Certificates,
    Kind.CREDITED: Credited,
    Kind.SPENT: Spent,
    Kind.TAKEN: Taken,
    Kind.HELD: Held,
    Kind.REFUSED: Refused,
    Kind.HOLD: Hold,
    Kind.WITHDRAWN: Withdrawn,
    Kind.STATEMENTS: Statements,
}
_KIND_OF = {kind: number for number, kind in _KINDS.items()}


def _index(reader: Reader, most: int) -> int:
    index = reader.number(1)
    if index >= most:
        raise MalformedMessage("index")
    return index


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it travels. ``body`` says which kind it is."""

    subject: bytes
    body: Body
    signature: bytes

    def encode(self) -> bytes:
        return self.signed_part() + self.signature

    def signed_part(self) -> bytes:
        return _KIND_OF[type(self.body)].to_bytes(1) + self.subject + self.body.encode()

    def holds(self, bank_key: bytes, bank: bytes) -> bool:
        """Whether the bank signed it."""
        return verify(bank_key, ANSWER_LABEL, self.signature, bank, self.signed_part())

    @classmethod
    def decode(cls, data: bytes) -> "Answer":
        """Read an answer; no signature is checked here. Raises MalformedMessage."""
        reader = Reader(data)
        try:
            kind = Kind(reader.number(1))
        except ValueError:
            raise MalformedMessage("kind") from None
        subject = reader.take(32)
        body = _KINDS[kind].read(reader)
        signature = reader.take(64)
        reader.end()
        return cls(subject, body, signature)


NO_SUCH_HOLD = Refused(Refusal.NO_HOLD)
"""What this answers is named otherwise (``bank.formats.request.subject_of``)."""


def sign_answer(key: SigningKey, bank: bytes, subject: bytes, body: Body) -> bytes:
    """The bank signs an answer; its bytes as they travel."""
    part = _KIND_OF[type(body)].to_bytes(1) + subject + body.encode()
    return part + key.sign(ANSWER_LABEL, bank, part)


def spent_coin(proof: Spent) -> bytes:
    """The id of the coin that a *spent* or *held* proof is about."""
    return coin_id(proof.coin_key)
