"""
Entries of the public board (docs/spec/board.md). An entry's bytes are what a verifiable log hashes as a leaf.

Kind 1, then fixed-width fields. Each proves itself: a certificate by the bank's key, a spent coin by its own.
"""

from dataclasses import dataclass
from enum import IntEnum

from bank.formats.coin import MOST_EXPONENT, BankId, certificate_holds, coin_id
from bank.formats.fields import Reader
from bank.formats.order import spend_holds
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, SigningKey, verify

KEY_LABEL = Label("mixmint/key-entry/v1")
MOST_ENTRY_BYTES = 4096


class Kind(IntEnum):
    """The first byte of an entry."""

    KEY = 1
    ACCOUNT = 2
    CERTIFIED = 3
    SPENT = 4


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


Entry = KeyEntry | AccountEntry | CertifiedEntry | SpentEntry


def decode_entry(data: bytes) -> Entry:
    """Read an entry; no signature is checked here. Raises MalformedMessage."""
    reader = Reader(data)
    kind = reader.number(1)
    entry: Entry
    if kind == Kind.CERTIFIED:
        entry = CertifiedEntry(reader.take(32), reader.number(1), reader.number(4), reader.take(64))
        if entry.exponent > MOST_EXPONENT:
            raise MalformedMessage("value")
    elif kind == Kind.SPENT:
        entry = SpentEntry(reader.take(32), reader.take(32), reader.take(64))
    elif kind == Kind.ACCOUNT:
        entry = AccountEntry(reader.take(32))
    elif kind == Kind.KEY:
        entry = KeyEntry(reader.take(32), reader.take(32), reader.take(64))
    else:
        raise MalformedMessage("kind")
    reader.end()
    return entry
