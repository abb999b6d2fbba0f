"""
Making a node: the folder that ``mixmint mix init`` and ``mixmint gateway init`` leave behind.

    mix.toml or gateway.toml    settings
    identity.key                signs the descriptor, again whenever its keys change
    link.key, link.crt          what other nodes and endpoints know us by
    keys/sphinx-<epoch>.key     one X25519 key per epoch: this one and the next
    state/                      replay filters and databases, empty
    descriptor                  public: hand it to the directory's authorities

A running daemon makes the keys of later epochs itself (mix/epochs). What is made here it never makes again: a
daemon that made a missing key, or a missing replay filter, would hide a disaster.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mix.certificates import make_certificate
from mix.directory import Node, SphinxKey, load_network, sign_descriptor
from mix.directory.document import EPOCH_S
from mix.keys import filter_path, key_path, sphinx_key
from mix.mailbox import SCHEMA
from mix.packet.geometry import TOKEN_BYTES, KeyId
from mix.replay import create_filter
from mixmint.database import open_database
from mixmint.errors import UserError
from mixmint.keys import BoxKey, SigningKey, write_new, write_secret


@dataclass(frozen=True)
class NodePlan:
    """What an operator decides: name, role and addresses."""

    name: str
    role: Literal["mix", "gateway"]
    host: str
    link_port: int
    operations_port: int
    client_port: int = 0
    network: str = "network.toml"
    listen_host: str = "0.0.0.0"  # noqa: S104 - where packets come from is other machines
    epoch_s: int = EPOCH_S


def create_node(folder: Path, plan: NodePlan, now_s: float) -> Path:
    """
    Make a node's folder; returns the path of its descriptor.

    Raises UserError if the folder exists and isn't empty: no key is ever overwritten.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} isn't empty; choose a new folder for node {plan.name}")
    for path in (folder, folder / "keys", folder / "state"):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    identity = SigningKey.generate()
    certificate = make_certificate(plan.name, now_s)
    keys = tuple(_make_key(folder, epoch, plan.epoch_s) for epoch in _epochs(now_s, plan.epoch_s))
    create_filter(filter_path(folder / "state"), (KeyId(key.key_id) for key in keys))
    node = Node(
        name=plan.name,
        role=plan.role,
        identity=identity.public,
        host=plan.host,
        link_port=plan.link_port,
        client_port=plan.client_port,
        certificate=certificate.certificate_der,
        next_certificate=b"",
        sphinx_keys=keys,
        # Nobody holds the secret of a discard endpoint: what ends there was never meant to be read.
        discard_token=os.urandom(TOKEN_BYTES) if plan.role == "gateway" else b"",
        discard_public=BoxKey.generate().public if plan.role == "gateway" else b"",
    )
    write_secret(folder / "identity.key", identity.seed)
    write_secret(folder / "link.key", certificate.key_pem)
    write_new(folder / "link.crt", certificate.certificate_pem)
    write_new(folder / f"{plan.role}.toml", _settings(plan).encode())
    if plan.role == "gateway":
        open_database(folder / "state" / "gateway.db", SCHEMA).close()
    # Last: a descriptor means that all the rest is there.
    write_new(folder / "descriptor", sign_descriptor(identity, node, int(now_s)))
    return folder / "descriptor"


def known_epoch_s(network: Path, now_s: float) -> int:
    """The length of a key epoch in the network of this file; the usual one where that isn't known yet."""
    try:
        return load_network(network, now_s).epoch_s
    except UserError:
        return EPOCH_S


def _epochs(now_s: float, epoch_s: int) -> tuple[int, int]:
    current = int(now_s) // epoch_s
    return current, current + 1


def _make_key(folder: Path, epoch: int, epoch_s: int) -> SphinxKey:
    key = BoxKey.generate()
    write_secret(key_path(folder / "keys", epoch), key.secret)
    return sphinx_key(key.public, epoch, epoch_s)


def _settings(plan: NodePlan) -> str:
    lines = [
        f"# The settings of {plan.role} {plan.name}. All: mixmint {plan.role} run --config FILE --check",
        f'name = "{plan.name}"',
        f'network = "{plan.network}"',
        f'link_host = "{plan.listen_host}"',
        f"link_port = {plan.link_port}",
        f"operations_port = {plan.operations_port}",
    ]
    if plan.role == "gateway":
        lines += [f'client_host = "{plan.listen_host}"', f"client_port = {plan.client_port}"]
    else:
        lines += [
            "# Better on memory-backed storage, e.g. a systemd RuntimeDirectory: then no disk keeps packets.",
            'pool_path = "state/pool.db"',
        ]
    return "\n".join(lines) + "\n"
