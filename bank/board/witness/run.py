"""From a settings file to a running witness."""

from dataclasses import dataclass
from pathlib import Path

from bank.board.log.note import KeyKind, VerifierKey, is_name
from bank.board.witness.daemon import build_app, read_logs
from bank.board.witness.settings import WitnessSettings
from bank.board.witness.store import check_store
from mixmint import web
from mixmint.errors import UserError
from mixmint.keys import SEED_BYTES, SigningKey, read_secret
from mixmint.settings import describe, load


@dataclass(frozen=True)
class Prepared:
    """Everything read and checked; nothing opened yet."""

    settings: WitnessSettings
    key: SigningKey

    @property
    def verifier(self) -> VerifierKey:
        return VerifierKey(self.settings.name, self.key.public, KeyKind.WITNESS)


def prepare(config: Path) -> Prepared:
    """Read settings and key. Raises UserError, one line, for whatever is missing or doesn't fit together."""
    settings = load(config, WitnessSettings)
    if not is_name(settings.name):
        raise UserError(f"{config}: {settings.name!r} can't name a key: no white space, no plus sign")
    read_logs(settings.logs)
    key = SigningKey(read_secret(settings.key_path, SEED_BYTES))
    check_store(settings.database_path, key.public)
    return Prepared(settings, key)


def describe_run(prepared: Prepared) -> str:
    """What ``--check`` prints."""
    origins = ", ".join(read_logs(prepared.settings.logs)) or "none: every request will get 404"
    return "\n".join(
        (
            describe(prepared.settings),
            f"# verifier key: {prepared.verifier.text()}",
            f"# cosigns for: {origins}",
        )
    )


def run(prepared: Prepared) -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = prepared.settings
    operations = build_app(settings, prepared.key)
    listener = web.Listener(operations, settings.operations_host, settings.operations_port)
    web.run(lambda: web.serve([listener], name="bank.witness"))
