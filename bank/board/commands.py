"""The operator's commands: ``mixmint board init``, ``run``, ``key``."""

from pathlib import Path

import click

from bank.board.audit.commands import audit, check_accusation
from bank.board.copies.commands import mirror, repair, verify
from bank.board.map.commands import check_proof, proof

_PATH = click.Path(path_type=Path)
_PORT = click.IntRange(1, 65535)


@click.group()
def board() -> None:
    """Run a public bulletin board: every coin certified, every coin spent."""


@board.command("init")
@click.argument("folder", metavar="DIR", type=_PATH)
@click.option("--name", default="board", show_default=True, help="The board's name in the directory.")
@click.option("--gateway", required=True, help="The gateway that the board sits behind, e.g. g1.")
@click.option("--host", required=True, help="Address at which everyone reaches the page.")
@click.option("--port", required=True, type=_PORT, help="Port of the page.")
@click.option("--operations-port", required=True, type=_PORT, help="Loopback port for health and metrics.")
@click.option("--listen-host", help="Address to listen on.  [default: the same as --host]")
@click.option("--url", help="How the directory names the page, behind a proxy.  [default: http://HOST:PORT]")
@click.option("--round-ms", default=10_000, show_default=True, help="A round closes at least this often.")
@click.option("--policy", type=_PATH, help="The policy file: which witnesses are asked.  [default: none]")
@click.option(
    "--map-rounds", default=360, show_default=True, help="Rounds between two roots of the map of coins."
)
@click.option("--network", type=_PATH, help="The network file.  [default: network.toml beside DIR]")
@click.option(
    "--bank", default="bank", show_default=True, help="Whose feed is taken: a name in the directory."
)
@click.option("--bank-key", help="That bank's public key, 64 hex digits.  [default: as the directory says]")
def init_board(
    folder: Path,
    name: str,
    gateway: str,
    host: str,
    port: int,
    operations_port: int,
    listen_host: str | None,
    url: str | None,
    round_ms: int,
    policy: Path | None,
    map_rounds: int,
    network: Path | None,
    bank: str,
    bank_key: str | None,
) -> None:
    """
    Make a board's folder: settings, keys, and the descriptor to hand to the authorities.

    \b
    Example:
      mixmint board init board --gateway g1 --host board.example.org \\
        --port 8080 --operations-port 9080
    """
    from bank.board.init import create_board
    from replyblocks.init import http_url, network_beside, path_from

    settings: dict[str, str | int] = {
        "name": name,
        "network": network_beside(folder, network),
        "bank": bank,
        **({"bank_key": bank_key} if bank_key else {}),
        "host": listen_host or host,
        "port": port,
        "operations_port": operations_port,
        "round_ms": round_ms,
        "map_rounds": map_rounds,
        **({"policy_path": path_from(folder, policy)} if policy else {}),
    }
    descriptor = create_board(folder, gateway, url or http_url(host, port), settings)
    click.echo(f"{folder} is ready. Hand {descriptor} to the directory's authorities; then:")
    click.echo(f"  mixmint board run --config {folder / 'board.toml'}")


@board.command("key")
@click.option("--config", required=True, type=_PATH, help="The settings file, board.toml.")
def show_key(config: Path) -> None:
    """
    Print the verifier key of the board's log, which is public: for witnesses and policies.

    \b
    Example:
      mixmint board key --config board/board.toml
    """
    from bank.board.log.note import VerifierKey
    from bank.board.settings import BoardSettings
    from mixmint.keys import SEED_BYTES, SigningKey, read_secret
    from mixmint.settings import load

    settings = load(config, BoardSettings)
    key = SigningKey(read_secret(settings.key_path, SEED_BYTES))
    click.echo(VerifierKey(settings.log_origin, key.public).text())


@board.command("run")
@click.option("--config", required=True, type=_PATH, help="The settings file, board.toml.")
@click.option("--check", is_flag=True, help="Check settings and keys, print what would run, and stop.")
def run_board(config: Path, check: bool) -> None:
    """
    Run the board until SIGTERM.

    \b
    Example:
      mixmint board run --config board/board.toml
    """
    from bank.board.run import describe_run, prepare, run

    prepared = prepare(config)
    if check:
        click.echo(describe_run(prepared))
        return
    run(prepared)


@board.command("recover")
@click.option("--config", required=True, type=_PATH, help="The settings file, board.toml.")
def recover_board(config: Path) -> None:
    """
    Make a lost database again from the log's folder, which may have come from a mirror.

    Everything in the folder is read and checked. Afterwards the bank says itself where its feed goes on.

    \b
    Example:
      mixmint board recover --config board/board.toml
    """
    import asyncio

    from rich.console import Console
    from rich.progress import Progress

    from bank.board.run import recover_board

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading the log", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        newest = asyncio.run(recover_board(config, show))
    click.echo(f"The log has {newest.size} leaves in {newest.number} rounds; all lead to its checkpoint.")
    click.echo("Next: mixmint board run --config " + str(config))


board.add_command(audit)
board.add_command(mirror)
board.add_command(verify)
board.add_command(repair)
board.add_command(check_accusation)
board.add_command(proof)
board.add_command(check_proof)
