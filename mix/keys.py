"""A node's Sphinx keys at run: read from its folder, matched with the directory."""

from dataclasses import dataclass
from pathlib import Path
from ssl import PEM_cert_to_DER_cert

from mix.directory import Directory, Node, SphinxKey
from mix.packet.geometry import KeyId
from mix.settings import NodeSettings
from mixmint.errors import UserError
from mixmint.keys import SEED_BYTES, BoxKey, read_secret


def key_path(folder: Path, epoch: int) -> Path:
    """Where the key of an epoch is kept: 32 bytes."""
    return folder / f"sphinx-{epoch}.key"


def filter_path(state_folder: Path) -> Path:
    """The folder in which the replay filters of all keys are kept."""
    return state_folder / "replay"


@dataclass(frozen=True)
class NodeKeys:
    """The keys that the directory lists for this node, with their secrets."""

    keys: tuple[SphinxKey, ...]
    secrets: dict[KeyId, bytes]

    def accepted(self, now_s: float) -> frozenset[bytes]:
        """The ids of the keys in use: of the previous, the current and the next epoch."""
        return frozenset(key.key_id for key in self.keys if key.is_accepted(now_s))

    def newest_epoch(self, now_s: float) -> int:
        """How long to remember a frame's id: as long as any packet in it could be replayed."""
        accepted = [key.epoch for key in self.keys if key.is_accepted(now_s)]
        # None is accepted any more: the daemon goes on, and drops what comes, until it gets a new directory.
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


def load_keys(folder: Path, node: Node, now_s: float) -> NodeKeys:
    """
    Read the secrets of the keys that the directory lists for us and that are still accepted.

    Raises UserError when one is missing, isn't the listed one, or all have run out.
    """
    secrets: dict[KeyId, bytes] = {}
    # Keys to come are loaded too: a daemon may run for longer than an epoch.
    listed = tuple(key for key in node.sphinx_keys if now_s < key.accepted_until_s)
    for key in listed:
        path = key_path(folder, key.epoch)
        box = BoxKey(read_secret(path, SEED_BYTES))
        if box.public != key.public:
            raise UserError(f"{path} isn't the key that the directory lists for epoch {key.epoch}")
        secrets[KeyId(key.key_id)] = box.secret
    if not any(key.is_accepted(now_s) for key in listed):
        raise UserError(f"the directory lists no key of {node.name} for today; get a newer directory")
    return NodeKeys(listed, secrets)
