"""A witness's settings: one TOML file, written by ``mixmint witness init``."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from mixmint.settings import Settings

Port = Annotated[int, Meta(ge=1, le=65535)]
MOST_LOGS = 1000


class WitnessSettings(Settings, frozen=True, kw_only=True):
    """Paths count from the settings file's own folder."""

    name: Annotated[
        str, Meta(description="the name of this witness's key, for ever; best its URL without https://")
    ]
    logs: Annotated[
        tuple[str, ...],
        Meta(
            max_length=MOST_LOGS,
            description="verifier keys of the logs that are watched; a key's name is its log's origin. "
            "Others get 404",
        ),
    ] = ()
    host: Annotated[str, Meta(description="address that logs post to")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="port that logs post to; plain HTTP, a proxy adds TLS")]
    prefix: Annotated[
        str,
        Meta(
            pattern="^(/[A-Za-z0-9._~-]+)*$",
            description="path before /add-checkpoint, such as /w1; empty: none",
        ),
    ] = ""
    operations_host: Annotated[str, Meta(description="address of /healthz, /metrics; keep it loopback")] = (
        "127.0.0.1"
    )
    operations_port: Annotated[Port, Meta(description="port of /healthz and /metrics")]
    key_path: Annotated[Path, Meta(description="the key that cosigns, 32 bytes, mode 0600")] = Path(
        "witness.key"
    )
    database_path: Annotated[
        Path,
        Meta(description="what was cosigned of each log; never restore it: make a new witness instead"),
    ] = Path("witness.db")
    most_connections: Annotated[
        int,
        Meta(ge=1, le=65536, description="connections at a time; each needs a file descriptor, up to 70 KB"),
    ] = 256
