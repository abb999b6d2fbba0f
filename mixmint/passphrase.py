"""
Secrets wrapped by a passphrase: Argon2id makes a key of it, XChaCha20-Poly1305 seals under that key.

    magic 16, passes 8, memory in bytes 8, salt 16 (all of it authenticated); nonce 24, ciphertext

The cost stands in the wrapping, so it can be raised later; what a stranger's file may demand is bounded. A
wrong passphrase shows only after the whole cost was paid, and as nothing but "wrong".

Source: RFC 9106; docs/spec/wallet-seed.md, section 3.
"""

import unicodedata
from dataclasses import dataclass
from typing import NewType

from nacl import pwhash
from nacl.exceptions import CryptoError
from nacl.utils import random as random_bytes

from mixmint.errors import FatalError, MalformedMessage, UserError
from mixmint.sealing import KEY_BYTES, Sealer

Passphrase = NewType("Passphrase", bytes)
"""NFKC, UTF-8: the same however a keyboard composes its letters."""

MAGIC = b"mixmint wrapped1"
SALT_BYTES = 16
LEAST_CHARACTERS = 8
_HEAD_BYTES = len(MAGIC) + 8 + 8 + SALT_BYTES
_SEALED_MORE = 24 + 16
_MOST_PASSES = 32
_MOST_MEMORY = 1 << 30
_MOST_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """What trying one passphrase costs: passes over the memory, and its size in bytes."""

    passes: int
    memory: int


MODERATE = Cost(pwhash.argon2id.OPSLIMIT_MODERATE, pwhash.argon2id.MEMLIMIT_MODERATE)
"""libsodium's: 3 passes over 256 MiB, about 0.7 s."""
LEAST = Cost(pwhash.argon2id.OPSLIMIT_MIN, pwhash.argon2id.MEMLIMIT_MIN)
"""For tests."""


def wrapped_bytes(secret_bytes: int) -> int:
    """How long a secret of this length is when wrapped."""
    return _HEAD_BYTES + _SEALED_MORE + secret_bytes


def new_passphrase(text: str) -> Passphrase:
    """A passphrase that somebody chose. Raises UserError: too short, or longer than any person's."""
    if len(text) < LEAST_CHARACTERS:
        raise UserError(
            f"a passphrase has at least {LEAST_CHARACTERS} characters; four or five words are good"
        )
    return passphrase_of(text)


def passphrase_of(text: str) -> Passphrase:
    """A passphrase as it was typed. Raises UserError when it can't be one."""
    try:
        data = unicodedata.normalize("NFKC", text).encode()
    except UnicodeEncodeError:
        raise UserError("that is no passphrase: it isn't text in this terminal's encoding") from None
    if not 0 < len(data) <= _MOST_BYTES:
        raise UserError("that is no passphrase: it is empty, or far too long")
    return Passphrase(data)


def wrap(secret: bytes, passphrase: Passphrase, cost: Cost = MODERATE) -> bytes:
    """The secret, to be opened with the passphrase only."""
    salt = random_bytes(SALT_BYTES)
    head = MAGIC + cost.passes.to_bytes(8) + cost.memory.to_bytes(8) + salt
    return head + Sealer(_key(passphrase, salt, cost)).seal(secret, head)


def is_wrapped(data: bytes) -> bool:
    return data.startswith(MAGIC)


def unwrap(data: bytes, passphrase: Passphrase) -> bytes:
    """
    The secret again.

    Raises UserError("wrong passphrase"), also when the bytes were changed; MalformedMessage("length",
    "cost") when they can't be what ``wrap`` made.
    """
    if len(data) < wrapped_bytes(0) or not is_wrapped(data):
        raise MalformedMessage("length")
    head, sealed = data[:_HEAD_BYTES], data[_HEAD_BYTES:]
    at = len(MAGIC)
    cost = Cost(int.from_bytes(head[at : at + 8]), int.from_bytes(head[at + 8 : at + 16]))
    if not (LEAST.passes <= cost.passes <= _MOST_PASSES and LEAST.memory <= cost.memory <= _MOST_MEMORY):
        raise MalformedMessage("cost")
    try:
        return Sealer(_key(passphrase, head[at + 16 :], cost)).open(sealed, head)
    except FatalError:
        raise UserError("wrong passphrase") from None


def _key(passphrase: Passphrase, salt: bytes, cost: Cost) -> bytes:
    try:
        return pwhash.argon2id.kdf(KEY_BYTES, passphrase, salt, opslimit=cost.passes, memlimit=cost.memory)
    except (CryptoError, MemoryError):
        mebibytes = cost.memory >> 20
        raise UserError(
            f"a passphrase needs {mebibytes} MiB of free memory for a moment; free some"
        ) from None
