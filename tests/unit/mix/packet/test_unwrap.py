"""Unwrapping: equal to sphinxmix, and stricter about alpha."""

import hmac
from hashlib import sha256

import pytest
from sphinxmix.SphinxNode import sphinx_process
from sphinxmix.SphinxParams import SphinxParams

from mix.packet.build import build_forward
from mix.packet.geometry import BODY_BYTES, HEADER_BYTES, PACKET_BYTES
from mix.packet.group import FIELD_PRIME, X25519Group
from mix.packet.unwrap import unwrap
from mixmint.errors import MalformedPacket
from tests.unit.mix.packet.paths import Keys

SMALL_ORDER = (
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    FIELD_PRIME - 1,
)
"""The x coordinates of the points of order 1, 2, 4 and 8, of curve and twist."""


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys.generate()


@pytest.fixture(scope="module")
def packet(keys: Keys) -> bytes:
    return build_forward(keys.route, b"hello")[16:]


def reason(keys: Keys, packet: bytes) -> str:
    with pytest.raises(MalformedPacket) as caught:
        unwrap(keys.boxes[0].secret, packet)
    return caught.value.reason


def test_every_hop_is_equal_to_sphinx_process(keys: Keys, packet: bytes) -> None:
    """Tag, routing, header, body and body key, with sphinxmix's own parameters (petlib's AES)."""
    params = SphinxParams(group=X25519Group(), header_len=206, body_len=BODY_BYTES, k=16)
    for box in keys.boxes:
        header = (packet[:32], packet[32:206], packet[206:HEADER_BYTES])
        tag, routing, (next_header, body), key = sphinx_process(
            params, box.secret, header, packet[HEADER_BYTES:]
        )
        unwrapped = unwrap(box.secret, packet)
        assert unwrapped == (tag, routing, b"".join(next_header) + body, key)
        packet = unwrapped.packet


@pytest.mark.parametrize("size", [0, 31, HEADER_BYTES, PACKET_BYTES - 1, PACKET_BYTES + 1])
def test_another_size_is_refused(keys: Keys, packet: bytes, size: int) -> None:
    assert reason(keys, (packet + b"x")[:size]) == "size"


def test_the_top_bit_of_alpha_is_refused(keys: Keys, packet: bytes) -> None:
    """X25519 ignores it: a packet could be marked with it and would live."""
    assert reason(keys, packet[:31] + bytes([packet[31] | 0x80]) + packet[32:]) == "alpha"


@pytest.mark.parametrize("value", [FIELD_PRIME, FIELD_PRIME + 9, 2**255 - 1])
def test_an_alpha_not_below_p_is_refused(keys: Keys, packet: bytes, value: int) -> None:
    assert reason(keys, value.to_bytes(32, "little") + packet[32:]) == "alpha"


@pytest.mark.parametrize("value", SMALL_ORDER)
def test_an_alpha_of_small_order_is_refused(keys: Keys, packet: bytes, value: int) -> None:
    """Its shared secret would be zero for every node; PyNaCl's RuntimeError doesn't get out."""
    assert reason(keys, value.to_bytes(32, "little") + packet[32:]) == "alpha"


def test_the_largest_canonical_alphas_pass_that_check(keys: Keys, packet: bytes) -> None:
    """p - 2 is an ordinary element: it fails by its MAC."""
    assert reason(keys, (FIELD_PRIME - 2).to_bytes(32, "little") + packet[32:]) == "mac"


def test_an_alpha_of_equal_shared_secret_changes_nothing(keys: Keys, packet: bytes) -> None:
    """
    The one change that a hop can't see: alpha plus the point of order 2, which has x coordinate 1/x.

    It gives the same tag, so the replay filter knows it as the same packet, and the same output, so nobody
    after this hop can tell.
    """
    alpha = int.from_bytes(packet[:32], "little")
    other = pow(alpha, -1, FIELD_PRIME).to_bytes(32, "little")
    assert other != packet[:32]
    secret = keys.boxes[0].secret
    assert unwrap(secret, other + packet[32:]) == unwrap(secret, packet)


def test_another_nodes_key_refuses_it(keys: Keys, packet: bytes) -> None:
    with pytest.raises(MalformedPacket, match="mac"):
        unwrap(keys.boxes[1].secret, packet)


def test_a_command_of_another_length_is_refused(keys: Keys) -> None:
    """Even when the sender made it so, with a valid MAC: commands have one size."""
    group = X25519Group()
    params = SphinxParams(group=group, header_len=206, body_len=BODY_BYTES, k=16)
    x = group.gensecret()
    key = params.get_aes_key(group.expon(keys.boxes[0].public, [x]))
    beta = params.xor_rho(params.hrho(key), bytes([20]) + bytes(173))
    gamma = hmac.new(params.hmu(key), beta, sha256).digest()[:16]
    assert reason(keys, group.expon_base([x]) + beta + gamma + bytes(BODY_BYTES)) == "command"
