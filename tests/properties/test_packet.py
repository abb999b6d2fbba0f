"""Properties of packets: what a change of any byte, at any hop, leads to."""

import functools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mix.packet.build import (
    BlockSecrets,
    build_forward,
    build_reply_block,
    open_forward,
    open_reply,
    use_reply_block,
)
from mix.packet.command import NO_ID, Command, CommandType
from mix.packet.geometry import BODY_BYTES, HEADER_BYTES, MESSAGE_BYTES, PACKET_BYTES, Packet
from mix.packet.group import FIELD_PRIME
from mix.packet.unwrap import Unwrapped, unwrap
from mixmint.errors import MalformedPacket
from tests.unit.mix.packet.paths import Keys

EXPIRES_S = 1_800_000_000
examples = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
messages = st.binary(max_size=MESSAGE_BYTES)
flips = st.integers(1, 255)
hops = st.integers(0, 4)


@functools.cache
def keys() -> Keys:
    return Keys.generate()


@functools.cache
def journey() -> tuple[bytes, ...]:
    """One forward packet as each hop gets it."""
    addressed = build_forward(keys().route, b"a message")
    return (addressed[16:], *(each.packet for each in keys().walk(addressed)))


def changed(packet: bytes, place: int, flip: int) -> bytes:
    return packet[:place] + bytes([packet[place] ^ flip]) + packet[place + 1 :]


def finish(packet: bytes, hop: int) -> Unwrapped:
    """Unwrap at this hop and all after it; the endpoint's output."""
    for box in keys().boxes[hop:]:
        unwrapped = unwrap(box.secret, packet)
        packet = unwrapped.packet
    return unwrapped


@examples
@given(hop=hops, place=st.integers(0, HEADER_BYTES - 1), flip=flips)
def test_a_changed_header_byte_kills_the_packet_at_that_hop(hop: int, place: int, flip: int) -> None:
    """
    Whatever byte, whatever change.

    The few alphas of equal shared secret differ from each other in many bytes, so no single one leads there.
    """
    with pytest.raises(MalformedPacket):
        unwrap(keys().boxes[hop].secret, changed(journey()[hop], place, flip))


@pytest.mark.parametrize("hop", range(5))
def test_every_header_byte_counts(hop: int) -> None:
    """All 222 of them, not a sample."""
    for place in range(HEADER_BYTES):
        with pytest.raises(MalformedPacket):
            unwrap(keys().boxes[hop].secret, changed(journey()[hop], place, 0x80))


@pytest.mark.parametrize("hop", range(5))
def test_the_twin_alpha_is_the_same_packet_to_every_hop(hop: int) -> None:
    """1/x has the same shared secret: same tag, same output, and the message is read all the same."""
    packet = journey()[hop]
    twin = pow(int.from_bytes(packet[:32], "little"), -1, FIELD_PRIME).to_bytes(32, "little") + packet[32:]
    assert unwrap(keys().boxes[hop].secret, twin) == unwrap(keys().boxes[hop].secret, packet)
    assert open_forward(finish(twin, hop)) == b"a message"


@examples
@given(hop=hops, place=st.integers(HEADER_BYTES, PACKET_BYTES - 1), flip=flips)
def test_a_changed_body_byte_is_never_delivered(hop: int, place: int, flip: int) -> None:
    """The header still works, so the packet travels on; the endpoint gets noise and drops it."""
    last = finish(changed(journey()[hop], place, flip), hop)
    with pytest.raises(MalformedPacket, match="body"):
        open_forward(last)


@examples
@given(hop=hops, place=st.integers(0, BODY_BYTES - 1), flip=flips)
def test_a_changed_answer_is_never_delivered(hop: int, place: int, flip: int) -> None:
    block, secrets = build_reply_block(keys().route, EXPIRES_S)
    packet = use_reply_block(block, b"an answer")[16:]
    for box in keys().boxes[:hop]:
        packet = unwrap(box.secret, packet).packet
    with pytest.raises(MalformedPacket, match="body"):
        open_reply(secrets, finish(changed(packet, HEADER_BYTES + place, flip), hop))


@examples
@given(message=messages)
def test_messages_and_answers_arrive_in_packets_of_one_size(message: bytes) -> None:
    """Forward and reply, whatever the length: 2,270 bytes at every hop, and the message at the end."""
    block, secrets = build_reply_block(keys().route, EXPIRES_S)
    forward = keys().walk(build_forward(keys().route, message))
    answer = keys().walk(use_reply_block(block, message))
    assert {len(each.packet) for each in (*forward, *answer)} == {PACKET_BYTES}
    assert open_forward(forward[-1]) == message
    assert open_reply(BlockSecrets.decode(secrets.encode()), answer[-1]) == message


@examples
@given(data=st.binary(min_size=PACKET_BYTES, max_size=PACKET_BYTES) | st.binary(max_size=3000))
def test_any_bytes_end_as_a_malformed_packet(data: bytes) -> None:
    """Nothing else comes out of unwrapping: no other exception, and no output."""
    with pytest.raises(MalformedPacket):
        unwrap(keys().boxes[0].secret, data)


@examples
@given(alpha=st.integers(FIELD_PRIME, 2**256 - 1))
def test_alphas_that_are_not_canonical_are_refused_as_such(alpha: int) -> None:
    with pytest.raises(MalformedPacket, match="alpha"):
        unwrap(keys().boxes[0].secret, alpha.to_bytes(32, "little") + journey()[0][32:])


commands = st.builds(
    Command,
    st.sampled_from([CommandType.RELAY, CommandType.MAILBOX, CommandType.REPLY]),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**32 - 1),
) | st.builds(Command, st.just(CommandType.DELIVER), st.just(NO_ID), st.integers(0, 2**32 - 1))


@given(command=commands)
def test_commands_are_read_as_written(command: Command) -> None:
    assert Command.decode(command.encode()) == command


@given(data=st.binary(max_size=24) | st.binary(min_size=21, max_size=21))
def test_a_command_has_one_form(data: bytes) -> None:
    """What can be read is written back the same; all else is refused, and in no other way."""
    try:
        command = Command.decode(data)
    except MalformedPacket:
        return
    assert command.encode() == data


def test_packets_of_the_journey_are_whole_packets() -> None:
    """Guards the tests above: a journey of wrong length would make them pass for the wrong reason."""
    assert len(journey()) == 6
    assert open_forward(finish(Packet(journey()[0]), 0)) == b"a message"
