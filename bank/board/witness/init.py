"""
Making a witness: the folder that ``mixmint witness init`` leaves behind.

    witness.toml    settings
    witness.key     cosigns; the witness's identity
    witness.db      what it cosigned of each log: nothing yet

Unlike other databases this one is made now and never by ``run``: one that is missing later was lost, and a
witness without its memory is none.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from bank.board.log.note import KeyKind, VerifierKey, is_name
from bank.board.witness.daemon import read_logs
from bank.board.witness.store import create_store
from mixmint.errors import UserError
from mixmint.keys import SigningKey, write_new, write_secret


def create_witness(
    folder: Path, name: str, logs: Sequence[str], settings: dict[str, str | int]
) -> VerifierKey:
    """
    Make the folder; the new witness's verifier key.

    Raises UserError for a name that can't be a key's, for what is no log's key, or if the folder isn't empty.
    """
    if not is_name(name):
        raise UserError(
            f"{name!r} can't name a key: no white space, no plus sign; best is the witness's URL "
            "without https://"
        )
    read_logs(logs)
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} isn't empty; choose a new folder for the witness")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = SigningKey.generate()
    write_secret(folder / "witness.key", key.seed)
    create_store(folder / "witness.db", key.public)
    write_new(folder / "witness.toml", _toml(name, logs, settings).encode())
    return VerifierKey(name, key.public, KeyKind.WITNESS)


def _toml(name: str, logs: Sequence[str], settings: dict[str, str | int]) -> str:
    lines = [
        f"# The settings of witness {name}. All: mixmint witness run --config FILE --check",
        f"name = {json.dumps(name)}",
        "# The logs that are watched, by their verifier keys. Add one, and restart.",
        "logs = [",
        *(f"  {json.dumps(log)}," for log in logs),
        "]",
    ]
    for field, value in settings.items():
        lines.append(f"{field} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"


def policy_line(key: VerifierKey, url: str) -> str:
    """What a log's operator, or a reader, puts into a policy file; the name in it is theirs to choose."""
    return f"witness {key.name.rpartition('/')[2] or key.name} {key.text()} {url.rstrip('/')}"
