"""Packets and reply blocks, made and opened."""

import os

import pytest

from mix.packet.build import (
    BlockSecrets,
    ReplyBlock,
    Route,
    build_cover,
    build_forward,
    build_reply_block,
    open_forward,
    open_reply,
    reply_block_expires_s,
    use_reply_block,
)
from mix.packet.command import Command, CommandType
from mix.packet.geometry import ADDRESSED_BYTES, HEADER_BYTES, MESSAGE_BYTES, PACKET_BYTES, REPLY_BLOCK_BYTES
from mix.packet.unwrap import Unwrapped
from mixmint.errors import MalformedPacket
from tests.unit.mix.packet.paths import Keys

EXPIRES_S = 1_800_000_000


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys.generate()


def with_changed_body(unwrapped: Unwrapped) -> Unwrapped:
    """After the last layer is off, and in the message, not the padding: only the MAC can tell."""
    changed = bytearray(unwrapped.packet)
    changed[HEADER_BYTES + 16] ^= 1
    return unwrapped._replace(packet=bytes(changed))  # type: ignore[arg-type]  # NewType


@pytest.mark.parametrize("message", [b"", b"hello", b"\x7f\xff\xff", b"\xff" * MESSAGE_BYTES])
def test_a_forward_message_arrives(keys: Keys, message: bytes) -> None:
    """Also one that looks like padding, and the longest."""
    assert open_forward(keys.walk(build_forward(keys.route, message))[-1]) == message


def test_each_hop_reads_its_own_command(keys: Keys) -> None:
    """Mixes the next key id, the gateway the token, the endpoint what kind of packet it is."""
    commands = [Command.decode(each.command) for each in keys.walk(build_forward(keys.route, b""))]
    relays = [Command(CommandType.RELAY, hop.key_id) for hop in keys.route.hops[1:]]
    mailbox = Command(CommandType.MAILBOX, keys.route.token)
    assert commands == [*relays, mailbox, Command(CommandType.DELIVER, bytes(16))]


def test_packets_have_one_size_everywhere(keys: Keys) -> None:
    addressed = build_forward(keys.route, b"x" * 500)
    assert len(addressed) == ADDRESSED_BYTES == 2286
    assert addressed[:16] == keys.route.hops[0].key_id
    assert {len(each.packet) for each in keys.walk(addressed)} == {PACKET_BYTES}


def test_too_long_a_message_is_refused(keys: Keys) -> None:
    block, _ = build_reply_block(keys.route, EXPIRES_S)
    with pytest.raises(ValueError, match="at most 2031 bytes"):
        build_forward(keys.route, bytes(MESSAGE_BYTES + 1))
    with pytest.raises(ValueError, match="at most 2031 bytes"):
        use_reply_block(block, bytes(MESSAGE_BYTES + 1))


def test_a_reply_comes_back_to_the_maker_of_the_block(keys: Keys) -> None:
    """The block id says which block it answers; the secrets survive being stored."""
    block, secrets = build_reply_block(keys.route, EXPIRES_S)
    assert len(block) == REPLY_BLOCK_BYTES == 258
    assert reply_block_expires_s(block) == EXPIRES_S
    last = keys.walk(use_reply_block(block, b"an answer"))[-1]
    assert Command.decode(last.command) == Command(CommandType.REPLY, secrets.block_id)
    stored = BlockSecrets.decode(secrets.encode())
    assert stored == secrets
    assert open_reply(stored, last) == b"an answer"
    assert open_reply(stored, last) == b"an answer", "opening must not use up the keys"


def test_a_second_packet_from_one_block_has_the_first_ones_tags(keys: Keys) -> None:
    """So every mix on the way, not only the owner, recognises the second use."""
    block, _ = build_reply_block(keys.route, EXPIRES_S)
    first, second = (keys.walk(use_reply_block(block, text)) for text in (b"one", b"two"))
    assert [each.tag for each in first] == [each.tag for each in second]


def test_two_packets_over_one_route_share_no_tag(keys: Keys) -> None:
    first, second = (keys.walk(build_forward(keys.route, b"same")) for _ in range(2))
    assert not {each.tag for each in first} & {each.tag for each in second}


@pytest.mark.parametrize("start", [1, 2, 3])
def test_cover_reaches_the_discard_endpoint_from_any_mix(keys: Keys, start: int) -> None:
    """A shorter path, in packets and headers like all others."""
    cover = build_cover(keys.route.hops[start:], keys.route.token, keys.route.endpoint_public)
    assert len(cover) == ADDRESSED_BYTES
    assert cover[:16] == keys.route.hops[start].key_id
    outputs = keys.walk(cover, start)
    assert Command.decode(outputs[-2].command) == Command(CommandType.MAILBOX, keys.route.token)
    assert Command.decode(outputs[-1].command).type is CommandType.DELIVER


def test_a_changed_body_is_never_opened(keys: Keys) -> None:
    forward = keys.walk(build_forward(keys.route, b"hello"))[-1]
    with pytest.raises(MalformedPacket, match="body"):
        open_forward(with_changed_body(forward))
    block, secrets = build_reply_block(keys.route, EXPIRES_S)
    reply = keys.walk(use_reply_block(block, b"hello"))[-1]
    with pytest.raises(MalformedPacket, match="body"):
        open_reply(secrets, with_changed_body(reply))


def test_padding_of_another_form_is_refused(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the sender can make it, with a valid MAC; a message still has one form."""
    monkeypatch.setattr("mix.packet.build.pad_body", lambda size, message: message.ljust(size, b"\0"))
    with pytest.raises(MalformedPacket, match="body"):
        open_forward(keys.walk(build_forward(keys.route, b"hello"))[-1])


def test_a_reply_opens_with_its_own_secrets_only(keys: Keys) -> None:
    block, _ = build_reply_block(keys.route, EXPIRES_S)
    _, others = build_reply_block(keys.route, EXPIRES_S)
    with pytest.raises(MalformedPacket, match="body"):
        open_reply(others, keys.walk(use_reply_block(block, b"hello"))[-1])


@pytest.mark.parametrize("size", [0, 257, 259])
def test_a_reply_block_of_another_size_is_refused(size: int) -> None:
    for function in (lambda block: use_reply_block(block, b""), reply_block_expires_s):
        with pytest.raises(MalformedPacket, match="reply-block"):
            function(ReplyBlock(bytes(size)))


def test_a_route_over_a_key_of_small_order_is_refused(keys: Keys) -> None:
    """An address may come from anybody; with such a key, everyone could read the last layer."""
    route = Route(keys.route.hops, keys.route.token, bytes(32))
    with pytest.raises(MalformedPacket, match="alpha"):
        build_forward(route, b"")


def test_secrets_stay_out_of_reprs(keys: Keys) -> None:
    block, secrets = build_reply_block(keys.route, EXPIRES_S)
    shown = f"{secrets!r} {keys.route!r} {keys.walk(use_reply_block(block, b''))[-1]!r}"
    for secret in (secrets.block_id, *secrets.keys, keys.route.token):
        assert repr(secret) not in shown
        assert secret.hex() not in shown


def test_stored_secrets_have_one_size() -> None:
    with pytest.raises(ValueError, match="112 bytes"):
        BlockSecrets.decode(os.urandom(111))


def test_the_header_of_a_block_travels_as_it_is(keys: Keys) -> None:
    block, _ = build_reply_block(keys.route, EXPIRES_S)
    assert use_reply_block(block, b"x")[: 16 + HEADER_BYTES] == block[: 16 + HEADER_BYTES]
