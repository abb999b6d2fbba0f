"""The bank's settings: one TOML file, written by ``mixmint bank init``."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from bank.ledger.terms import Terms
from mixmint.settings import Settings

MOST_EPOCHS = 24
"""
Of a coin's life and grace together: so many values and epochs can change between two looks at what changed,
21 values each, that with those that let a statement wait (a quarter of its rows) one statement holds them.
"""

Port = Annotated[int, Meta(ge=0, le=65535)]


class BankSettings(Settings, frozen=True, kw_only=True):
    """Paths count from the settings file's own folder."""

    name: Annotated[str, Meta(description="this bank's name in the directory")] = "bank"
    board: Annotated[str, Meta(description="the directory's name of the board that it publishes on")] = (
        "board"
    )
    network: Annotated[Path, Meta(description="the network file: which directory to believe")]
    host: Annotated[str, Meta(description="address that the direct, not anonymous HTTP side listens on")] = (
        "127.0.0.1"
    )
    port: Annotated[Port, Meta(description="its port")]
    certificate_path: Annotated[
        Path | None, Meta(description="PEM certificate chain for HTTPS; without it plain HTTP")
    ] = None
    certificate_key_path: Annotated[Path | None, Meta(description="its key, PEM, mode 0600")] = None
    operations_host: Annotated[str, Meta(description="address of /healthz, /metrics; keep it loopback")] = (
        "127.0.0.1"
    )
    operations_port: Annotated[Port, Meta(description="port of /healthz and /metrics")]
    key_path: Annotated[
        Path,
        Meta(description="the bank's signing key, its only secret: 32 bytes, mode 0600; back it up"),
    ] = Path("bank.key")
    endpoint_key_path: Annotated[
        Path, Meta(description="the key that opens packets for the bank, 32 bytes, mode 0600")
    ] = Path("endpoint.key")
    store: Annotated[
        Literal["sqlite", "postgres"],
        Meta(description="where the books are: in the file database_path, or at postgres_dsn"),
    ] = "sqlite"
    database_path: Annotated[
        Path, Meta(description="the books; on a durable disk, and never run from an older backup")
    ] = Path("bank.db")
    postgres_dsn: Annotated[
        str, Meta(description="a database of the bank's own, postgresql://USER@HOST/NAME; never a password")
    ] = ""
    postgres_password_path: Annotated[
        Path | None,
        Meta(description="its password, mode 0600; without it as the server knows us (peer, .pgpass)"),
    ] = None
    succession_path: Annotated[
        Path,
        Meta(description="which keys the bank had before this one; `mixmint bank recover` writes it"),
    ] = Path("succession")
    epoch_s: Annotated[
        int,
        Meta(ge=60, le=2**31, description="length of a coin epoch, seconds; shorter ones tell coins apart"),
    ] = 30 * 86400
    life_epochs: Annotated[
        int,
        Meta(
            ge=2,
            le=MOST_EPOCHS - 1,
            description="epochs that a coin can be spent in, its own included; with grace_epochs at most 24",
        ),
    ] = 12
    grace_epochs: Annotated[
        int,
        Meta(ge=1, le=MOST_EPOCHS - 2, description="epochs after that in which it can only be exchanged"),
    ] = 3
    hold_rounds: Annotated[
        int,
        Meta(ge=1, le=100_000, description="rounds of the board that a hold lasts: a payee's time to decide"),
    ] = 60
    promise_rounds: Annotated[
        int,
        Meta(
            ge=2,
            le=100_000,
            description="rounds within which entries are public; a bank that is later has broken its word",
        ),
    ] = 60
    claim_rounds: Annotated[
        int,
        Meta(
            ge=2,
            le=100_000,
            description="rounds within which a claim on the board is answered there; a later answer is none, "
            "and convicts",
        ),
    ] = 600
    board_silence_s: Annotated[
        float,
        Meta(
            gt=0,
            description="seconds without the board after which nothing is answered; keep it well below "
            "promise_rounds rounds",
        ),
    ] = 10.0
    feed_pause_ms: Annotated[
        int,
        Meta(ge=1, le=60_000, description="pause between two feeds, milliseconds; part of a payment's wait"),
    ] = 50
    confirm_pause_ms: Annotated[
        int,
        Meta(
            ge=10,
            le=60_000,
            description="pause between two readings of the board's log, milliseconds; what was read there is "
            "erased here",
        ),
    ] = 1000
    statement_rounds: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="rounds between two statements of what was certified and spent; with few of them the "
            "counts would label single coins",
        ),
    ] = 360
    threads: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="how many verify signatures at a time, all but one in a process of its own; one per "
            "core that you can spare",
        ),
    ] = 2

    @property
    def terms(self) -> Terms:
        """What the ledger's rules need of them."""
        return Terms(
            self.epoch_s,
            self.life_epochs,
            self.grace_epochs,
            self.hold_rounds,
            self.promise_rounds,
            self.claim_rounds,
        )

    def __post_init__(self) -> None:
        if self.store == "postgres" and not self.postgres_dsn:
            raise ValueError('store = "postgres" needs postgres_dsn')
        if self.life_epochs + self.grace_epochs > MOST_EPOCHS:
            raise ValueError(f"life_epochs and grace_epochs are at most {MOST_EPOCHS} together")
