"""``mixmint witness``: init, run, key, logs, accuse."""

import json
from pathlib import Path

import click

_PATH = click.Path(path_type=Path)
_PORT = click.IntRange(1, 65535)


@click.group()
def witness() -> None:
    """Run a witness: it cosigns what boards publish, and never two pasts of one."""


@witness.command("init")
@click.argument("folder", metavar="DIR", type=_PATH)
@click.option("--name", required=True, help="The key's name, for ever; best the URL without https://.")
@click.option("--host", required=True, help="Address at which logs reach it.")
@click.option("--port", required=True, type=_PORT, help="Port at which logs reach it.")
@click.option("--operations-port", required=True, type=_PORT, help="Loopback port for health and metrics.")
@click.option("--listen-host", help="Address to listen on.  [default: the same as --host]")
@click.option("--url", help="Where logs post, behind a proxy.  [default: http://HOST:PORT]")
@click.option(
    "--log", "logs", multiple=True, metavar="VKEY", help="A log to watch: its verifier key; repeat it."
)
def init_witness(
    folder: Path,
    name: str,
    host: str,
    port: int,
    operations_port: int,
    listen_host: str | None,
    url: str | None,
    logs: tuple[str, ...],
) -> None:
    """
    Make a witness's folder: settings, key, an empty memory.

    \b
    Example:
      mixmint witness init w1 --name witness.example.org/w1 --host 192.0.2.9 \\
        --port 7301 --operations-port 9301 --log board.example.org+e0a1b2c3+AUq...
    """
    from bank.board.witness.init import create_witness, policy_line
    from replyblocks.init import http_url

    settings: dict[str, str | int] = {
        "host": listen_host or host,
        "port": port,
        "operations_port": operations_port,
    }
    key = create_witness(folder, name, logs, settings)
    click.echo(f"{folder} is ready. Start it:\n  mixmint witness run --config {folder / 'witness.toml'}")
    click.echo("The line for policies of boards, wallets and auditors:")
    click.echo(f"  {policy_line(key, url or http_url(host, port))}")


@witness.command("run")
@click.option("--config", required=True, type=_PATH, help="The settings file, witness.toml.")
@click.option("--check", is_flag=True, help="Check settings and key, print what would run, and stop.")
def run_witness(config: Path, check: bool) -> None:
    """
    Run the witness until SIGTERM.

    \b
    Example:
      mixmint witness run --config w1/witness.toml
    """
    from bank.board.witness.run import describe_run, prepare, run

    prepared = prepare(config)
    if check:
        click.echo(describe_run(prepared))
        return
    run(prepared)


@witness.command("key")
@click.option("--config", required=True, type=_PATH, help="The settings file, witness.toml.")
def show_key(config: Path) -> None:
    """
    Print the witness's verifier key, which is public.

    \b
    Example:
      mixmint witness key --config w1/witness.toml
    """
    from bank.board.witness.run import prepare

    click.echo(prepare(config).verifier.text())


@witness.command("logs")
@click.option("--config", required=True, type=_PATH, help="The settings file, witness.toml.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def show_logs(config: Path, as_json: bool) -> None:
    """
    Show what was cosigned last of each log, and every fork that was refused, with both signed notes.

    \b
    Example:
      mixmint witness logs --config w1/witness.toml
    """
    from bank.board.witness.run import prepare
    from bank.board.witness.views import log_views, tell_logs

    views = log_views(prepare(config).settings)
    click.echo(json.dumps({"logs": views}, indent=2) if as_json else tell_logs(views))


@witness.command("accuse")
@click.argument("folder", metavar="DIR", type=_PATH)
@click.option("--config", required=True, type=_PATH, help="The settings file, witness.toml.")
def accuse_logs(folder: Path, config: Path) -> None:
    """
    Write an accusation file into DIR for each fork that was refused: proof that the log signed two pasts.

    Anyone can check it offline: mixmint board check-accusation FILE.

    \b
    Example:
      mixmint witness accuse forks --config w1/witness.toml
    """
    from bank.board.witness.accusing import write_accusations
    from bank.board.witness.run import prepare

    written = write_accusations(prepare(config).settings, folder)
    for path in written:
        click.echo(path)
    if not written:
        click.echo("nothing new to accuse a log of", err=True)
