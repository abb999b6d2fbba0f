"""A node's Sphinx keys at run: which it holds, matched with those that the directory lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from ssl import PEM_cert_to_DER_cert

from mix.directory import Directory, Node, SphinxKey
from mix.packet.build import key_id
from mix.packet.geometry import KeyId
from mix.settings import NodeSettings
from mixmint.errors import UserError


def key_path(folder: Path, epoch: int) -> Path:
    """Where the key of an epoch is kept: 32 bytes."""
    return folder / f"sphinx-{epoch}.key"


def filter_path(state_folder: Path) -> Path:
    """The folder in which the replay filters of all keys are kept."""
    return state_folder / "replay"


@dataclass(frozen=True)
class NodeKeys:
    """The keys that this node holds, with their secrets."""

    keys: tuple[SphinxKey, ...]
    secrets: dict[KeyId, bytes]

    def accepted(self, now_s: float) -> frozenset[bytes]:
        """The ids of the keys in use: of the previous, the current and the next epoch."""
        return frozenset(key.key_id for key in self.keys if key.is_accepted(now_s))

    def newest_epoch(self, now_s: float) -> int:
        """How long to remember a frame's id: as long as any packet in it could be replayed."""
        accepted = [key.epoch for key in self.keys if key.is_accepted(now_s)]
        # None is accepted any more: the daemon goes on, and drops what comes, until it has new keys.
        return max(accepted or (key.epoch for key in self.keys))

    def __repr__(self) -> str:
        return f"NodeKeys({len(self.keys)} keys)"


def our_node(settings: NodeSettings, directory: Directory, role: str) -> Node:
    """
    Find ourselves in the directory.

    Raises UserError when we aren't in it, or it lists another certificate than ours: nobody could talk to us.
    """
    node = directory.node(settings.name)
    if node.role != role:
        raise UserError(f"the directory says that {node.name} is a {node.role}, not a {role}")
    if not directory.predecessors(node.name):
        raise UserError(f"mix {node.name} is in no cascade of the directory; ask its authorities")
    try:
        der = PEM_cert_to_DER_cert(settings.certificate_path.read_text("ascii"))
    except (OSError, ValueError):
        raise UserError(
            f"can't read certificate {settings.certificate_path}; restore it from a backup"
        ) from None
    if der not in node.certificates:
        raise UserError(
            f"the directory lists another certificate for {node.name}; hand the authorities our descriptor"
        )
    return node


def days_left(directory: Directory, node: Node, now_s: float) -> float:
    """For how many days this node can go on with its directory and keys; below 0 it lives on grace."""
    end_s = min(directory.valid_until_s, node.sphinx_keys[-1].not_after_s)
    return round((end_s - now_s) / 86400, 1)


def sphinx_key(public: bytes, epoch: int, epoch_s: int) -> SphinxKey:
    """An epoch's key as a descriptor has it, by its public half (32 bytes)."""
    return SphinxKey(key_id(public), public, epoch, epoch * epoch_s, (epoch + 1) * epoch_s)


def check_held(held: Mapping[int, bytes], node: Node, now_s: float, folder: Path) -> None:
    """
    Whether we have the keys that are listed for us and still accepted; ``held``: public halves by epoch.

    Raises UserError: somebody may use a key that we can't unwrap with.
    """
    for key in node.sphinx_keys:
        if now_s >= key.accepted_until_s:
            continue
        path, mended = key_path(folder, key.epoch), f"restore it, or make new ones: mixmint {node.role} rekey"
        if key.epoch not in held:
            raise UserError(f"key {path} is missing; {mended}")
        if held[key.epoch] != key.public:
            raise UserError(f"{path} isn't the key that the directory lists for epoch {key.epoch}; {mended}")


def check_listed(held: Mapping[int, bytes], node: Node, now_s: float, folder: Path) -> None:
    """`check_held`, and whether the directory lists one of today. Raises UserError."""
    check_held(held, node, now_s, folder)
    if not any(key.is_accepted(now_s) for key in node.sphinx_keys):
        raise UserError(f"the directory lists no key of {node.name} for today; get a newer directory")
