"""
Making a board: the folder that ``mixmint board init`` leaves behind.

    board.toml      settings
    board.key       signs rounds; the board's identity
    endpoint.key    opens packets that come for the board over the mixes
    descriptor      public: hand it to the directory's authorities

``board.db`` comes with the first start: an empty board is no loss, and nothing secret is in it.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from mix.directory import Service, sign_descriptor
from mix.packet.geometry import TOKEN_BYTES
from mixmint.errors import UserError
from mixmint.keys import BoxKey, SigningKey, write_new, write_secret


@dataclass(frozen=True)
class BoardPlan:
    """What an operator decides. ``host``: to listen on. ``url``: for the directory."""

    name: str
    gateway: str
    host: str
    port: int
    operations_port: int
    url: str
    round_ms: int
    network: Path
    bank: str = "bank"
    bank_key: str = ""


def create_board(folder: Path, plan: BoardPlan) -> Path:
    """
    Make the folder; returns the path of the descriptor.

    Raises UserError if the folder exists and isn't empty: no key is ever overwritten.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} isn't empty; choose a new folder for the board")
    if plan.bank_key and not _is_key(plan.bank_key):
        raise UserError("--bank-key is 64 hexadecimal digits; `mixmint directory show` prints it")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    identity, endpoint = SigningKey.generate(), BoxKey.generate()
    service = Service(
        name=plan.name,
        kind="board",
        identity=identity.public,
        gateway=plan.gateway,
        token=os.urandom(TOKEN_BYTES),
        endpoint_public=endpoint.public,
        url=plan.url,
    )
    descriptor = sign_descriptor(identity, service)
    write_new(folder / "board.toml", _settings(folder, plan).encode())
    write_secret(folder / "endpoint.key", endpoint.secret)
    write_secret(folder / "board.key", identity.seed)
    # Last: a descriptor means that all the rest is there.
    write_new(folder / "descriptor", descriptor)
    return folder / "descriptor"


def _is_key(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _settings(folder: Path, plan: BoardPlan) -> str:
    network = os.path.relpath(plan.network.resolve(), folder.resolve())
    lines = [
        "# The settings of a bulletin board. All of them: mixmint board run --config FILE --check",
        f'name = "{plan.name}"',
        f'network = "{network}"',
        f'bank = "{plan.bank}"',
        *([f'bank_key = "{plan.bank_key}"'] if plan.bank_key else []),
        f'host = "{plan.host}"',
        f"port = {plan.port}",
        f"operations_port = {plan.operations_port}",
        f"round_ms = {plan.round_ms}",
    ]
    return "\n".join(lines) + "\n"
