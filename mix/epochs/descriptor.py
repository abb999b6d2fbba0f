"""
A node's descriptor: what it says of itself, signed by its identity, in a file of its folder.

It is signed anew whenever the keys that it lists change; what an operator decides (name, addresses) stays.
"""

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from mix.directory import Node, SphinxKey, sign_descriptor
from mix.directory.descriptor import Descriptor, open_descriptor
from mixmint.errors import MalformedMessage, UserError
from mixmint.files import write_whole
from mixmint.keys import SEED_BYTES, SigningKey, read_secret


class OwnDescriptor:
    """
    The descriptor file. Raises UserError when it, or the identity's key, is missing or of another node.
    """

    def __init__(self, path: Path, identity_path: Path, name: str) -> None:
        self._path = path
        self._identity = SigningKey(read_secret(identity_path, SEED_BYTES))
        self._now = _read(path)
        if self.node.identity != self._identity.public or self.node.name != name:
            raise UserError(f"{path} isn't the descriptor of {name} and {identity_path}; restore both")

    @property
    def path(self) -> Path:
        return self._path

    @property
    def signed(self) -> bytes:
        return self._now.signed

    @property
    def node(self) -> Node:
        return _node(self._now, self._path)

    def lists(self, keys: Sequence[SphinxKey], certificates: tuple[bytes, bytes]) -> bool:
        """Whether it says exactly this."""
        node = self.node
        return (node.sphinx_keys, node.certificate, node.next_certificate) == (tuple(keys), *certificates)

    def write(self, keys: Sequence[SphinxKey], certificates: tuple[bytes, bytes], now_s: float) -> None:
        """
        Say it; killed anywhere, the file is the old one or the new one. ``certificates``: the one in use, and
        the next or nothing.

        The serial rises also when the clock went back. Raises UserError when it can't be written.
        """
        current, following = certificates
        node = replace(self.node, sphinx_keys=tuple(keys), certificate=current, next_certificate=following)
        serial = max(int(now_s), self._now.serial + 1)
        signed = sign_descriptor(self._identity, node, serial)
        write_whole(self._path, signed)
        self._now = open_descriptor(signed)


def read_own(path: Path) -> Node:
    """What a node's descriptor file says. Raises UserError, one line."""
    return _node(_read(path), path)


def _read(path: Path) -> Descriptor:
    try:
        descriptor = open_descriptor(path.read_bytes())
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}; restore it from a backup") from None
    except MalformedMessage as error:
        raise UserError(f"{path} is no good descriptor ({error}); restore it from a backup") from None
    _node(descriptor, path)
    return descriptor


def _node(descriptor: Descriptor, path: Path) -> Node:
    if not isinstance(descriptor.entry, Node):
        raise UserError(f"{path} is a service's descriptor, not a node's")
    return descriptor.entry
