"""The group: products of clamped scalars, and expanded blinding factors."""

import os

import pytest
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base

from mix.packet.group import X25519Group, blinding_factor, is_canonical, multiply
from mixmint.errors import MalformedPacket


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_merged_factors_multiply_as_one_after_the_other(count: int) -> None:
    """The short way over the group's order gives the long way's element; 40 draws meet every branch."""
    group = X25519Group()
    public = crypto_scalarmult_base(os.urandom(32))
    for _ in range(40):
        factors = [os.urandom(32) for _ in range(count)]
        element, based = public, crypto_scalarmult_base(factors[0])
        for factor in factors:
            element = crypto_scalarmult(factor, element)
        for factor in factors[1:]:
            based = crypto_scalarmult(factor, based)
        assert group.expon(public, factors) == element
        assert group.expon_base(factors) == based


def test_blinding_factors_are_32_bytes() -> None:
    """sphinxmix's own group hands on the 16 bytes, of which libsodium reads 32."""
    assert len(X25519Group().makeexp(bytes(16))) == 32
    assert blinding_factor(bytes(16)) != blinding_factor(bytes(15) + b"\x01")


def test_an_element_has_one_encoding() -> None:
    p = 2**255 - 19
    for value in (0, 9, p - 1):
        assert is_canonical(value.to_bytes(32, "little"))
    for value in (p, p + 1, 2**255 - 1, 2**255, 2**255 + 9, 2**256 - 1):
        assert not is_canonical(value.to_bytes(32, "little"))
    assert not is_canonical(bytes(31))
    assert not is_canonical(bytes(33))


def test_small_order_ends_as_a_malformed_packet() -> None:
    with pytest.raises(MalformedPacket, match="alpha"):
        multiply(os.urandom(32), bytes(32))
