"""The settings of an authority: ``authority.toml``. The network's parameters must be the same at all."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from mix.directory.build import Parameters
from mix.directory.document import EPOCH_S, MIX_COVER, TIMED_POOL, Cover, Mixing, Name
from mix.directory.network import SourceUrl
from mix.settings import PortNumber
from mixmint.settings import Settings

Milliseconds = Annotated[int, Meta(ge=0, le=86_400_000)]


class AuthoritySettings(Settings, frozen=True, kw_only=True):
    """Where it listens and keeps things; then what it wants in the network, for which it votes."""

    network: Annotated[
        Path,
        Meta(
            description="the network file: all authorities' keys. The newest directory is put where it says"
        ),
    ]
    key_path: Annotated[Path, Meta(description="this authority's signing key, mode 0600")] = Path(
        "authority.key"
    )
    state_folder: Annotated[
        Path,
        Meta(description="what was admitted, handed in, said and signed; never restored from a backup"),
    ] = Path("state")
    host: Annotated[str, Meta(description="address to listen on for nodes, members and authorities")] = (
        "0.0.0.0"  # noqa: S104 - it is there for others
    )
    port: Annotated[PortNumber, Meta(description="port to listen on")]
    operations_host: Annotated[str, Meta(description="address of /healthz, /metrics; keep it loopback")] = (
        "127.0.0.1"
    )
    operations_port: Annotated[PortNumber, Meta(description="port of /healthz and /metrics")]
    peers: Annotated[
        tuple[SourceUrl, ...], Meta(max_length=32, description="the other authorities, as URLs")
    ] = ()
    name: Annotated[Name, Meta(description="the network's name")] = "mixmint"
    cascades: Annotated[
        tuple[tuple[Name, Name, Name], ...],
        Meta(min_length=1, max_length=64, description="each three mixes; one that lacks a mix is left out"),
    ]
    epoch_s: Annotated[int, Meta(ge=1, le=366 * 86_400, description="length of a key epoch, seconds")] = (
        EPOCH_S
    )
    tick_ms: Annotated[
        int,
        Meta(ge=1, le=600_000, description="between a node's frames, and of all mixing; longer hides more"),
    ] = 10_000
    strategy: Annotated[
        Literal["timed-pool", "threshold", "poisson"],
        Meta(description="how mixes hold packets (docs/spec/mixing.md)"),
    ] = TIMED_POOL.strategy
    pool_minimum: Annotated[
        int, Meta(ge=0, le=4096, description="packets that a mix always keeps back; 0 with poisson")
    ] = TIMED_POOL.pool_minimum
    pool_permille: Annotated[
        int,
        Meta(
            ge=0, le=1000, description="timed-pool: of the pool, how much may leave at a tick; 0 with others"
        ),
    ] = TIMED_POOL.pool_permille
    threshold: Annotated[int, Meta(ge=0, le=65_536, description="threshold: packets that fire the pool")] = 0
    longest_ms: Annotated[Milliseconds, Meta(description="threshold: longest wait of the first packet")] = 0
    delay_ms: Annotated[Milliseconds, Meta(description="poisson: mean delay at each mix")] = 0
    most_delay_ms: Annotated[Milliseconds, Meta(description="poisson: longest delay at a mix")] = 0
    cover_packets: Annotated[
        int, Meta(ge=0, le=256, description="cover packets of each mix in each tick")
    ] = MIX_COVER.packets
    loop_ms: Annotated[Milliseconds, Meta(description="mean time between a node's loops; 0: none")] = 0
    client_ms: Annotated[
        Milliseconds, Meta(description="mean time between packets of a member whose agent runs; 0: no cover")
    ] = 0
    valid_days: Annotated[int, Meta(ge=1, le=366, description="until readers want a newer directory")] = 14
    grace_days: Annotated[int, Meta(ge=0, le=366, description="how much longer it works, with a warning")] = 7

    def parameters(self) -> Parameters:
        """What a directory says of the network as a whole."""
        mixing = Mixing(
            *(self.strategy, self.pool_minimum, self.pool_permille),
            *(self.threshold, self.longest_ms, self.delay_ms, self.most_delay_ms),
        )
        cover = Cover(self.cover_packets, self.loop_ms, self.client_ms)
        return Parameters(
            *(self.name, self.tick_ms, mixing, cover, self.epoch_s, self.valid_days, self.grace_days)
        )
