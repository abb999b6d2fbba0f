"""
Making a service: the folder that ``mixmint bank|board|echo init`` leaves behind.

    KIND.toml       settings
    an identity     signs the descriptor, and whatever else this service signs
    endpoint.key    opens packets for the service
    descriptor      public: hand it to the directory's authorities
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from mix.directory import Service, sign_descriptor
from mix.packet.geometry import TOKEN_BYTES
from mixmint.errors import UserError
from mixmint.keys import BoxKey, Label, SigningKey, labelled_hash, write_new, write_secret

OWNER = Label("mixmint/service-owner/v1")


def mailbox_owner(endpoint: BoxKey) -> SigningKey:
    """The key that owns a service's mailbox at its gateway; made from the endpoint's, to be one file less."""
    return SigningKey(labelled_hash(OWNER, endpoint.secret))


def create_service(
    folder: Path,
    kind: Literal["bank", "board", "echo"],
    gateway: str,
    settings: Mapping[str, str | int],
    *,
    url: str = "",
    identity_file: str = "identity.key",
    stores: Callable[[SigningKey], None] = lambda _: None,
) -> tuple[Path, SigningKey]:
    """
    Make a service's folder; returns the path of its descriptor, and its identity.

    ``settings`` become KIND.toml and must have ``name``; ``url``: its direct address, for the directory;
    ``stores(identity)`` makes what databases it needs.

    Raises UserError if the folder isn't empty: no key is ever overwritten.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} isn't empty; choose a new folder for the {kind}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    identity, endpoint = SigningKey.generate(), BoxKey.generate()
    service = Service(
        name=str(settings["name"]),
        kind=kind,
        identity=identity.public,
        gateway=gateway,
        token=os.urandom(TOKEN_BYTES),
        endpoint_public=endpoint.public,
        owner=mailbox_owner(endpoint).public,
        url=url,
    )
    descriptor = sign_descriptor(identity, service)
    write_secret(folder / identity_file, identity.seed)
    write_secret(folder / "endpoint.key", endpoint.secret)
    write_new(folder / f"{kind}.toml", _toml(kind, settings).encode())
    stores(identity)
    # Last: a descriptor means that all the rest is there.
    write_new(folder / "descriptor", descriptor)
    return folder / "descriptor", identity


def _toml(kind: str, settings: Mapping[str, str | int]) -> str:
    lines = [f"# The settings of {kind} {settings['name']}. All: mixmint {kind} run --config FILE --check"]
    for name, value in settings.items():
        lines.append(f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}")
    return "\n".join(lines) + "\n"


def http_url(host: str, port: int) -> str:
    """The direct address for the directory."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def network_beside(folder: Path, network: Path | None) -> str:
    """The network file as the settings name it."""
    return path_from(folder, network or folder.resolve().parent / "network.toml")


def path_from(folder: Path, path: Path) -> str:
    """A path as settings in ``folder`` name it: relative, so that a whole network's folder can be moved."""
    return os.path.relpath(path.resolve(), folder.resolve())
