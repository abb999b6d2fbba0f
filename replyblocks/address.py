"""
An address: what a stranger needs to write to a member, as one line of text.

    mixmint1 || base32(version 1 || token 16 || endpoint key 32 || sealing key 32 || length of network 1 ||
                       network || gateway || checksum 5)

Base32 in lower case without padding; the checksum is a labelled hash of everything before it. A checksum by
hash rather than bech32's code: an address is longer than the 90 characters for which that code was made.

Source: docs/spec/message.md, section 1.
"""

import base64
import re
from dataclasses import dataclass, field

from mix.directory import Directory
from mix.packet.geometry import TOKEN_BYTES, Token
from mix.packet.group import is_usable_public
from mixmint.errors import UserError
from mixmint.keys import PUBLIC_BYTES, Label, labelled_hash
from replyblocks.member import Member

CHECKSUM = Label("mixmint/address/v1")
PREFIX = "mixmint1"
VERSION = 1
CHECKSUM_BYTES = 5
MOST_CHARACTERS = 512
_NAMES_AT = 1 + TOKEN_BYTES + 2 * PUBLIC_BYTES
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Address:
    """
    ``network`` and ``gateway`` are names of the directory; ``token`` (16 bytes) and ``endpoint`` (32) lead to
    the mailbox; messages are sealed to ``sealing`` (32). Whoever has it can write, and can't tell who reads.
    """

    network: str
    gateway: str
    token: Token = field(repr=False)
    endpoint: bytes = field(repr=False)
    sealing: bytes = field(repr=False)

    @classmethod
    def of(cls, member: Member) -> "Address":
        """The member's own."""
        return cls(
            member.directory.network,
            member.settings.gateway,
            member.address.token,
            member.address.endpoint.public,
            member.sealing.public,
        )

    def encode(self) -> str:
        network = self.network.encode("ascii")
        payload = b"".join(
            (
                VERSION.to_bytes(1),
                self.token,
                self.endpoint,
                self.sealing,
                len(network).to_bytes(1),
                network,
                self.gateway.encode("ascii"),
            )
        )
        text = base64.b32encode(payload + _checksum(payload)).decode("ascii")
        return PREFIX + text.rstrip("=").lower()

    def check(self, directory: Directory) -> None:
        """Raises UserError when it belongs to another network, or its gateway is gone."""
        if self.network != directory.network:
            raise UserError(
                f"the address belongs to network {self.network!r}, this member to {directory.network!r}"
            )
        if self.gateway not in directory.gateway_names():
            raise UserError(
                f"the address's gateway {self.gateway!r} isn't in the directory; ask for a newer address"
            )


def decode_address(text: str) -> Address:
    """
    Read an address as a person pasted it: spaces, line breaks and capitals don't matter. Raises UserError.
    """
    compact = "".join(text.split()).lower()
    if len(compact) > MOST_CHARACTERS or not compact.startswith(PREFIX):
        raise UserError(f"this is no mixmint address: it should begin with {PREFIX}")
    digits = compact[len(PREFIX) :]
    try:
        data = base64.b32decode(digits.upper() + "=" * (-len(digits) % 8))
    except ValueError:
        raise _mistyped() from None
    payload, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    if checksum != _checksum(payload) or not payload:
        raise _mistyped()
    if payload[0] != VERSION:
        raise UserError("the address is of a newer version; upgrade mixmint")
    address = _read(payload)
    # Base32 has several texts for some byte strings; an address has one.
    if address is None or address.encode() != compact:
        raise _mistyped()
    # Such a message would wait in the outbox for ever, with all behind it: no packet can be made for the key.
    if not is_usable_public(address.endpoint):
        raise UserError("the address is no good: nothing can be sent to its key; ask for another one")
    return address


def _read(payload: bytes) -> Address | None:
    if len(payload) <= _NAMES_AT:
        return None
    names = payload[_NAMES_AT + 1 :]
    length = payload[_NAMES_AT]
    try:
        network, gateway = names[:length].decode("ascii"), names[length:].decode("ascii")
    except UnicodeDecodeError:
        return None
    if not _NAME.fullmatch(network) or not _NAME.fullmatch(gateway):
        return None
    endpoint_at = 1 + TOKEN_BYTES
    return Address(
        network,
        gateway,
        Token(payload[1:endpoint_at]),
        payload[endpoint_at : endpoint_at + PUBLIC_BYTES],
        payload[endpoint_at + PUBLIC_BYTES : _NAMES_AT],
    )


def _checksum(payload: bytes) -> bytes:
    return labelled_hash(CHECKSUM, payload)[:CHECKSUM_BYTES]


def _mistyped() -> UserError:
    return UserError("the address is incomplete or has a typing error; copy it again")
