"""
Signing a directory, and the checks that every reader makes before believing a word of it.

The numbers are those of docs/spec/directory.md, section 3. ``now_s`` is one time for the whole check.
"""

import logging
from collections.abc import Iterable, Sequence

from mix.directory.document import Directory, Mixing, Node, Service
from mix.packet.build import key_id
from mix.packet.geometry import BODY_BYTES, TOKEN_BYTES
from mix.packet.group import is_usable_public
from mixmint.errors import MalformedMessage
from mixmint.keys import PUBLIC_BYTES, Label, SigningKey, labelled_hash
from mixmint.keys import verify as verify_signature
from mixmint.wire import Bytes32, Bytes64, Message, decode, encode

DIRECTORY = Label("mixmint/directory/v2")
DIRECTORY_HASH = Label("mixmint/directory-hash/v2")
MOST_BYTES = 1 << 20
SKEW_S = 300
"""A reader's clock may be this far behind the authorities'."""

_log = logging.getLogger("mix.directory")


class Signature(Message, frozen=True):
    authority: Bytes32
    signature: Bytes64


class SignedDirectory(Message, frozen=True):
    """``document``: the encoded Directory; signatures sorted by authority, each at most once."""

    document: bytes
    signatures: tuple[Signature, ...]


def sign_directory(directory: Directory, authorities: Iterable[SigningKey]) -> bytes:
    """The directory file's bytes, signed by the authorities given."""
    document = encode(directory)
    signatures = [Signature(key.public, key.sign(DIRECTORY, document)) for key in authorities]
    return encode(SignedDirectory(document, tuple(sorted(signatures, key=lambda one: one.authority))))


def directory_hash(signed: bytes) -> bytes:
    """What the next directory carries as ``previous``: 32 bytes, of the document without signatures."""
    return document_hash(decode(signed, SignedDirectory, MOST_BYTES).document)


def document_hash(document: bytes) -> bytes:
    """The hash (32 bytes) that names a directory's document."""
    return labelled_hash(DIRECTORY_HASH, document)


def verify(signed: bytes, authorities: Sequence[bytes], threshold: int, now_s: float) -> Directory:
    """
    Read a signed directory that is to be used now; ``authorities`` are the public keys (32 bytes) that count.

    Raises MalformedMessage with a reason and a detail for the log. An expired directory in its grace is
    returned with a warning logged.
    """
    directory = read(signed, authorities, threshold)
    check_time(directory, now_s)
    return directory


def read(signed: bytes, authorities: Sequence[bytes], threshold: int) -> Directory:
    """All checks but that of the time, for a directory of the past. Raises MalformedMessage."""
    # 1. The outer message is canonical and at most 1 MiB.
    message = decode(signed, SignedDirectory, MOST_BYTES)
    # 2. At least `threshold` of the authorities signed these bytes. Strangers' signatures don't count; a bad
    #    signature under an authority's name refuses the file, since an honest writer never makes one.
    _check_signatures(message, authorities, threshold)
    # 3. Only now is the document read.
    return read_document(message.document)


def read_document(document: bytes) -> Directory:
    """The checks of the document, whoever signed it. Raises MalformedMessage."""
    # 3. Canonical, fields within their bounds.
    directory = decode(document, Directory, MOST_BYTES)
    # 4. It is valid now: `check_time`.
    # 5. Its parameters are ones that this version speaks.
    if directory.body_bytes != BODY_BYTES:
        raise MalformedMessage("parameters", f"packets with bodies of {directory.body_bytes} bytes")
    _check_mixing(directory.mixing)
    # 6. Names, identities, certificates and Sphinx keys are unique, and each node is complete.
    _check_unique(directory)
    for node in directory.nodes:
        check_node(node, directory.epoch_s)
    # 7. Each cascade is three different mixes of this directory.
    _check_cascades(directory)
    # 8. Each service sits behind a gateway of this directory.
    for service in directory.services:
        _check_service(service, directory)
    return directory


def _check_signatures(message: SignedDirectory, authorities: Sequence[bytes], threshold: int) -> None:
    named = [one.authority for one in message.signatures]
    if named != sorted(set(named)):
        raise MalformedMessage("signatures", "an authority twice, or out of order")
    counted = [one for one in message.signatures if one.authority in authorities]
    for one in counted:
        if not verify_signature(one.authority, DIRECTORY, one.signature, message.document):
            raise MalformedMessage("signatures", f"bad signature of {one.authority.hex()[:16]}")
    if threshold < 1 or len(counted) < threshold:
        raise MalformedMessage("signatures", f"{len(counted)} good signatures of {threshold} needed")


