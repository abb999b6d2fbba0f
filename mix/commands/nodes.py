"""The commands of who runs a node: ``mixmint mix`` and ``mixmint gateway``."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from mix.settings import NodeSettings

_PATH = click.Path(path_type=Path)
_PORT = click.IntRange(1, 65535)
_EPOCH_S = click.option(
    "--epoch-s",
    type=click.IntRange(1, 366 * 86_400),
    help="Seconds of the network's key epochs.  [default: as its directory says; 604800 without one]",
)


@click.group()
def mix() -> None:
    """Run a mix: unwrap, delay, reorder, forward."""


@click.group()
def gateway() -> None:
    """Run a gateway: take packets in from endpoints, keep theirs until fetched."""


@mix.command("init")
@click.argument("folder", metavar="DIR", type=_PATH)
@click.option("--name", required=True, help="The mix's name in the directory, e.g. m1.")
@click.option("--host", required=True, help="Address at which the other nodes reach it.")
@click.option("--link-port", required=True, type=_PORT, help="Port for frames.")
@click.option("--operations-port", required=True, type=_PORT, help="Loopback port for health and metrics.")
@click.option("--listen-host", default="0.0.0.0", show_default=True, help="Address to listen on.")  # noqa: S104 - a node serves others
@click.option("--network", type=_PATH, help="The network file.  [default: network.toml beside DIR]")
@_EPOCH_S
def init_mix(
    folder: Path,
    name: str,
    host: str,
    link_port: int,
    operations_port: int,
    listen_host: str,
    network: Path | None,
    epoch_s: int | None,
) -> None:
    """
    Make a mix's folder: settings, keys, certificate, and the descriptor to hand to the authorities.

    \b
    Example:
      mixmint mix init /etc/mixmint/m1 --name m1 --host 192.0.2.1 \\
        --link-port 7001 --operations-port 9001
    """
    _init(folder, "mix", name, host, link_port, operations_port, 0, listen_host, network, epoch_s)


@gateway.command("init")
@click.argument("folder", metavar="DIR", type=_PATH)
@click.option("--name", required=True, help="The gateway's name in the directory, e.g. g1.")
@click.option("--host", required=True, help="Address at which mixes and endpoints reach it.")
@click.option("--link-port", required=True, type=_PORT, help="Port for frames.")
@click.option("--client-port", required=True, type=_PORT, help="Port for endpoints.")
@click.option("--operations-port", required=True, type=_PORT, help="Loopback port for health and metrics.")
@click.option("--listen-host", default="0.0.0.0", show_default=True, help="Address to listen on.")  # noqa: S104 - a node serves others
@click.option("--network", type=_PATH, help="The network file.  [default: network.toml beside DIR]")
@_EPOCH_S
def init_gateway(
    folder: Path,
    name: str,
    host: str,
    link_port: int,
    client_port: int,
    operations_port: int,
    listen_host: str,
    network: Path | None,
    epoch_s: int | None,
) -> None:
    """
    Make a gateway's folder: settings, keys, certificate, and the descriptor to hand to the authorities.

    \b
    Example:
      mixmint gateway init /etc/mixmint/g1 --name g1 --host 192.0.2.5 \\
        --link-port 7005 --client-port 7105 --operations-port 9005
    """
    _init(
        folder, "gateway", name, host, link_port, operations_port, client_port, listen_host, network, epoch_s
    )


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
    epoch_s: int | None,
) -> None:
    from mix.init import NodePlan, create_node, known_epoch_s

    file = network or folder.resolve().parent / "network.toml"
    # Relative, so that a whole network's folder can be moved.
    shown = os.path.relpath(file, folder.resolve())
    plan = NodePlan(
        *(name, role, host, link_port, operations_port, client_port, shown, listen_host),
        epoch_s or known_epoch_s(file, time.time()),
    )
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


@mix.command("rekey")
@click.option("--config", required=True, type=_PATH, help="The mix's settings file.")
def rekey_mix(config: Path) -> None:
    """
    Make all keys of a stopped mix new: after a restore, or when its replay filter is lost.

    Packets on their way to it are lost, and sent again by their conversations. Running again, the mix hands
    its new descriptor in, and waits until the directory lists it.

    \b
    Example:
      mixmint mix rekey --config /etc/mixmint/m1/mix.toml
    """
    from mix.settings import MixSettings

    _rekey(config, MixSettings)


@gateway.command("rekey")
@click.option("--config", required=True, type=_PATH, help="The gateway's settings file.")
def rekey_gateway(config: Path) -> None:
    """
    Make all keys of a stopped gateway new: after a restore, or when its replay filter is lost.

    Packets on their way to it are lost, and sent again by their conversations; mailboxes stay. Running again,
    the gateway hands its new descriptor in, and waits until the directory lists it.

    \b
    Example:
      mixmint gateway rekey --config /etc/mixmint/g1/gateway.toml
    """
    from mix.settings import GatewaySettings

    _rekey(config, GatewaySettings)


def _rekey(config: Path, kind: "type[NodeSettings]") -> None:
    from mix.epochs.rekey import rekey
    from mixmint.settings import load

    settings = load(config, kind)
    epochs = rekey(settings, time.time())
    click.echo(f"new keys for epochs {', '.join(map(str, epochs))}; the authorities need")
    click.echo(f"{settings.descriptor_path}: start the node, which hands it in, or give it to them")
