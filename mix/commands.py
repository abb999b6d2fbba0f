"""The operator's commands of the mix floor: ``mixmint mix``, ``mixmint gateway``, ``mixmint directory``."""

import os
import time
from pathlib import Path
from typing import Literal

import click

from mixmint.keys import PUBLIC_BYTES, SigningKey, read_secret, write_secret

_PATH = click.Path(path_type=Path)
_PORT = click.IntRange(1, 65535)


@click.group()
def mix() -> None:
    """Run a mix: unwrap, delay, reorder, forward."""


@click.group()
def gateway() -> None:
    """Run a gateway: take packets in from endpoints, keep theirs until fetched."""


@click.group()
def directory() -> None:
    """Make and read the signed directory of a network."""


@mix.command("init")
@click.argument("folder", metavar="DIR", type=_PATH)
@click.option("--name", required=True, help="The mix's name in the directory, e.g. m1.")
@click.option("--host", required=True, help="Address at which the other nodes reach it.")
@click.option("--link-port", required=True, type=_PORT, help="Port for frames.")
@click.option("--operations-port", required=True, type=_PORT, help="Loopback port for health and metrics.")
@click.option("--listen-host", default="0.0.0.0", show_default=True, help="Address to listen on.")  # noqa: S104 - a node serves others
@click.option("--network", type=_PATH, help="The network file.  [default: network.toml beside DIR]")
def init_mix(
    folder: Path,
    name: str,
    host: str,
    link_port: int,
    operations_port: int,
    listen_host: str,
    network: Path | None,
) -> None:
    """
    Make a mix's folder: settings, keys, certificate, and the descriptor to hand to the authorities.

    \b
    Example:
      mixmint mix init /etc/mixmint/m1 --name m1 --host 192.0.2.1 \\
        --link-port 7001 --operations-port 9001
    """
    _init(folder, "mix", name, host, link_port, operations_port, 0, listen_host, network)


@gateway.command("init")
@click.argument("folder", metavar="DIR", type=_PATH)
@click.option("--name", required=True, help="The gateway's name in the directory, e.g. g1.")
@click.option("--host", required=True, help="Address at which mixes and endpoints reach it.")
@click.option("--link-port", required=True, type=_PORT, help="Port for frames.")
@click.option("--client-port", required=True, type=_PORT, help="Port for endpoints.")
@click.option("--operations-port", required=True, type=_PORT, help="Loopback port for health and metrics.")
@click.option("--listen-host", default="0.0.0.0", show_default=True, help="Address to listen on.")  # noqa: S104 - a node serves others
@click.option("--network", type=_PATH, help="The network file.  [default: network.toml beside DIR]")
def init_gateway(
    folder: Path,
    name: str,
    host: str,
    link_port: int,
    client_port: int,
    operations_port: int,
    listen_host: str,
    network: Path | None,
) -> None:
    """
    Make a gateway's folder: settings, keys, certificate, and the descriptor to hand to the authorities.

    \b
    Example:
      mixmint gateway init /etc/mixmint/g1 --name g1 --host 192.0.2.5 \\
        --link-port 7005 --client-port 7105 --operations-port 9005
    """
    _init(folder, "gateway", name, host, link_port, operations_port, client_port, listen_host, network)


def _init(
    folder: Path,
    role: Literal["mix", "gateway"],
    name: str,
    host: str,
    link_port: int,
    operations_port: int,
    client_port: int,
    listen_host: str,
    network: Path | None,
) -> None:
    from mix.init import NodePlan, create_node

    # Relative, so that a whole network's folder can be moved.
    shown = os.path.relpath(network or folder.resolve().parent / "network.toml", folder.resolve())
    plan = NodePlan(name, role, host, link_port, operations_port, client_port, shown, listen_host)
    descriptor = create_node(folder, plan, time.time())
    click.echo(f"{role} {name} is made; give {descriptor} to the directory's authorities")


@mix.command("run")
@click.option("--config", required=True, type=_PATH, help="The mix's settings file.")
@click.option("--check", is_flag=True, help="Check everything, print what would run, and exit.")
def run_mix(config: Path, check: bool) -> None:
    """
    Run a mix until SIGTERM.

    \b
    Example:
      mixmint mix run --config /etc/mixmint/m1/mix.toml
    """
    from mix.node import check_mix, run

    if check:
        click.echo(check_mix(config, time.time()))
    else:
        run(config)


@gateway.command("run")
@click.option("--config", required=True, type=_PATH, help="The gateway's settings file.")
@click.option("--check", is_flag=True, help="Check everything, print what would run, and exit.")
def run_gateway(config: Path, check: bool) -> None:
    """
    Run a gateway until SIGTERM.

    \b
    Example:
      mixmint gateway run --config /etc/mixmint/g1/gateway.toml
    """
    from mix.gateway import check_gateway, run

    if check:
        click.echo(check_gateway(config, time.time()))
    else:
        run(config)


