"""
Making a bank: the folder that ``mixmint bank init`` leaves behind.

    bank.toml       settings
    bank.key        the signing key, the bank's only secret
    endpoint.key    opens packets for the bank
    bank.db         the books, empty
    descriptor      public: hand it to the directory's authorities

A running bank makes none of these: one that made a missing database would forget which coins are spent.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from bank.formats.coin import bank_id
from bank.store import open_books
from mix.directory import Service, sign_descriptor
from mix.packet.geometry import TOKEN_BYTES
from mixmint.errors import UserError
from mixmint.keys import BoxKey, SigningKey, write_new, write_secret


@dataclass(frozen=True)
class BankPlan:
    """What an operator decides: name, gateway, addresses, and the board that it publishes on."""

    name: str
    gateway: str
    host: str
    port: int
    operations_port: int
    board: str = "board"
    network: str = "../network.toml"
    listen_host: str = "127.0.0.1"
    url: str = ""


def create_bank(folder: Path, plan: BankPlan) -> tuple[Path, SigningKey]:
    """
    Make a bank's folder; returns the path of its descriptor, and the new signing key.

    Raises UserError if the folder exists and isn't empty: no key is ever overwritten.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} isn't empty; choose a new folder for the bank")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key, endpoint = SigningKey.generate(), BoxKey.generate()
    service = Service(
        name=plan.name,
        kind="bank",
        identity=key.public,
        gateway=plan.gateway,
        token=os.urandom(TOKEN_BYTES),
        endpoint_public=endpoint.public,
        url=plan.url or f"http://{plan.host}:{plan.port}",
    )
    write_secret(folder / "bank.key", key.seed)
    write_secret(folder / "endpoint.key", endpoint.secret)
    write_new(folder / "bank.toml", _settings(plan).encode())
    open_books(folder / "bank.db", bank_id(key.public)).close()
    # Last: a descriptor means that all the rest is there.
    write_new(folder / "descriptor", sign_descriptor(key, service))
    return folder / "descriptor", key


def _settings(plan: BankPlan) -> str:
    lines = [
        f"# The settings of bank {plan.name}. All of them: mixmint bank run --config FILE --check",
        f'name = "{plan.name}"',
        f'board = "{plan.board}"',
        f'network = "{plan.network}"',
        f'host = "{plan.listen_host}"',
        f"port = {plan.port}",
        f"operations_port = {plan.operations_port}",
    ]
    return "\n".join(lines) + "\n"
