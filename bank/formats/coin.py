"""
Coins: a secret x, its public image f(x), and the bank's certificate (docs/spec/coin.md).

x is 32 random bytes and the seed of an Ed25519 pair; f(x) hashes the pair's public key. So f is one-way, as
Simon asks, and knowing x can be proved by a signature without giving x away (docs/adr/0001).
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NewType

from bank.formats.fields import Reader
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, SigningKey, labelled_hash, verify

Secret = NewType("Secret", bytes)
"""x: 32 bytes. Whoever knows it owns the coin."""
CoinKey = NewType("CoinKey", bytes)
"""The Ed25519 public key (32 bytes) whose seed is x."""
CoinId = NewType("CoinId", bytes)
"""f(x): 32 bytes."""
BankId = NewType("BankId", bytes)
"""A hash of the bank's founding signing key: 32 bytes, kept over key changes."""

COIN_LABEL = Label("mixmint/coin/v1")
CERTIFICATE_LABEL = Label("mixmint/certificate/v1")
BANK_LABEL = Label("mixmint/bank/v1")

MOST_EXPONENT = 20
"""Values are 2**0 .. 2**20 units."""
BEARER_COIN_BYTES = 32 + 1 + 4 + 64


def bank_id(founding_key: bytes) -> BankId:
    """The bank's id from its founding public signing key (32 bytes)."""
    return BankId(labelled_hash(BANK_LABEL, founding_key))


def coin_id(coin_key: bytes) -> CoinId:
    """f(x) from x's public coin key (32 bytes)."""
    return CoinId(labelled_hash(COIN_LABEL, coin_key))


def new_secret() -> Secret:
    """A fresh x."""
    return Secret(os.urandom(32))


def sign_certificate(key: SigningKey, bank: bytes, exponent: int, epoch: int, coin: bytes) -> bytes:
    """The bank's certificate (64 bytes) that this coin id is worth 2**exponent units in this coin epoch."""
    return key.sign(CERTIFICATE_LABEL, bank, exponent.to_bytes(1), epoch.to_bytes(4), coin)


def certificate_holds(
    public: bytes, signature: bytes, bank: bytes, exponent: int, epoch: int, coin: bytes
) -> bool:
    """Whether a certificate is the bank's."""
    if not (0 <= exponent <= MOST_EXPONENT and 0 <= epoch < 2**32):
        return False
    return verify(public, CERTIFICATE_LABEL, signature, bank, exponent.to_bytes(1), epoch.to_bytes(4), coin)


def exponents_of(amount_units: int) -> list[int]:
    """
    The fewest coin values that make up an amount, as exponents, largest first.

    Raises ValueError when the amount is not positive.
    """
    if amount_units <= 0:
        raise ValueError("an amount is positive")
    most, rest = divmod(amount_units, 1 << MOST_EXPONENT)
    small = [exponent for exponent in range(MOST_EXPONENT - 1, -1, -1) if rest >> exponent & 1]
    return [MOST_EXPONENT] * most + small


def total_units(exponents: Iterable[int]) -> int:
    """The sum of 2**exponent."""
    return sum(1 << exponent for exponent in exponents)


@dataclass(frozen=True, slots=True)
class Coin:
    """A secret and its certificate: money. The repr hides the secret."""

    secret: Secret
    exponent: int
    epoch: int
    certificate: bytes

    @property
    def units(self) -> int:
        return 1 << self.exponent

    def key(self) -> SigningKey:
        """The coin key pair, whose seed is the secret."""
        return SigningKey(self.secret)

    def id(self) -> CoinId:
        return coin_id(self.key().public)

    def encode(self) -> bytes:
        """Secret 32, exponent 1, epoch 4, certificate 64: 101 bytes, to be handed over as money."""
        return self.secret + self.exponent.to_bytes(1) + self.epoch.to_bytes(4) + self.certificate

    @classmethod
    def read(cls, reader: Reader) -> "Coin":
        """Raises MalformedMessage. The certificate is not checked here."""
        coin = cls(Secret(reader.take(32)), reader.number(1), reader.number(4), reader.take(64))
        if coin.exponent > MOST_EXPONENT:
            raise MalformedMessage("value")
        return coin

    def __repr__(self) -> str:
        return f"Coin(units={self.units}, epoch={self.epoch})"
