"""``mixmint agent``: the process beside a member's wallet."""

from pathlib import Path

import click

_PATH = click.Path(path_type=Path)


@click.group()
def agent() -> None:
    """Keep a member's wallet going: stock, exchanges at random times, what is unfinished."""


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
