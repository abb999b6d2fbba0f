"""Making and reading directory files by hand: ``mixmint directory authority|build|show``."""

import time
from pathlib import Path

import click

from mixmint.keys import PUBLIC_BYTES, SigningKey, read_secret, write_secret

_PATH = click.Path(path_type=Path)


@click.group()
def directory() -> None:
    """Make, agree on and read the signed directory of a network."""


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
        dict(successor(text) for text in successors),
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


def successor(text: str) -> tuple[str, bytes]:
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