def check_time(directory: Directory, now_s: float) -> None:
    """
    Whether it may be used now; a warning is logged when it lives on its grace. Raises MalformedMessage.
    """
    if now_s < directory.valid_from_s - SKEW_S:
        raise MalformedMessage("not-yet-valid", "valid from a later time; check this machine's clock")
    if now_s >= directory.valid_until_s + directory.grace_s:
        raise MalformedMessage("expired", "it and its grace have expired; get a newer one")
    if now_s >= directory.valid_until_s:
        days = (directory.valid_until_s + directory.grace_s - now_s) / 86400
        _log.warning("the directory has expired; it stays usable for %.1f days more: get a newer one", days)


def _check_mixing(mixing: Mixing) -> None:
    used = {
        "timed-pool": (mixing.pool_permille > 0, mixing.threshold, mixing.longest_ms, mixing.delay_ms),
        "threshold": (mixing.threshold > 0 < mixing.longest_ms, mixing.pool_permille, mixing.delay_ms),
        "poisson": (
            0 < mixing.delay_ms <= mixing.most_delay_ms,
            *(mixing.pool_minimum, mixing.pool_permille, mixing.threshold, mixing.longest_ms),
        ),
    }
    is_set, *unused = used[mixing.strategy]
    if not is_set or any(unused) or (mixing.strategy != "poisson" and mixing.most_delay_ms):
        raise MalformedMessage("parameters", f"numbers that don't fit the strategy {mixing.strategy}")


def _check_unique(directory: Directory) -> None:
    nodes = directory.nodes
    unique: dict[str, Sequence[str | bytes]] = {
        "name": [node.name for node in nodes],
        "identity": [node.identity for node in nodes],
        "certificate": [der for node in nodes for der in node.certificates],
        "key": [key.key_id for node in nodes for key in node.sphinx_keys],
        "service name": [service.name for service in directory.services],
    }
    for what, values in unique.items():
        if len(set(values)) != len(values):
            raise MalformedMessage("twice", f"a {what} appears twice")


def check_node(node: Node, epoch_s: int) -> None:
    """What can be said of a node by itself, in a network with such epochs. Raises MalformedMessage."""
    if not node.certificate or node.link_port == 0:
        raise MalformedMessage("node", f"{node.name} has no certificate or no port")
    # 6a. Key ids are derived here, never taken on trust: a wrong one would send packets to another node.
    for key in node.sphinx_keys:
        if key_id(key.public) != key.key_id or key.not_after_s <= key.not_before_s:
            raise MalformedMessage("key", f"a key of {node.name} has a wrong id or an empty epoch")
        _check_public(key.public, node.name)
    # 6b. Everybody's epochs begin and end together: a key's own times would tell who sent when. They rise, so
    #     "the last accepted key" means the newest.
    if any((key.not_before_s, key.not_after_s) != _times(key.epoch, epoch_s) for key in node.sphinx_keys):
        raise MalformedMessage("key", f"a key of {node.name} isn't for an epoch of this network")
    epochs = [key.epoch for key in node.sphinx_keys]
    if epochs != sorted(set(epochs)):
        raise MalformedMessage("key", f"the epochs of {node.name} are not in order")
    # 6c. Only a gateway has a client port and a discard endpoint, and it always has both.
    discard = (len(node.discard_token), len(node.discard_public))
    wanted = (TOKEN_BYTES, PUBLIC_BYTES) if node.role == "gateway" else (0, 0)
    if discard != wanted or (node.client_port != 0) != (node.role == "gateway"):
        raise MalformedMessage("node", f"{node.name} has not the fields of a {node.role}")
    if node.role == "gateway":
        _check_public(node.discard_public, node.name)


def _times(epoch: int, epoch_s: int) -> tuple[int, int]:
    return epoch * epoch_s, (epoch + 1) * epoch_s


def _check_public(public: bytes, name: str) -> None:
    # Else no packet could be made for it: one bad key would stop every sender, and every mix's cover.
    if not is_usable_public(public):
        raise MalformedMessage("key", f"a key of {name} is no usable X25519 key")


def _check_cascades(directory: Directory) -> None:
    mixes = {node.name for node in directory.nodes if node.role == "mix"}
    if len(mixes) == len(directory.nodes):
        raise MalformedMessage("cascade", "no gateway")
    for cascade in directory.cascades:
        if len(set(cascade)) != len(cascade) or not mixes.issuperset(cascade):
            raise MalformedMessage("cascade", f"{'-'.join(cascade)} isn't three different mixes")


def _check_service(service: Service, directory: Directory) -> None:
    if service.gateway not in directory.gateway_names():
        raise MalformedMessage("service", f"{service.name} is behind {service.gateway}, no gateway")
    _check_public(service.endpoint_public, service.name)
