"""Making an authority's folder: settings, key, and an empty state. Nothing else is made at run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mix.directory.authority.files import FOLDERS
from mixmint.errors import UserError
from mixmint.keys import SigningKey, write_new, write_secret


@dataclass(frozen=True)
class AuthorityPlan:
    """
    What an operator decides. ``network``: the network file's path as seen from the folder. ``parameters``:
    the network's, as lines of ``authority.toml``.
    """

    network: str
    port: int
    operations_port: int
    listen_host: str
    peers: Sequence[str]
    cascades: Sequence[Sequence[str]]
    parameters: Mapping[str, str | int] = field(default_factory=dict)


def create_authority(folder: Path, plan: AuthorityPlan) -> bytes:
    """
    Make an authority's folder; returns its public key (32 bytes), which goes into the network file.

    Raises UserError if the folder exists and isn't empty: no key is ever overwritten.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} isn't empty; choose a new folder for the authority")
    for each in (folder, folder / "state", *(folder / "state" / name for name in FOLDERS)):
        each.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = SigningKey.generate()
    write_new(folder / "authority.toml", _settings(plan).encode())
    # Last: a folder with a key is complete.
    write_secret(folder / "authority.key", key.seed)
    return key.public


def _settings(plan: AuthorityPlan) -> str:
    cascades = (_list([_text(mix) for mix in cascade]) for cascade in plan.cascades)
    lines = [
        "# The settings of an authority. All: mixmint directory run --config FILE --check",
        f"network = {_text(plan.network)}",
        f"host = {_text(plan.listen_host)}",
        f"port = {plan.port}",
        f"operations_port = {plan.operations_port}",
        f"peers = {_list([_text(url) for url in plan.peers])}",
        "# From here on it is the network's, and must be the same at all authorities.",
        *(
            f"{name} = {_text(value) if isinstance(value, str) else value}"
            for name, value in plan.parameters.items()
        ),
        f"cascades = {_list(list(cascades))}",
    ]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    return f'"{value}"'


def _list(values: Sequence[str]) -> str:
    return f"[{', '.join(values)}]"
