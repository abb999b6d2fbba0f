"""The settings of a mix and of a gateway: one TOML file each, written by ``init``."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from mixmint.settings import Settings

PortNumber = Annotated[int, Meta(ge=1, le=65535)]


class NodeSettings(Settings, frozen=True, kw_only=True):
    """What a mix and a gateway have in common."""

    name: Annotated[str, Meta(description="this node's name in the directory")]
    network: Annotated[Path, Meta(description="the network file: which directory to believe")]
    link_host: Annotated[
        str, Meta(description="address to listen on for frames; may differ from the one in the directory")
    ] = "0.0.0.0"  # noqa: S104 - a link port is there to be reached by other machines; TLS says by which
    link_port: Annotated[PortNumber, Meta(description="port to listen on for frames")]
    operations_host: Annotated[str, Meta(description="address of /healthz, /metrics; keep it loopback")] = (
        "127.0.0.1"
    )
    operations_port: Annotated[PortNumber, Meta(description="port of /healthz and /metrics")]
    certificate_path: Annotated[Path, Meta(description="our certificate, PEM")] = Path("link.crt")
    key_path: Annotated[Path, Meta(description="its key, PEM, mode 0600")] = Path("link.key")
    identity_path: Annotated[
        Path,
        Meta(description="our identity's key, mode 0600; without it the node can't renew its keys at run"),
    ] = Path("identity.key")
    descriptor_path: Annotated[
        Path, Meta(description="what we say of ourselves to the authorities, signed; renewed with the keys")
    ] = Path("descriptor")
    keys_folder: Annotated[Path, Meta(description="Sphinx keys, one file an epoch, mode 0600")] = Path("keys")
    state_folder: Annotated[
        Path, Meta(description="replay filters and databases, on a durable disk; never restored from backup")
    ] = Path("state")
    replay_packets: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 31,
            description="packets that the replay filter can know of one key, 5.7 bytes of memory each as they"
            " come; above it that key's packets are dropped; 0: what fits an eighth of the memory",
        ),
    ] = 0
    workers: Annotated[
        int, Meta(ge=1, le=64, description="unwrapping processes; one per core that you can spare")
    ] = 1


class MixSettings(NodeSettings, frozen=True, kw_only=True):
    pool_path: Annotated[
        Path,
        Meta(description="the pool file; best on memory-backed storage, so that no disk keeps packets"),
    ] = Path("state/pool.db")
    capacity_packets: Annotated[
        int,
        Meta(
            ge=1024,
            le=4_000_000,
            description="packets held at most, 2.3 KB each; above it frames get 503: senders slow down",
        ),
    ] = 65_536


class GatewaySettings(NodeSettings, frozen=True, kw_only=True):
    client_host: Annotated[str, Meta(description="address to listen on for endpoints")] = "0.0.0.0"  # noqa: S104 - a gateway is there for endpoints elsewhere
    client_port: Annotated[PortNumber, Meta(description="port to listen on for endpoints")]
    most_connections: Annotated[
        int, Meta(ge=16, le=60_000, description="connections of endpoints; each waiting fetch is one")
    ] = 1024
    waiting_packets: Annotated[
        int, Meta(ge=256, le=4_000_000, description="packets from endpoints waiting to be sent; above it 503")
    ] = 65_536
    waiting_per_owner: Annotated[
        int, Meta(ge=256, le=4_000_000, description="the same for one owner, so that a flood stays his own")
    ] = 4096
    owners: Annotated[int, Meta(ge=1, description="mailbox owners at most; above it no new ones")] = 100_000
    tokens_per_owner: Annotated[int, Meta(ge=1, description="tokens that one owner may register")] = 256
    mailbox_packets: Annotated[
        int, Meta(ge=16, description="packets kept for one owner; more are dropped until he fetches")
    ] = 4096
    idle_days: Annotated[
        int, Meta(ge=1, description="an owner not seen for so long loses his mailbox, tokens and all")
    ] = 90
