"""``mixmint echo``: the service that `mixmint doctor` asks."""

from pathlib import Path

import click

from replyblocks.echo import check_echo, create_echo, run_echo


@click.group()
def echo() -> None:
    """A service that answers with what it was asked: for tests, and for `mixmint doctor`."""


@echo.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", default="echo", show_default=True, help="Its name in the directory.")
@click.option("--gateway", required=True, help="The gateway that keeps its packets.")
@click.option("--operations-port", type=int, required=True, help="Port of /healthz and /metrics.")
@click.option(
    "--network", default="../network.toml", show_default=True, help="The network file, seen from the folder."
)
def init(folder: Path, name: str, gateway: str, operations_port: int, network: str) -> None:
    """
    Make an echo service's folder, with keys and a descriptor for the directory.

    Example: mixmint echo init echo --gateway g1 --operations-port 7190
    """
    descriptor = create_echo(folder, name, gateway, operations_port, network)
    click.echo(f"echo service {name} is made; give {descriptor} to the directory's authorities")


@echo.command(name="run")
@click.option("--config", type=click.Path(path_type=Path), required=True, help="Its settings file.")
@click.option("--check", is_flag=True, help="Check everything, print what would run, and end.")
def run_command(config: Path, check: bool) -> None:
    """
    Run the service until SIGTERM.

    Example: mixmint echo run --config echo/echo.toml
    """
    if check:
        click.echo(check_echo(config))
    else:
        run_echo(config)
