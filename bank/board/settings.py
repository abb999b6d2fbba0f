"""The board's settings: one TOML file, written by ``mixmint board init``."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from bank.board.rounds import MOST_GROUP_ENTRIES, MOST_ROUND_ENTRIES
from mixmint.settings import Settings

Port = Annotated[int, Meta(ge=1, le=65535)]


class BoardSettings(Settings, frozen=True, kw_only=True):
    """Paths count from the settings file's own folder."""

    name: Annotated[str, Meta(description="this board's name in the directory")] = "board"
    network: Annotated[
        Path | None,
        Meta(
            description="the network file: which directory to believe; without it: no answers over the mixes"
        ),
    ] = None
    bank: Annotated[str, Meta(description="the directory's name of the bank whose feed is taken")] = "bank"
    bank_key: Annotated[
        str,
        Meta(
            pattern="^([0-9a-f]{64})?$",
            description="that bank's public key, 64 hex digits; empty: the directory says it",
        ),
    ] = ""
    host: Annotated[str, Meta(description="address that the public page listens on")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="port of the public page")]
    operations_host: Annotated[str, Meta(description="address of /healthz, /metrics; keep it loopback")] = (
        "127.0.0.1"
    )
    operations_port: Annotated[Port, Meta(description="port of /healthz and /metrics")]
    key_path: Annotated[Path, Meta(description="the key that signs rounds, 32 bytes, mode 0600")] = Path(
        "board.key"
    )
    endpoint_key_path: Annotated[
        Path, Meta(description="the key that opens packets for the board, 32 bytes, mode 0600")
    ] = Path("endpoint.key")
    database_path: Annotated[Path, Meta(description="everything the board ever showed; back it up")] = Path(
        "board.db"
    )
    round_ms: Annotated[
        int,
        Meta(
            ge=10,
            le=3_600_000,
            description="longest time until a round closes, milliseconds: the network's clock; empty "
            "rounds cost about 300 bytes each",
        ),
    ] = 10_000
    round_entries: Annotated[
        int,
        Meta(
            ge=1,
            le=MOST_ROUND_ENTRIES - MOST_GROUP_ENTRIES,
            description="entries that close a round early; larger rounds hide more, and come later",
        ),
    ] = 1000
    check_entries: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="entries of each round, drawn at random, whose signatures are checked, 40 us each",
        ),
    ] = 16
    subscribers: Annotated[
        int, Meta(ge=0, le=10_000, description="live feeds (/events) at a time; above it they get 503")
    ] = 256
