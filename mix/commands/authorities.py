"""The commands of who runs an authority: ``mixmint directory init|run|admit|remove|network``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mix.directory.authority.files import Files

_PATH = click.Path(path_type=Path)
_PORT = click.IntRange(1, 65535)
_CONFIG = click.option("--config", required=True, type=_PATH, help="The authority's settings file.")


@click.command("init")
@click.argument("folder", metavar="DIR", type=_PATH)
@click.option("--port", required=True, type=_PORT, help="Port for nodes, members and authorities.")
@click.option("--operations-port", required=True, type=_PORT, help="Loopback port for health and metrics.")
@click.option("--cascade", "cascades", multiple=True, required=True, help="m1,m2,m3; repeatable.")
@click.option("--peer", "peers", multiple=True, help="Another authority's URL; repeatable.")
@click.option("--name", default="mixmint", show_default=True, help="The network's name.")
@click.option("--tick-ms", default=10_000, show_default=True, help="Milliseconds between a node's frames.")
@click.option("--epoch-s", default=604_800, show_default=True, help="Seconds of a key epoch.")
@click.option("--listen-host", default="0.0.0.0", show_default=True, help="Address to listen on.")  # noqa: S104 - an authority serves others
@click.option("--network", type=_PATH, help="The network file.  [default: network.toml beside DIR]")
def init_authority(
    folder: Path,
    port: int,
    operations_port: int,
    cascades: tuple[str, ...],
    peers: tuple[str, ...],
    name: str,
    tick_ms: int,
    epoch_s: int,
    listen_host: str,
    network: Path | None,
) -> None:
    """
    Make an authority's folder: settings and key. Prints the public key.

    Everything about the network in the settings must be the same at all authorities.

    \b
    Example:
      mixmint directory init /etc/mixmint/a1 --port 7400 --operations-port 9400 \\
        --cascade m1,m2,m3 --peer http://192.0.2.12:7400 \\
        --peer http://192.0.2.13:7400
    """
    from mix.directory.authority.making import AuthorityPlan, create_authority

    # Relative, so that a whole network's folder can be moved.
    shown = os.path.relpath(network or folder.resolve().parent / "network.toml", folder.resolve())
    plan = AuthorityPlan(
        *(shown, port, operations_port, listen_host, peers),
        [cascade.split(",") for cascade in cascades],
        {"name": name, "tick_ms": tick_ms, "epoch_s": epoch_s},
    )
    click.echo(create_authority(folder, plan).hex())


@click.command("network")
@click.option("--out", required=True, type=_PATH, help="The network file to write.")
@click.option("--authority", "authorities", multiple=True, required=True, help="A public key; repeatable.")
@click.option("--threshold", type=click.IntRange(min=1), help="Signatures needed.  [default: above half]")
@click.option("--source", "sources", multiple=True, help="URL to fetch directories from; repeatable.")
@click.option("--directory", type=_PATH, help="The directory file.  [default: directory beside --out]")
def make_network(
    out: Path,
    authorities: tuple[str, ...],
    threshold: int | None,
    sources: tuple[str, ...],
    directory: Path | None,
) -> None:
    """
    Write a network file: whose signatures count, and where newer directories come from.

    It is the root of all trust in the network: hand it to members by a way that they trust.

    \b
    Example:
      mixmint directory network --out network.toml --threshold 2 \\
        --source http://192.0.2.11:7400 \\
        --authority $A1 --authority $A2 --authority $A3
    """
    from mix.directory import write_network

    try:
        keys = tuple(bytes.fromhex(each) for each in authorities)
    except ValueError:
        raise click.UsageError("an authority's public key is 64 hex digits") from None
    needed = threshold or len(keys) // 2 + 1
    if needed > len(set(keys)):
        raise click.UsageError(f"--threshold {needed} of {len(set(keys))} authorities")
    write_network(out, directory or out.resolve().parent / "directory", keys, needed, sources)
    click.echo(f"{out}: {needed} of {len(keys)} authorities must sign")


@click.command("run")
@_CONFIG
@click.option("--check", is_flag=True, help="Check everything, print what would run, and exit.")
def run_authority(config: Path, check: bool) -> None:
    """
    Run an authority until SIGTERM.

    \b
    Example:
      mixmint directory run --config /etc/mixmint/a1/authority.toml
    """
    from mix.directory.authority import daemon

    if check:
        click.echo(daemon.check(config))
    else:
        daemon.run(config)


@click.command("admit")
@click.argument("descriptors", metavar="DESCRIPTOR...", nargs=-1, required=True, type=_PATH)
@_CONFIG
@click.option(
    "--successor",
    "successors",
    multiple=True,
    metavar="NAME=PUBLICHEX",
    help="This key signs NAME's descriptors now: its own is lost or stolen.",
)
def admit(descriptors: tuple[Path, ...], config: Path, successors: tuple[str, ...]) -> None:
    """
    Admit nodes and services to the network, by the descriptors that their operators gave you.

    A threshold of the authorities must admit them. A running authority takes it up at its next turn.

    \b
    Example:
      mixmint directory admit m4.descriptor \\
        --config /etc/mixmint/a1/authority.toml
    """
    from mix.commands.directories import successor
    from mix.directory.build import read_well

    files, speaking = _files(config), dict(successor(text) for text in successors)
    for path in descriptors:
        if not path.is_file():
            raise click.UsageError(f"there is no file {path}")
        descriptor = read_well(str(path), path.read_bytes(), speaking)
        known = files.admitted().get(descriptor.entry.name)
        if known not in (None, descriptor.entry.identity):
            raise click.UsageError(
                f"another {descriptor.entry.name} is admitted; remove it first, if this one takes its place"
            )
        name = descriptor.entry.name
        if name in speaking and known is None:
            raise click.UsageError(f"{name} isn't admitted, so nobody can succeed to it")
        files.admit(descriptor, speaking.get(name))
        click.echo(f"{descriptor.entry.name} is admitted: identity {descriptor.entry.identity.hex()}")


@click.command("remove")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@_CONFIG
def remove(names: tuple[str, ...], config: Path) -> None:
    """
    Remove nodes or services from the network.

    A threshold of the authorities must remove them. Cascades that lack a mix are left out.

    \b
    Example:
      mixmint directory remove m4 --config /etc/mixmint/a1/authority.toml
    """
    files = _files(config)
    for name in names:
        files.remove(name)
        click.echo(f"{name} is removed")


def _files(config: Path) -> "Files":
    from mix.directory.authority.files import Files
    from mix.directory.authority.settings import AuthoritySettings
    from mix.directory.network import load_authorities
    from mixmint.settings import load

    settings = load(config, AuthoritySettings)
    return Files(settings.state_folder, load_authorities(settings.network))


COMMANDS = (init_authority, make_network, run_authority, admit, remove)
