"""Batches: what a mix's or a gateway's worker makes of a frame."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from mix.packet.batch import MAILBOX, RELAY, Expected, decode_batch, unwrap_batch
from mix.packet.build import build_forward
from mix.packet.command import Command, CommandType
from mix.packet.geometry import ADDRESSED_BYTES, KeyId
from mix.packet.unwrap import unwrap
from tests.unit.mix.packet.paths import Keys


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys.generate()


def secrets_at(keys: Keys, hop: int) -> dict[KeyId, bytes]:
    return {keys.route.hops[hop].key_id: keys.boxes[hop].secret}


def split(packets: bytes) -> list[bytes]:
    return [packets[at : at + ADDRESSED_BYTES] for at in range(0, len(packets), ADDRESSED_BYTES)]


def test_a_mix_gets_tags_and_addressed_packets(keys: Keys) -> None:
    """Each name beside its packet, each packet behind the next hop's key id."""
    frame = [build_forward(keys.route, b"%d" % number) for number in range(5)]
    batch = decode_batch(unwrap_batch(secrets_at(keys, 0), RELAY, b"".join(frame), os.urandom))
    expected = {}
    for packet in frame:
        unwrapped = unwrap(keys.boxes[0].secret, packet[16:])
        expected[keys.route.hops[0].key_id, unwrapped.tag] = keys.route.hops[1].key_id + unwrapped.packet
    assert dict(zip(batch.names, split(batch.packets), strict=True)) == expected
    assert not any(batch.refused.values())


def test_a_gateway_gets_tokens_and_packets(keys: Keys) -> None:
    at_gateway = build_forward(keys.route, b"")
    for hop in range(3):
        result = unwrap_batch(secrets_at(keys, hop), RELAY, at_gateway, os.urandom)
        at_gateway = decode_batch(result).packets
    batch = decode_batch(unwrap_batch(secrets_at(keys, 3), MAILBOX, at_gateway, os.urandom))
    assert batch.packets[:16] == keys.route.token


def test_the_order_of_arrival_is_not_kept(keys: Keys) -> None:
    """The random numbers alone decide it."""
    frame = b"".join(build_forward(keys.route, b"") for _ in range(3))

    def order(numbers: bytes) -> list[bytes]:
        return split(decode_batch(unwrap_batch(secrets_at(keys, 0), RELAY, frame, lambda _: numbers)).packets)

    upwards = order(bytes([0] * 8 + [1] * 8 + [2] * 8))
    downwards = order(bytes([2] * 8 + [1] * 8 + [0] * 8))
    assert upwards == downwards[::-1]


def test_a_copy_in_one_frame_is_left_to_the_replay_filter(keys: Keys) -> None:
    packet = build_forward(keys.route, b"")
    batch = decode_batch(unwrap_batch(secrets_at(keys, 0), RELAY, packet + packet, os.urandom))
    assert len(batch.names) == 2
    assert batch.names[0] == batch.names[1]


def broken_mac(packet: bytes) -> bytes:
    return packet[:100] + bytes([packet[100] ^ 1]) + packet[101:]


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("key", lambda packet: os.urandom(16) + packet[16:]),
        ("alpha", lambda packet: packet[:16] + bytes(32) + packet[48:]),
        ("mac", broken_mac),
    ],
)
def test_a_bad_packet_is_counted_and_the_others_go_on(
    keys: Keys, reason: str, change: Callable[[bytes], bytes]
) -> None:
    good = build_forward(keys.route, b"")
    frame = change(build_forward(keys.route, b"")) + good
    batch = decode_batch(unwrap_batch(secrets_at(keys, 0), RELAY, frame, os.urandom))
    assert {name: count for name, count in batch.refused.items() if count} == {reason: 1}
    assert len(batch.names) == 1


def test_a_command_for_another_kind_of_hop_is_refused(keys: Keys) -> None:
    """A mix keeps nobody's mail, and a gateway relays nothing."""
    packet = build_forward(keys.route, b"")
    batch = decode_batch(unwrap_batch(secrets_at(keys, 0), MAILBOX, packet, os.urandom))
    assert batch.names == ()
    assert batch.packets == b""
    assert batch.refused["command"] == 1


def test_a_delay_comes_with_its_packet(keys: Keys) -> None:
    """The sender's delay for this mix, up to the network's longest; beyond it the packet is refused."""
    asked = (7, 60_000, 0)
    hops = [replace(hop, delay_ms=delay) for hop, delay in zip(keys.route.hops, asked, strict=False)]
    route = replace(keys.route, hops=(*hops, keys.route.hops[3]))
    frame = build_forward(keys.route, b"") + build_forward(route, b"")
    taken = Expected(CommandType.RELAY, 60_000)
    for hop in range(3):
        batch = decode_batch(unwrap_batch(secrets_at(keys, hop), taken, frame, os.urandom))
        assert sorted(batch.delays_ms) == sorted((0, asked[hop]))
        frame = batch.packets
    strict = Expected(CommandType.RELAY, 6)
    at_first = build_forward(route, b"")
    batch = decode_batch(unwrap_batch(secrets_at(keys, 0), strict, at_first, os.urandom))
    assert batch.refused["command"] == 1


def test_a_delay_is_refused_by_a_pool(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cascade of pools a delay means nothing, so it could only be a mark."""
    plain = Command.encode
    monkeypatch.setattr(Command, "encode", lambda self: plain(Command(self.type, self.id, 1)))
    packet = build_forward(keys.route, b"")
    batch = decode_batch(unwrap_batch(secrets_at(keys, 0), RELAY, packet, os.urandom))
    assert batch.refused["command"] == 1


def test_an_empty_batch_is_an_empty_result() -> None:
    assert decode_batch(unwrap_batch({}, RELAY, b"", os.urandom)).names == ()


def test_bytes_that_are_no_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="addressed packets"):
        unwrap_batch({}, RELAY, bytes(ADDRESSED_BYTES + 1), os.urandom)
    for data in (b"", bytes(9), b"\x00\x01" + bytes(8)):
        with pytest.raises(ValueError, match="no result"):
            decode_batch(data)


def test_a_batch_shows_no_packets(keys: Keys) -> None:
    packet = build_forward(keys.route, b"")
    batch = decode_batch(unwrap_batch(secrets_at(keys, 0), RELAY, packet, os.urandom))
    assert repr(batch) == "Batch(1 packets)"
