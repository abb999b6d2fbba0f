"""
LIONESS as sphinxmix has it: a permutation of the whole body, under one 16-byte key.

A body is short (16 bytes) || long. Two rounds encrypt the long part under the short one, two the short part
under a hash of the long one; so a change anywhere leaves nothing of the body readable.

Source: docs/spec/packet.md, section 5 (sphinxmix, SphinxParams.lioness_enc and lioness_dec).
"""

from hashlib import sha256

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from mix.packet.geometry import K_BYTES


def encrypt(key: bytes, body: bytes) -> bytes:
    """One layer on (sphinxmix's pi). Key of 16 bytes, body of at least 32; the result is as long."""
    short, long = body[:K_BYTES], body[K_BYTES:]
    nonce = sha256(b"".join((long, key, b"1"))).digest()[:K_BYTES]
    # One key schedule for all four rounds: making a cipher costs more than enciphering the body.
    stream = Cipher(AES(key), CTR(nonce)).encryptor()
    short = stream.update(short)
    stream.reset_nonce(short)
    long = stream.update(long)
    stream.reset_nonce(sha256(b"".join((long, key, b"3"))).digest()[:K_BYTES])
    short = stream.update(short)
    stream.reset_nonce(short)
    return short + stream.update(long)


def decrypt(key: bytes, body: bytes) -> bytes:
    """One layer off (sphinxmix's pii): the inverse of `encrypt`."""
    short, long = body[:K_BYTES], body[K_BYTES:]
    stream = Cipher(AES(key), CTR(short)).encryptor()
    long = stream.update(long)
    stream.reset_nonce(sha256(b"".join((long, key, b"3"))).digest()[:K_BYTES])
    short = stream.update(short)
    stream.reset_nonce(short)
    long = stream.update(long)
    stream.reset_nonce(sha256(b"".join((long, key, b"1"))).digest()[:K_BYTES])
    return stream.update(short) + long
