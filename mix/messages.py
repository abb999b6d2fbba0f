"""
What an endpoint and its gateway say to each other, on the client port.

A request is a `SignedRequest`: the owner's signature binds its body to this gateway, this action and a time,
so that no gateway can use a request at another one, or later. Answers are a status and, for a fetch, a body.

Source: docs/spec/gateway.md.
"""

from hashlib import sha256
from typing import Annotated

from msgspec import Meta

from mix.packet.geometry import ADDRESSED_BYTES, PACKET_BYTES, TOKEN_BYTES, Token
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, SigningKey, labelled_hash, verify
from mixmint.wire import Bytes16, Bytes32, Bytes64, Message, decode, encode

REGISTER = Label("mixmint/gateway-register/v1")
SUBMIT = Label("mixmint/gateway-submit/v1")
FETCH = Label("mixmint/gateway-fetch/v1")
TOKEN_HASH = Label("mixmint/token-hash/v1")
TOKEN_REMINDER = Label("mixmint/token-reminder/v1")

PATHS = {"/v1/register": REGISTER, "/v1/submit": SUBMIT, "/v1/fetch": FETCH}

MOST_TOKENS = 64
MOST_PACKETS = 256
MOST_ITEMS = 256
MOST_ACKNOWLEDGED = 1024
MOST_WAIT_MS = 60_000
SKEW_S = 300
"""How far the clocks of an endpoint and its gateway may be apart."""

HEAD_BYTES = 256
MOST_REQUEST_BYTES = {
    REGISTER: HEAD_BYTES + MOST_TOKENS * 64,
    SUBMIT: HEAD_BYTES + MOST_PACKETS * ADDRESSED_BYTES,
    FETCH: HEAD_BYTES + MOST_ACKNOWLEDGED * 9,
}
MOST_ANSWER_BYTES = HEAD_BYTES + MOST_ITEMS * (PACKET_BYTES + 128)

ItemNumber = Annotated[int, Meta(ge=1, le=2**53)]


class SignedRequest(Message, frozen=True):
    owner: Bytes32
    time_s: Annotated[int, Meta(ge=0, le=2**40)]
    body: bytes
    signature: Bytes64


class Registration(Message, frozen=True):
    """A token, and the same under a mask that only its owner can lift: the gateway keeps a hash and this."""

    token: Bytes16
    reminder: Bytes16


class RegisterBody(Message, frozen=True):
    tokens: Annotated[tuple[Registration, ...], Meta(min_length=1, max_length=MOST_TOKENS)]


class FetchBody(Message, frozen=True):
    wait_ms: Annotated[int, Meta(ge=0, le=MOST_WAIT_MS)]
    acknowledge: Annotated[tuple[ItemNumber, ...], Meta(max_length=MOST_ACKNOWLEDGED)]


class Item(Message, frozen=True):
    """A packet that waits under one of the owner's tokens. Numbers count per owner."""

    number: ItemNumber
    token_hash: Bytes32
    reminder: Bytes16
    packet: Annotated[bytes, Meta(min_length=PACKET_BYTES, max_length=PACKET_BYTES)]


class FetchAnswer(Message, frozen=True):
    """``turned_away``: how many packets found the mailbox full since the last answer that said so."""

    items: Annotated[tuple[Item, ...], Meta(max_length=MOST_ITEMS)]
    turned_away: Annotated[int, Meta(ge=0, le=2**53)]


def sign_request(label: Label, owner: SigningKey, gateway: bytes, now_s: float, body: bytes) -> bytes:
    """A request's bytes, for the gateway of that identity (32 bytes)."""
    time_s = int(now_s)
    signature = owner.sign(label, gateway, time_s.to_bytes(8, "big"), sha256(body).digest())
    return encode(SignedRequest(owner.public, time_s, body, signature))


def read_request(label: Label, data: bytes, gateway: bytes, now_s: float) -> SignedRequest:
    """
    Read and check a request; its body is still to be decoded.

    Raises MalformedMessage: size, encoding, not-canonical, ``skew`` or ``signature``.
    """
    request = decode(data, SignedRequest, MOST_REQUEST_BYTES[label])
    if abs(request.time_s - now_s) > SKEW_S:
        raise MalformedMessage("skew")
    signed = (gateway, request.time_s.to_bytes(8, "big"), sha256(request.body).digest())
    if not verify(request.owner, label, request.signature, *signed):
        raise MalformedMessage("signature")
    return request


def hash_token(token: bytes) -> bytes:
    """What a gateway stores of a token (16 bytes): 32 bytes from which nobody gets it back."""
    return labelled_hash(TOKEN_HASH, token)


def mask_token(owner: SigningKey, token_hash: bytes, token: bytes) -> bytes:
    """
    A token to its reminder, or a reminder to its token (16 bytes each): an XOR with a mask of the owner's.

    So an owner needs no list of his tokens to know where a packet was sent, and the gateway's disk has none.
    """
    mask = labelled_hash(TOKEN_REMINDER, owner.seed, token_hash)[:TOKEN_BYTES]
    return bytes(one ^ other for one, other in zip(mask, token, strict=True))


def unmask_token(owner: SigningKey, item: Item) -> Token:
    """Raises MalformedMessage (``token``) when the gateway gives a hash and a reminder that don't agree."""
    token = mask_token(owner, item.token_hash, item.reminder)
    if hash_token(token) != item.token_hash:
        raise MalformedMessage("token")
    return Token(token)
