"""Encryption at rest: what a member's databases hold is sealed, so a copied file tells nothing."""

from nacl import bindings
from nacl.exceptions import CryptoError
from nacl.utils import random as random_bytes

from mixmint.errors import FatalError

KEY_BYTES = 32
_NONCE_BYTES = 24


class Sealer:
    """
    XChaCha20-Poly1305 under one 32-byte key, with a random nonce per value.

    ``context`` is authenticated with the value: name the table and row, so that no sealed value can be moved
    to another place by somebody who can write to the file.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise FatalError("a sealing key has 32 bytes")
        self._key = key

    def seal(self, plain: bytes, context: bytes = b"") -> bytes:
        """Nonce (24 bytes) and ciphertext (16 bytes longer than ``plain``)."""
        nonce = random_bytes(_NONCE_BYTES)
        return nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, context, nonce, self._key)

    def open(self, sealed: bytes, context: bytes = b"") -> bytes:
        """Raises FatalError when the value was made under another key or context, or was changed."""
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, context, nonce, self._key)
        except (CryptoError, ValueError, TypeError):
            raise FatalError("a stored value does not open: wrong key, or the file was changed") from None

    def __repr__(self) -> str:
        return "Sealer()"
