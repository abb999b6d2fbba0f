"""The board's settings: one TOML file, written by ``mixmint board init``."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from bank.board.log.checkpoint import check_origin
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
    origin: Annotated[
        str,
        Meta(
            description="the log's name for ever: its URL without https:// and final slash; empty: host:port"
        ),
    ] = ""
    key_path: Annotated[
        Path, Meta(description="the key that signs the log's checkpoints, 32 bytes, mode 0600")
    ] = Path("board.key")
    endpoint_key_path: Annotated[
        Path, Meta(description="the key that opens packets for the board, 32 bytes, mode 0600")
    ] = Path("endpoint.key")
    database_path: Annotated[
        Path, Meta(description="what waits, and what was signed last; can be made again from log_path")
    ] = Path("board.db")
    log_path: Annotated[
        Path,
        Meta(description="folder of everything the board ever showed, for any web server; back it up"),
    ] = Path("log")
    map_path: Annotated[Path, Meta(description="folder of the map of coins; made again from the log")] = Path(
        "map"
    )
    policy_path: Annotated[
        Path | None,
        Meta(description="which witnesses are asked, and how many must cosign; without it: none"),
    ] = None
    cosign_timeout_ms: Annotated[
        int,
        Meta(ge=10, le=60_000, description="how long witnesses are waited for, milliseconds"),
    ] = 2000
    cosign_fail_open: Annotated[
        bool,
        Meta(description="true: publish when too few cosign in time; false: rounds wait until enough do"),
    ] = False
    round_ms: Annotated[
        int,
        Meta(
            ge=10,
            le=3_600_000,
            description="longest time until a round closes, milliseconds: the network's clock; empty "
            "rounds cost about 200 bytes each",
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
    map_rounds: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="rounds between two roots of the map of coins; shorter: proofs are fresher; longer: "
            "less work, as each costs a pass over all coins",
        ),
    ] = 360
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

    @property
    def log_origin(self) -> str:
        """The log's name. Raises UserError when a log can't be called so."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return check_origin(self.origin or f"{host}:{self.port}")
