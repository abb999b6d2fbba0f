"""
What an operator hands to the authorities: one node or one service, signed by its own identity.

The signature shows that the holder of the identity wants exactly this entry. Whether he is welcome is the
authorities' decision; so is who speaks for a service whose identity's key is lost or stolen.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from mix.directory.document import Node, Service
from mixmint.errors import MalformedMessage
from mixmint.keys import Label, SigningKey, verify
from mixmint.wire import Bytes64, Message, decode, encode

DESCRIPTOR = Label("mixmint/descriptor/v1")
MOST_BYTES = 16384

_NO_SUCCESSORS: Mapping[str, bytes] = MappingProxyType({})
_KINDS: dict[str, type[Node] | type[Service]] = {"node": Node, "service": Service}


class SignedDescriptor(Message, frozen=True):
    """``document`` is an encoded Node or Service; the signature covers the kind's byte and the document."""

    kind: Literal["node", "service"]
    document: bytes
    signature: Bytes64


def sign_descriptor(identity: SigningKey, entry: Node | Service) -> bytes:
    """The descriptor file's bytes. The entry must carry the identity's public key."""
    kind: Literal["node", "service"] = "node" if isinstance(entry, Node) else "service"
    document = encode(entry)
    return encode(SignedDescriptor(kind, document, identity.sign(DESCRIPTOR, kind[:1].encode(), document)))


def read_descriptor(data: bytes, successors: Mapping[str, bytes] = _NO_SUCCESSORS) -> Node | Service:
    """
    ``successors``: by the names of services whose identity's key is lost or stolen, the key (32 bytes) that
    the authorities take their descriptors from now.

    Raises MalformedMessage: not canonical, or not signed by the identity it names.
    """
    signed = decode(data, SignedDescriptor, MOST_BYTES)
    entry = decode(signed.document, _KINDS[signed.kind], MOST_BYTES)
    signer = successors.get(entry.name, entry.identity) if isinstance(entry, Service) else entry.identity
    if not verify(signer, DESCRIPTOR, signed.signature, signed.kind[:1].encode(), signed.document):
        raise MalformedMessage("signature", "the descriptor isn't signed by the identity it names")
    return entry
