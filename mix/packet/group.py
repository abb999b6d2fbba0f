"""
X25519 as the group of a Sphinx packet.

sphinxmix 0.0.7 has a group of this name too. It must not be used: it hands 16-byte blinding factors to a
function that reads 32 bytes, past the buffer's end. Ours expands them by hashing.

Exponents are 32 bytes and are clamped as RFC 7748 says, here and in libsodium. Elements are 32 bytes.

Source: docs/spec/packet.md, sections 2 and 3.
"""

import os
from collections.abc import Sequence
from hashlib import sha256

from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base

from mixmint.errors import MalformedPacket
from mixmint.keys import Label

FIELD_PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of the subgroup that X25519's base point generates (RFC 7748, section 4.1)."""

_BLINDING = Label("mixmint/blinding/v1").encode("ascii")
_CLAMP_SET = 2**254
_CLAMP_KEEP = 2**254 - 8
_FIELD_PRIME_BYTES = FIELD_PRIME.to_bytes(32, "big")


def is_canonical(alpha: bytes) -> bool:
    """
    Whether ``alpha`` is the one encoding of its element: 32 bytes, below p, top bit clear.

    X25519 ignores the top bit and reduces modulo p. Would a node take the other encodings too, a packet
    could be marked on its way without dying.
    """
    return len(alpha) == 32 and alpha[::-1] < _FIELD_PRIME_BYTES


def multiply(scalar: bytes, element: bytes) -> bytes:
    """scalar * element, 32 bytes. Raises MalformedPacket (``alpha``) for an element of small order."""
    try:
        return crypto_scalarmult(scalar, element)
    except RuntimeError:
        # PyNaCl's word for an all-zero result: the element has no part of large order, and everyone could
        # compute the "shared" secret.
        raise MalformedPacket("alpha") from None


def is_usable_public(public: bytes) -> bool:
    """Whether packets can be made for this public key: canonical, and not of small order."""
    if not is_canonical(public):
        return False
    try:
        # Clamped, zero is 2^254: points of small order become zero, and no others do.
        multiply(bytes(32), public)
    except MalformedPacket:
        return False
    return True


def blinding_factor(key: bytes) -> bytes:
    """The 32-byte scalar by which a hop blinds alpha, from its 16-byte derived key."""
    return sha256(_BLINDING + key).digest()


class X25519Group:
    """
    What sphinxmix asks of a group. Exponents come as lists: the factors of a product.

    A sender multiplies by up to five factors. They are first multiplied with each other, modulo the group's
    order, which saves four of five scalar multiplications; see `_merged`. That arithmetic isn't constant in
    time. It handles scalars made for one packet by the sender himself, never a node's key.
    """

    g = (9).to_bytes(32, "little")

    def gensecret(self) -> bytes:
        return os.urandom(32)

    def makeexp(self, key: bytes) -> bytes:
        return blinding_factor(key)

    def expon(self, base: bytes, exp: Sequence[bytes]) -> bytes:
        for scalar in _merged(exp):
            base = multiply(scalar, base)
        return base

    def expon_base(self, exp: Sequence[bytes]) -> bytes:
        first, *rest = _merged(exp)
        element = crypto_scalarmult_base(first)
        for scalar in rest:
            element = multiply(scalar, element)
        return element

    def in_group(self, alpha: bytes) -> bool:
        return is_canonical(alpha)

    def printable(self, alpha: bytes) -> bytes:
        return alpha


def _merged(factors: Sequence[bytes]) -> Sequence[bytes]:
    """
    As few scalars as can be found (mostly one) that multiply any element of the curve as ``factors`` do.

    Clamped scalars are multiples of 8 and so kill whatever part of an element has small order; the rest has
    order ORDER, so only the product modulo ORDER counts.
    """
    if len(factors) == 1:
        return factors
    whole = _clamped_form(factors)
    if whole is not None:
        return [whole]
    for split in range(len(factors) - 1, 0, -1):
        left, right = _clamped_form(factors[:split]), _clamped_form(factors[split:])
        if left is not None and right is not None:
            return [left, right]
    return factors


def _clamped_form(factors: Sequence[bytes]) -> bytes | None:
    """
    A clamped scalar congruent to plus or minus the product of ``factors``, if there is one.

    Clamping fixes the three lowest bits and the highest, so a residue has such a form in one case of two.
    The sign doesn't matter: X25519 knows an element by its x coordinate, which both signs share.
    """
    if len(factors) == 1:
        return factors[0]
    product = 1
    for factor in factors:
        product = product * (int.from_bytes(factor, "little") & _CLAMP_KEEP | _CLAMP_SET) % ORDER
    for residue in (product, ORDER - product):
        # ORDER is 5 modulo 8 and so its own inverse there: this many times ORDER makes a multiple of 8.
        scalar = residue + (-residue * 5) % 8 * ORDER
        if scalar >> 254 == 1:
            return scalar.to_bytes(32, "little")
    return None
