"""``mixmint demo`` and ``mixmint network``."""

from pathlib import Path

import click


@click.group()
def network() -> None:
    """Make the folder of a small network on one machine."""


@network.command("init")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--tick-ms", default=250, show_default=True, help="Milliseconds between a node's frames.")
@click.option("--round-ms", default=200, show_default=True, help="Milliseconds between the board's rounds.")
def init_network_folder(folder: Path, tick_ms: int, round_ms: int) -> None:
    """
    Make two gateways, three mixes, a bank, a board, a witness and an echo service, ready to start by hand.

    \b
    Example:
      mixmint network init my-network
    """
    from mixmint.demo.network import Pace, init_network

    specs = init_network(folder, Pace(tick_ms=tick_ms, round_ms=round_ms))
    click.echo(f"{folder} is ready. Start each daemon in a terminal of its own:\n")
    for spec in specs:
        click.echo(f"  mixmint {spec.group} run --config {spec.settings}")
    click.echo(
        f"\nThen make a member:\n\n  mixmint wallet init --network {folder / 'network.toml'} --gateway g1"
    )


@click.command()
@click.option("--once", is_flag=True, help="Stop after the story: exit 0 when every check held, else 1.")
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="Keep everything in this new folder.")
def demo(once: bool, folder: Path | None) -> None:
    """
    Start a whole network on this machine and play a story through it: pay and write anonymously.

    \b
    Example:
      mixmint demo
      mixmint demo --once
    """
    from mixmint.demo.stage import play

    raise SystemExit(play(folder, once=once))
