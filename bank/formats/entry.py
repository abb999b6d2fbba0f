"""
Entries of the public board (docs/spec/board.md). An entry's bytes are a leaf of its log.

Kind 1, then fixed-width fields. Each proves itself: a certificate by the bank's key, a spent coin by its own.
The board's own entries, the map's root and the marks of rounds, are proved by its signature of the log.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from bank.formats.coin import MOST_EXPONENT, BankId, certificate_holds, coin_id
from bank.formats.fields import Reader
from bank.formats.order import spend_holds
from bank.formats.statement import BankStatement
from bank.formats.succession import KeyChange
from bank.formats.terms import PublishedTerms
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, SigningKey, verify

KEY_LABEL = Label("mixmint/key-entry/v1")
REPLACED_LABEL = Label("mixmint/replaced/v1")
MOST_ENTRY_BYTES = 32_768
"""Statements, claims and accusations vary in length; the log's format would hold 65,535."""
MOST_CLAIM_BYTES = 4096


class Kind(IntEnum):
    """The first byte of an entry."""

    KEY = 1
    ACCOUNT = 2
    CERTIFIED = 3
    SPENT = 4
    STATEMENT = 5
    REPLACED = 6
    POSTED = 7
    MAP = 8
    CLAIM = 9
    ANSWER = 10
    ACCUSATION = 11
    KEY_CHANGE = 12
    TERMS = 13
    ROUND = 127
    """The highest, so that it ends its round by the same sorting that orders the others."""


FROM_THE_BANK = frozenset(
    {
        Kind.KEY,
        Kind.ACCOUNT,
        Kind.CERTIFIED,
        Kind.SPENT,
        Kind.STATEMENT,
        Kind.REPLACED,
        Kind.ANSWER,
        Kind.TERMS,
    }
)
"""What the bank's feed may carry. All but answers can come from nobody else."""


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """The bank's signing key: bank id 32, public key 32, its own signature of both 64."""

    bank: bytes
    public: bytes
    signature: bytes

    def encode(self) -> bytes:
        return Kind.KEY.to_bytes(1) + self.bank + self.public + self.signature

    def holds(self, bank: BankId) -> bool:
        """Whether it is this bank's, and made by the key itself."""
        return self.bank == bank and verify(self.public, KEY_LABEL, self.signature, self.bank, self.public)


def make_key_entry(key: SigningKey, bank: BankId) -> KeyEntry:
    """The bank publishes its signing key."""
    return KeyEntry(bank, key.public, key.sign(KEY_LABEL, bank, key.public))


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """An account was opened: its public key 32."""

    account: bytes

    def encode(self) -> bytes:
        return Kind.ACCOUNT.to_bytes(1) + self.account


@dataclass(frozen=True, slots=True)
class CertifiedEntry:
    """
    A coin was certified, by a withdrawal or an exchange: which of them it doesn't tell.

    Coin id 32, exponent 1, epoch 4, certificate 64.
    """

    coin: bytes
    exponent: int
    epoch: int
    certificate: bytes

    def encode(self) -> bytes:
        return (
            Kind.CERTIFIED.to_bytes(1)
            + self.coin
            + self.exponent.to_bytes(1)
            + self.epoch.to_bytes(4)
            + self.certificate
        )

    def holds(self, bank_key: bytes, bank: bytes) -> bool:
        """Whether the bank certified it."""
        return certificate_holds(bank_key, self.certificate, bank, self.exponent, self.epoch, self.coin)


@dataclass(frozen=True, slots=True)
class SpentEntry:
    """A coin was spent: its public coin key 32, the order's seal 32, the coin key's signature of it 64."""

    coin_key: bytes
    seal: bytes
    signature: bytes

    def encode(self) -> bytes:
        return Kind.SPENT.to_bytes(1) + self.coin_key + self.seal + self.signature

    @property
    def coin(self) -> bytes:
        """The coin's id, f(x)."""
        return coin_id(self.coin_key)

    def holds(self) -> bool:
        """Whether a holder of the coin's secret signed."""
        return spend_holds(self.coin_key, self.seal, self.signature)


