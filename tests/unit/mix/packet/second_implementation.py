"""
A second implementation of unwrapping, written from docs/spec/packet.md and docs/spec/reply-block.md alone.

Plain and slow; it imports neither mix.packet nor sphinxmix, and shares no code with them.
"""

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB


class Refused(Exception):
    """The packet is dropped here."""


@dataclass
class Output:
    tag: bytes
    command: bytes
    body_key: bytes
    packet: bytes


def unwrap(secret: bytes, packet: bytes) -> Output:
    # packet.md, section 3, step 1
    if len(packet) != 2270:
        raise Refused
    alpha, beta, gamma, body = packet[:32], packet[32:206], packet[206:222], packet[222:]
    if int.from_bytes(alpha, "little") >= 2**255 - 19:
        raise Refused
    # step 2
    k = hashlib.sha256(b"aes_key:" + x25519(secret, alpha)).digest()[:16]
    hmu, hrho, htau, hb, hpi = (
        aes(k, (flavour * 4)[:16]) for flavour in (b"hmu:", b"hrho", b"htau", b"hbhb", b"hpi:")
    )
    # step 3
    if hmac.new(hmu, beta, hashlib.sha256).digest()[:16] != gamma:
        raise Refused
    # step 4
    layer = ctr(hrho, bytes(16), beta + bytes(38))
    if layer[0] != 21:
        raise Refused
    # step 5
    blind = hashlib.sha256(b"mixmint/blinding/v1" + hb).digest()
    header = x25519(blind, alpha) + layer[38:] + layer[22:38]
    # steps 6 and 7
    return Output(htau, layer[1:22], hpi, header + decrypt(hpi, body))


def open_forward(output: Output) -> bytes:
    """packet.md, section 7."""
    return checked(output.body_key, output.packet[222:])


def open_reply(keys: list[bytes], output: Output) -> bytes:
    """reply-block.md, section 4; the key and five hpi."""
    body = output.packet[222:]
    for hpi in reversed(keys[1:]):
        body = encrypt(hpi, body)
    return checked(keys[0], decrypt(keys[0], body))


def use_block(block: bytes, message: bytes) -> bytes:
    """reply-block.md, section 3."""
    key = block[238:254]
    padded = (message + b"\x7f").ljust(2032, b"\xff")
    return block[:238] + encrypt(key, hmac.new(key, padded, hashlib.sha256).digest()[:16] + padded)


def checked(key: bytes, body: bytes) -> bytes:
    mac, padded = body[:16], body[16:]
    if hmac.new(key, padded, hashlib.sha256).digest()[:16] != mac:
        raise Refused
    end = len(padded) - 1
    while padded[end] == 0xFF:
        end -= 1
    if padded[end] != 0x7F:
        raise Refused
    return padded[:end]


def encrypt(k: bytes, body: bytes) -> bytes:
    short, long = body[:16], body[16:]
    short = ctr(k, hashlib.sha256(long + k + b"1").digest()[:16], short)
    long = ctr(k, short, long)
    short = ctr(k, hashlib.sha256(long + k + b"3").digest()[:16], short)
    long = ctr(k, short, long)
    return short + long


def decrypt(k: bytes, body: bytes) -> bytes:
    short, long = body[:16], body[16:]
    long = ctr(k, short, long)
    short = ctr(k, hashlib.sha256(long + k + b"3").digest()[:16], short)
    long = ctr(k, short, long)
    short = ctr(k, hashlib.sha256(long + k + b"1").digest()[:16], short)
    return short + long


def x25519(scalar: bytes, element: bytes) -> bytes:
    try:
        return X25519PrivateKey.from_private_bytes(scalar).exchange(
            X25519PublicKey.from_public_bytes(element)
        )
    except ValueError:  # an all-zero result
        raise Refused from None


def ctr(k: bytes, first: bytes, message: bytes) -> bytes:
    """Counter mode, built from single blocks."""
    counter = int.from_bytes(first, "big")
    blocks = -(-len(message) // 16)
    stream = aes(k, b"".join(((counter + i) % 2**128).to_bytes(16, "big") for i in range(blocks)))
    return bytes(a ^ b for a, b in zip(message, stream, strict=False))


def aes(k: bytes, blocks: bytes) -> bytes:
    return Cipher(AES(k), ECB()).encryptor().update(blocks)  # noqa: S305 - single blocks are what the page is about
