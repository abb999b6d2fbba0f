"""
What an operator hands to the authorities: one node or one service, signed by its own identity.

The signature shows that the holder of the identity wants exactly this entry. Whether he is welcome is the
authorities' decision; so is who speaks for a service whose identity's key is lost or stolen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from mix.directory.document import Node, Seconds, Service
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, SigningKey, verify
from mixmint.wire import Bytes64, Message, decode, encode

DESCRIPTOR = Label("mixmint/descriptor/v2")
MOST_BYTES = 16384

_NO_SUCCESSORS: Mapping[str, bytes] = MappingProxyType({})
_KINDS: dict[str, type[Node] | type[Service]] = {"node": Node, "service": Service}


class SignedDescriptor(Message, frozen=True):
    """
    ``document`` is an encoded Node or Service. Of two of one identity the one with the higher ``serial``
    counts: Unix seconds when it was made. The signature covers the kind's byte, the serial (8 bytes) and the
    document.
    """

    kind: Literal["node", "service"]
    serial: Seconds
    document: bytes
    signature: Bytes64


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A descriptor that was read: its entry, how new it is, and the signed bytes."""

    entry: Node | Service
    serial: int
    signed: bytes = field(repr=False)


def sign_descriptor(identity: SigningKey, entry: Node | Service, serial: int = 0) -> bytes:
    """The descriptor file's bytes. The entry must carry the identity's public key."""
    kind: Literal["node", "service"] = "node" if isinstance(entry, Node) else "service"
    document = encode(entry)
    signature = identity.sign(DESCRIPTOR, *_covered(kind, serial, document))
    return encode(SignedDescriptor(kind, serial, document, signature))


def _covered(kind: str, serial: int, document: bytes) -> tuple[bytes, bytes, bytes]:
    return kind[:1].encode(), serial.to_bytes(8), document


def read_descriptor(data: bytes, successors: Mapping[str, bytes] = _NO_SUCCESSORS) -> Node | Service:
    """The entry in a descriptor; see `open_descriptor`."""
    return open_descriptor(data, successors).entry


def open_descriptor(data: bytes, successors: Mapping[str, bytes] = _NO_SUCCESSORS) -> Descriptor:
    """
    ``successors``: by the names of services whose identity's key is lost or stolen, the key (32 bytes) that
    the authorities take their descriptors from now.

    Raises MalformedMessage: not canonical, or not signed by the identity it names.
    """
    signed = decode(data, SignedDescriptor, MOST_BYTES)
    entry = decode(signed.document, _KINDS[signed.kind], MOST_BYTES)
    signer = successors.get(entry.name, entry.identity) if isinstance(entry, Service) else entry.identity
    covered = _covered(signed.kind, signed.serial, signed.document)
    if not verify(signer, DESCRIPTOR, signed.signature, *covered):
        raise MalformedMessage("signature", "the descriptor isn't signed by the identity it names")
    return Descriptor(entry, signed.serial, data)