@dataclass(frozen=True, slots=True)
class PostedEntry(CertifiedEntry):
    """A certificate that its holder put on the board himself, since the bank hadn't by the promised round."""

    def encode(self) -> bytes:
        return Kind.POSTED.to_bytes(1) + CertifiedEntry.encode(self)[1:]


@dataclass(frozen=True, slots=True)
class ReplacedEntry:
    """
    A coin that was never spent went back to its account, for good.

    Coin id 32, exponent 1, epoch 4, the bank's signature of them 64.
    """

    coin: bytes
    exponent: int
    epoch: int
    signature: bytes

    def encode(self) -> bytes:
        return b"".join((Kind.REPLACED.to_bytes(1), *self._fields(), self.signature))

    def _fields(self) -> tuple[bytes, bytes, bytes]:
        return self.coin, self.exponent.to_bytes(1), self.epoch.to_bytes(4)

    def holds(self, bank_key: bytes, bank: bytes) -> bool:
        """Whether the bank says so."""
        return verify(bank_key, REPLACED_LABEL, self.signature, bank, *self._fields())


def make_replaced_entry(
    key: SigningKey, bank: bytes, coin: bytes, exponent: int, epoch: int
) -> ReplacedEntry:
    """The bank publishes that it took a coin back."""
    fields = (coin, exponent.to_bytes(1), epoch.to_bytes(4))
    return ReplacedEntry(coin, exponent, epoch, key.sign(REPLACED_LABEL, bank, *fields))


@dataclass(frozen=True, slots=True)
class StatementEntry:
    """The bank's statement."""

    statement: BankStatement

    def encode(self) -> bytes:
        return Kind.STATEMENT.to_bytes(1) + self.statement.encode()


@dataclass(frozen=True, slots=True)
class MapEntry:
    """
    The board's map of coins, as it stands after the log's first ``size`` leaves: the end of ``round``.

    Round 4, size 8, how many coins 8, root 32.
    """

    round: int
    size: int
    coins: int
    root: bytes

    def encode(self) -> bytes:
        return b"".join(
            (
                Kind.MAP.to_bytes(1),
                self.round.to_bytes(4),
                self.size.to_bytes(8),
                self.coins.to_bytes(8),
                self.root,
            )
        )


@dataclass(frozen=True, slots=True)
class ClaimEntry:
    """A customer's claim against the bank; what stands in it is bank/formats/claim.py's."""

    body: bytes

    def encode(self) -> bytes:
        return Kind.CLAIM.to_bytes(1) + self.body


@dataclass(frozen=True, slots=True)
class AnswerEntry:
    """An answer that the bank signed (``bank.formats.answer``), made public."""

    body: bytes

    def encode(self) -> bytes:
        return Kind.ANSWER.to_bytes(1) + self.body


@dataclass(frozen=True, slots=True)
class AccusationEntry:
    """An accusation file, as it is."""

    body: bytes

    def encode(self) -> bytes:
        return Kind.ACCUSATION.to_bytes(1) + self.body


@dataclass(frozen=True, slots=True)
class KeyChangeEntry:
    """The network's authorities replaced the bank's key."""

    change: KeyChange

    def encode(self) -> bytes:
        return Kind.KEY_CHANGE.to_bytes(1) + self.change.encode()


@dataclass(frozen=True, slots=True)
class TermsEntry:
    """The bank's terms, signed; they hold from this entry's round on."""

    terms: PublishedTerms

    def encode(self) -> bytes:
        return Kind.TERMS.to_bytes(1) + self.terms.encode()


@dataclass(frozen=True, slots=True)
class RoundEntry:
    """
    A round ends here: its number 4 (from 1), when it closed 8 (Unix seconds, never descending), and the index
    of its first leaf 8, which is the mark's own when the round is empty.
    """

    number: int
    closed_at_s: int
    first: int

    def encode(self) -> bytes:
        return b"".join(
            (
                Kind.ROUND.to_bytes(1),
                self.number.to_bytes(4),
                self.closed_at_s.to_bytes(8),
                self.first.to_bytes(8),
            )
        )