@directory.command("authority")
@click.argument("file", type=_PATH)
def make_authority(file: Path) -> None:
    """
    Make an authority's signing key in FILE and print its public half.

    \b
    Example:
      mixmint directory authority authority.key
    """
    key = SigningKey.generate()
    write_secret(file, key.seed)
    click.echo(key.public.hex())


@directory.command("build")
@click.argument("descriptors", metavar="DESCRIPTOR...", nargs=-1, required=True, type=_PATH)
@click.option("--out", required=True, type=_PATH, help="Where to write the signed directory.")
@click.option(
    "--cascade", "cascades", multiple=True, required=True, help="Three mixes: m1,m2,m3; repeatable."
)
@click.option("--authority-key", "keys", multiple=True, required=True, type=_PATH, help="Signs; repeatable.")
@click.option("--network-file", type=_PATH, help="Also write a network file that trusts these authorities.")
@click.option(
    "--threshold", type=click.IntRange(min=1), help="Signatures needed (--network-file).  [default: all]"
)
@click.option("--name", default="mixmint", show_default=True, help="The network's name.")
@click.option("--previous", type=_PATH, help="The directory that this one follows.")
@click.option(
    "--successor",
    "successors",
    multiple=True,
    metavar="NAME=PUBLICHEX",
    help="This key signs NAME's descriptor now: its own is lost or stolen. Needs --previous.",
)
@click.option("--tick-ms", default=10_000, show_default=True, help="Milliseconds between a node's frames.")
@click.option("--pool-minimum", default=8, show_default=True, help="Packets that a mix always keeps back.")
@click.option("--cover-packets", default=8, show_default=True, help="Cover packets of each mix in each tick.")
@click.option("--valid-days", default=14, show_default=True, help="Until readers want a newer one.")
@click.option("--grace-days", default=7, show_default=True, help="How much longer it works, with a warning.")
@click.option("--unsafe-send-at-once", is_flag=True, help="Allow --tick-ms 0: to measure; hides nothing.")
def build_directory(
    descriptors: tuple[Path, ...],
    out: Path,
    cascades: tuple[str, ...],
    keys: tuple[Path, ...],
    network_file: Path | None,
    threshold: int | None,
    name: str,
    previous: Path | None,
    successors: tuple[str, ...],
    tick_ms: int,
    pool_minimum: int,
    cover_packets: int,
    valid_days: int,
    grace_days: int,
    unsafe_send_at_once: bool,
) -> None:
    """
    Build a directory from the descriptors of nodes and services, and sign it.

    \b
    Example:
      mixmint directory build --out directory --network-file network.toml \\
        --cascade m1,m2,m3 --authority-key authority.key \\
        m1/descriptor m2/descriptor m3/descriptor g1/descriptor
    """
    from msgspec.structs import replace

    from mix.directory import write_network
    from mix.directory.build import Parameters, build
    from mix.directory.document import MIX_COVER, TIMED_POOL
    from mixmint.files import write_whole

    if tick_ms == 0 and not unsafe_send_at_once:
        raise click.UsageError("--tick-ms 0 hides nothing; to measure, add --unsafe-send-at-once")
    parameters = Parameters(
        name,
        tick_ms,
        replace(TIMED_POOL, pool_minimum=pool_minimum),
        replace(MIX_COVER, packets=cover_packets),
        valid_days=valid_days,
        grace_days=grace_days,
    )
    authorities = [SigningKey(read_secret(path, 32)) for path in keys]
    before = previous.read_bytes() if previous else None
    signed, nodes = build(
        [(str(path), path.read_bytes()) for path in _existing(descriptors)],
        [tuple(one.split(",")) for one in cascades],
        authorities,
        parameters,
        before,
        time.time(),
        dict(_successor(text) for text in successors),
    )
    write_whole(out, signed)
    click.echo(f"{out}: {nodes} nodes, signed by {len(authorities)}")
    if network_file is not None:
        publics = tuple(key.public for key in authorities)
        write_network(network_file, out, publics, threshold or len(publics))
        click.echo(f"{network_file}: give it to everyone who should trust this network")


@directory.command("show")
@click.argument("file", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def show_directory(file: Path, as_json: bool) -> None:
    """
    Print a directory and who signed it. Trusts nothing: to check it, name it in a network file.

    \b
    Example:
      mixmint directory show directory
    """
    from mix.directory.build import show

    click.echo(show(_existing((file,))[0].read_bytes(), as_json=as_json))


def _successor(text: str) -> tuple[str, bytes]:
    name, _, key = text.partition("=")
    try:
        public = bytes.fromhex(key)
    except ValueError:
        public = b""
    if len(public) != PUBLIC_BYTES:
        raise click.UsageError("a successor is a service's name, =, and 64 hex digits of its new key")
    return name, public


def _existing(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    for path in paths:
        if not path.is_file():
            raise click.UsageError(f"there is no file {path}")
    return paths
