"""
Making packets and reply blocks, and opening what arrives at an endpoint.

Headers are sphinxmix's `create_header` over our group; answers its `package_surb` and `receive_surb`. Its
other functions feed bytes to petlib's msgpack, so forward bodies are laid out here, as it lays them out.

Source: docs/spec/packet.md, section 6; docs/spec/reply-block.md.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, reduce
from hmac import compare_digest
from itertools import pairwise
from typing import NewType

from mix.packet import lioness
from mix.packet.command import NO_ID, Command, CommandType
from mix.packet.geometry import (
    ALPHA_BYTES,
    BODY_BYTES,
    HEADER_BYTES,
    HOPS,
    K_BYTES,
    KEY_ID_BYTES,
    MESSAGE_BYTES,
    REPLY_BLOCK_BYTES,
    Addressed,
    KeyId,
    Token,
)
from mix.packet.group import X25519Group
from mix.packet.sphinx import (
    SphinxException,
    SphinxParams,
    create_header,
    package_surb,
    pad_body,
    receive_surb,
)
from mix.packet.unwrap import Unwrapped
from mixmint.errors import MalformedPacket
from mixmint.keys import Label, labelled_hash

ReplyBlock = NewType("ReplyBlock", bytes)
"""first key id 16 || header 222 || key 16 || expiry 4 (unix seconds, big-endian)"""

_KEY_ID = Label("mixmint/key-id/v1")
_KEY_AT = KEY_ID_BYTES + HEADER_BYTES
_EXPIRY_AT = _KEY_AT + K_BYTES


@dataclass(frozen=True, slots=True)
class Hop:
    """
    A node's Sphinx key: its id (16 bytes) and the public key (32 bytes). ``delay_ms``: how long that mix is
    to keep the packet, where senders choose; 0 elsewhere.
    """

    key_id: KeyId
    public: bytes
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """The way to an endpoint: three mixes, its gateway, its token there (16 bytes), its key (32 bytes)."""

    hops: tuple[Hop, Hop, Hop, Hop]
    token: Token
    endpoint_public: bytes

    def __repr__(self) -> str:
        return "Route(...)"


@dataclass(frozen=True, slots=True)
class BlockSecrets:
    """
    What the maker of a reply block keeps: the id that its answer will carry, and the keys that open it.

    ``keys``: the block's own key, then one per hop; six of 16 bytes.
    """

    block_id: bytes
    keys: tuple[bytes, ...]

    def encode(self) -> bytes:
        """112 bytes: id || keys."""
        return self.block_id + b"".join(self.keys)

    @classmethod
    def decode(cls, data: bytes) -> "BlockSecrets":
        """Raises ValueError for another size: these bytes come from our own store."""
        if len(data) != K_BYTES * (2 + HOPS):
            raise ValueError("the secrets of a reply block are 112 bytes")
        first, *keys = (data[at : at + K_BYTES] for at in range(0, len(data), K_BYTES))
        return cls(first, tuple(keys))

    def __repr__(self) -> str:
        return "BlockSecrets(...)"


class Params(SphinxParams):  # type: ignore[misc]  # sphinxmix is untyped
    """sphinxmix's parameters with our group, sizes, and LIONESS (the same bytes, in half the time)."""

    def __init__(self) -> None:
        header_len = HEADER_BYTES - K_BYTES  # sphinxmix counts alpha and beta only
        super().__init__(group=X25519Group(), header_len=header_len, body_len=BODY_BYTES, k=K_BYTES)

    def lioness_enc(self, key: bytes, message: bytes) -> bytes:
        return lioness.encrypt(key, message)

    def lioness_dec(self, key: bytes, message: bytes) -> bytes:
        return lioness.decrypt(key, message)


def key_id(public: bytes) -> KeyId:
    """The id (16 bytes) of a Sphinx public key (32 bytes)."""
    return KeyId(labelled_hash(_KEY_ID, public)[:KEY_ID_BYTES])


def build_forward(route: Route, message: bytes) -> Addressed:
    """
    A packet that carries ``message`` (at most 2,031 bytes) to the route's endpoint, for the first mix.

    Raises ValueError if the message is too long, MalformedPacket if a key of the route is no usable key.
    """
    params = _params()
    padded = _padded(message)
    header, keys = _header(
        route.hops, route.token, route.endpoint_public, Command(CommandType.DELIVER, NO_ID)
    )
    body_keys = [params.hpi(key) for key in keys]
    body = params.mu(body_keys[-1], padded) + padded
    body = reduce(lambda inner, key: lioness.encrypt(key, inner), reversed(body_keys), body)
    return Addressed(route.hops[0].key_id + header + body)