Entry = (
    KeyEntry
    | AccountEntry
    | CertifiedEntry
    | SpentEntry
    | StatementEntry
    | ReplacedEntry
    | PostedEntry
    | MapEntry
    | ClaimEntry
    | AnswerEntry
    | AccusationEntry
    | KeyChangeEntry
    | TermsEntry
    | RoundEntry
)

_READERS: dict[int, Callable[[Reader], Entry]] = {
    Kind.KEY: lambda r: KeyEntry(r.take(32), r.take(32), r.take(64)),
    Kind.ACCOUNT: lambda r: AccountEntry(r.take(32)),
    Kind.CERTIFIED: lambda r: CertifiedEntry(r.take(32), _exponent(r), r.number(4), r.take(64)),
    Kind.SPENT: lambda r: SpentEntry(r.take(32), r.take(32), r.take(64)),
    Kind.STATEMENT: lambda r: StatementEntry(BankStatement.read(r)),
    Kind.REPLACED: lambda r: ReplacedEntry(r.take(32), _exponent(r), r.number(4), r.take(64)),
    Kind.POSTED: lambda r: PostedEntry(r.take(32), _exponent(r), r.number(4), r.take(64)),
    Kind.MAP: lambda r: MapEntry(r.number(4), r.number(8), r.number(8), r.take(32)),
    Kind.CLAIM: lambda r: ClaimEntry(r.rest()),
    Kind.ANSWER: lambda r: AnswerEntry(r.rest()),
    Kind.ACCUSATION: lambda r: AccusationEntry(r.rest()),
    Kind.KEY_CHANGE: lambda r: KeyChangeEntry(KeyChange.read(r)),
    Kind.TERMS: lambda r: TermsEntry(PublishedTerms.read(r)),
    Kind.ROUND: lambda r: RoundEntry(r.number(4), r.number(8), r.number(8)),
}

_FIXED_BYTES: dict[int, int] = {
    Kind.KEY: 129,
    Kind.ACCOUNT: 33,
    Kind.CERTIFIED: 102,
    Kind.SPENT: 129,
    Kind.REPLACED: 102,
    Kind.POSTED: 102,
    Kind.MAP: 53,
    Kind.ROUND: 21,
}
_WITH_EXPONENT = frozenset({Kind.CERTIFIED, Kind.REPLACED, Kind.POSTED})
_EXPONENT_AT = 33


def _exponent(reader: Reader) -> int:
    exponent = reader.number(1)
    if exponent > MOST_EXPONENT:
        raise MalformedMessage("value")
    return exponent


def decode_entry(data: bytes) -> Entry:
    """Read an entry; no signature is checked here. Raises MalformedMessage."""
    if len(data) > MOST_ENTRY_BYTES:
        raise MalformedMessage("length")
    reader = Reader(data)
    read = _READERS.get(reader.number(1))
    if read is None:
        raise MalformedMessage("kind")
    entry = read(reader)
    reader.end()
    return entry


def check_entry(entry: bytes) -> None:
    """
    Whether ``decode_entry`` would take these bytes, at a tenth of its price for the kinds that come by the
    thousand: fixed widths mean that kind, length and exponent are all there is to check.

    Raises MalformedMessage: ``kind``, ``length``, ``value``, and what a statement's reader raises.
    """
    if not entry:
        raise MalformedMessage("length")
    kind = entry[0]
    wanted = _FIXED_BYTES.get(kind)
    if wanted is None:
        decode_entry(entry)
    elif len(entry) != wanted:
        raise MalformedMessage("length")
    elif kind in _WITH_EXPONENT and entry[_EXPONENT_AT] > MOST_EXPONENT:
        raise MalformedMessage("value")
