"""``mixmint agent``: the process beside a member's wallet."""

from pathlib import Path

import click

from replyblocks.commands.options import home_option, json_option, print_json
from wallet.agent.settings import OPERATIONS_PORT

_PATH = click.Path(path_type=Path)


@click.group()
def agent() -> None:
    """Keep a member's wallet going: stock, exchanges at random times, what is unfinished."""


@agent.command("init")
@home_option
@click.option(
    "--operations-port",
    type=click.IntRange(1, 65535),
    default=OPERATIONS_PORT,
    show_default=True,
    help="The loopback port of /healthz and /metrics.",
)
@json_option
def init_agent(home: Path, operations_port: int, as_json: bool) -> None:
    """
    Write agent.toml into a member's folder: every setting, explained, with its default.

    \b
    Example:
      mixmint agent init
    """
    from wallet.agent.run import init

    file = init(home, operations_port)
    if as_json:
        print_json({"config": str(file)})
        return
    click.echo(f"wrote {file}; now run: mixmint agent run --config {file}")


@agent.command("run")
@click.option("--config", required=True, type=_PATH, help="The settings file, agent.toml.")
@click.option("--check", is_flag=True, help="Check settings and home, print what would run, and stop.")
def run_agent(config: Path, check: bool) -> None:
    """
    Run the agent until SIGTERM. Commands work beside it: it holds the home only for moments.

    \b
    Example:
      mixmint agent run --config ~/.mixmint/agent.toml
    """
    from wallet.agent.run import describe_run, prepare, run

    prepared = prepare(config)
    if check:
        click.echo(describe_run(prepared))
        return
    run(prepared)