def build_cover(hops: Sequence[Hop], token: Token, endpoint_public: bytes) -> Addressed:
    """
    A packet from a mix onward that means nothing; it ends at a gateway's discard endpoint.

    ``hops``: the mixes still ahead (possibly none), then the gateway. Every hop sees a packet like others.
    The body is noise from the start, since nobody opens it.
    """
    header, _ = _header(hops, token, endpoint_public, Command(CommandType.DELIVER, NO_ID))
    return Addressed(hops[0].key_id + header + os.urandom(BODY_BYTES))


def build_reply_block(route: Route, expires_s: int) -> tuple[ReplyBlock, BlockSecrets]:
    """
    A reply block that leads back over ``route``, and what its maker keeps to recognise and open the answer.

    ``expires_s``, unix seconds: when the first of the route's keys is no longer accepted.
    """
    block_id, block_key = os.urandom(K_BYTES), os.urandom(K_BYTES)
    header, keys = _header(
        route.hops, route.token, route.endpoint_public, Command(CommandType.REPLY, block_id)
    )
    block = b"".join((route.hops[0].key_id, header, block_key, expires_s.to_bytes(4, "big")))
    hpi = _params().hpi
    return ReplyBlock(block), BlockSecrets(block_id, (block_key, *(hpi(key) for key in keys)))


def use_reply_block(block: ReplyBlock, message: bytes) -> Addressed:
    """
    A packet that carries ``message`` (at most 2,031 bytes) to whoever made the block. Use it once.

    Raises MalformedPacket (``reply-block``) for a block of another size, ValueError for too long a message.
    """
    _check_size(block)
    header = (block[KEY_ID_BYTES : KEY_ID_BYTES + ALPHA_BYTES], b"", b"")  # only passed through
    if len(message) > MESSAGE_BYTES:
        raise ValueError(f"a message is at most {MESSAGE_BYTES} bytes; this has {len(message)}")
    _, body = package_surb(_params(), (b"", header, block[_KEY_AT:_EXPIRY_AT]), message)
    return Addressed(block[:_KEY_AT] + body)


def reply_block_expires_s(block: ReplyBlock) -> int:
    """Until when (unix seconds) the block is good, as its maker says. Raises as `use_reply_block`."""
    _check_size(block)
    return int.from_bytes(block[_EXPIRY_AT:], "big")


def open_forward(unwrapped: Unwrapped) -> bytes:
    """The message that arrived at an endpoint. Raises MalformedPacket (``body``) if it was changed."""
    body = unwrapped.packet[HEADER_BYTES:]
    if not compare_digest(_params().mu(unwrapped.body_key, body[K_BYTES:]), body[:K_BYTES]):
        raise MalformedPacket("body")
    return _unpadded(body[K_BYTES:])


def open_reply(secrets: BlockSecrets, unwrapped: Unwrapped) -> bytes:
    """The answer to one of our reply blocks. Raises MalformedPacket (``body``) if it was changed."""
    try:
        # A copy of the keys: receive_surb pops from the list it is given.
        message = receive_surb(_params(), list(secrets.keys), unwrapped.packet[HEADER_BYTES:])
    except SphinxException:
        raise MalformedPacket("body") from None
    return bytes(message)


def _header(
    hops: Sequence[Hop], token: Token, endpoint_public: bytes, last: Command
) -> tuple[bytes, list[bytes]]:
    """The header, and the hops' keys (16 bytes each) that all other keys are derived from."""
    # What a hop reads is its own delay, and where the packet goes next.
    commands = [Command(CommandType.RELAY, onward.key_id, hop.delay_ms) for hop, onward in pairwise(hops)]
    commands.append(Command(CommandType.MAILBOX, token))
    # nodelist[i] is read by hop i - 1; sphinxmix puts the first nowhere.
    nodelist = [b"", *(command.encode() for command in commands)]
    publics = [*(hop.public for hop in hops), endpoint_public]
    header, keys = create_header(_params(), nodelist, publics, last.encode())
    return b"".join(header), keys


def _padded(message: bytes) -> bytes:
    if len(message) > MESSAGE_BYTES:
        raise ValueError(f"a message is at most {MESSAGE_BYTES} bytes; this has {len(message)}")
    return bytes(pad_body(BODY_BYTES - K_BYTES, message))


def _unpadded(padded: bytes) -> bytes:
    message = padded.rstrip(b"\xff")
    if not message.endswith(b"\x7f"):
        raise MalformedPacket("body")
    return message[:-1]


def _check_size(block: bytes) -> None:
    if len(block) != REPLY_BLOCK_BYTES:
        raise MalformedPacket("reply-block")


@cache
def _params() -> Params:
    """Made at first use: it asks OpenSSL for its ciphers. It has no state."""
    return Params()
