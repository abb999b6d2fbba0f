"""
``mixmint network init``: the folder of a small network, made by the very commands that operators use.

Two gateways, three mixes, a bank, a board, a witness and an echo service. Each daemon has a folder of its own
with its settings and keys; the network's folder has the signed directory, ``network.toml`` and ``policy``:
all that a member needs.
"""

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout, suppress
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from random import SystemRandom

import click

from mixmint.cli import mixmint
from mixmint.demo.processes import DaemonSpec
from mixmint.errors import UserError

MIXES = ("m1", "m2", "m3")
GATEWAYS = ("g1", "g2")
WITNESS = "w1"
HOST = "127.0.0.1"
PORTS = 2 * len(MIXES) + 3 * len(GATEWAYS) + 7
_UNASKED = range(26_000, 32_000)
"""Where free ports are looked for: systems give higher ones to connections, for as long as these last."""


@dataclass(frozen=True)
class Pace:
    """How fast the network beats, and how much it hides."""

    tick_ms: int = 250
    """Each link sends one frame per tick. 0: at once, for measuring only."""
    round_ms: int = 200
    """The board closes a round at least this often."""
    map_rounds: int = 25
    """The board logs the root of the map of coins at most so often."""
    pool_minimum: int = 8
    cover_packets: int = 8


def init_network(folder: Path, pace: Pace, ports: Sequence[int] = ()) -> list[DaemonSpec]:
    """
    Make the network's folder; the daemons that belong to it. They listen on ``ports`` (``PORTS`` of them), or
    on some that are free now.

    Raises UserError when the folder exists and isn't empty: nothing is overwritten.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty; choose another folder, or remove it first")
    folder.mkdir(parents=True, exist_ok=True)
    with nullcontext(list(ports)) if ports else free_ports(PORTS) as given:
        specs = [*_init_nodes(folder, iter(given[:-7])), *_init_services(folder, pace, iter(given[-7:]))]
    _build_directory(folder, pace, specs)
    daemons = [{**asdict(spec), "settings": str(spec.settings.relative_to(folder))} for spec in specs]
    (folder / "daemons.json").write_text(json.dumps(daemons, indent=2) + "\n")
    return specs


def load_network_folder(folder: Path) -> list[DaemonSpec]:
    """
    The daemons of a folder that ``init_network`` made.

    Raises UserError when it is none.
    """
    try:
        daemons = json.loads((folder / "daemons.json").read_text())
    except (OSError, ValueError):
        raise UserError(f"{folder} holds no network; make one: mixmint network init {folder}") from None
    return [DaemonSpec(**{**each, "settings": folder / each["settings"]}) for each in daemons]


@contextmanager
def free_ports(count: int) -> Iterator[list[int]]:
    """
    Ports that are free now. Another program may still take one: then the daemon says "in use".

    Raises UserError when there aren't as many.
    """
    with ExitStack() as held:
        found: list[int] = []
        for port in SystemRandom().sample(_UNASKED, len(_UNASKED)):
            if len(found) == count:
                break
            one = held.enter_context(socket.socket())
            with suppress(OSError):
                one.bind((HOST, port))
                found.append(port)
        if len(found) < count:
            raise UserError(f"no {count} free ports between {_UNASKED[0]} and {_UNASKED[-1]}")
        yield found


def _init_nodes(folder: Path, ports: Iterator[int]) -> Iterator[DaemonSpec]:
    here = ("--host", HOST, "--listen-host", HOST)
    for name in MIXES:
        link, operations = next(ports), next(ports)
        run_command(
            *("mix", "init", folder / name, "--name", name, *here),
            *("--link-port", link, "--operations-port", operations),
        )
        yield DaemonSpec(name, "mix", folder / name / "mix.toml", operations)
    for name in GATEWAYS:
        link, client, operations = next(ports), next(ports), next(ports)
        run_command(
            *("gateway", "init", folder / name, "--name", name, *here),
            *("--link-port", link, "--client-port", client, "--operations-port", operations),
        )
        yield DaemonSpec(name, "gateway", folder / name / "gateway.toml", operations)


def _init_services(folder: Path, pace: Pace, ports: Iterator[int]) -> Iterator[DaemonSpec]:
    port, operations = next(ports), next(ports)
    run_command(
        *("board", "init", folder / "board", "--name", "board", "--gateway", "g2", "--host", HOST),
        *("--port", port, "--operations-port", operations, "--round-ms", pace.round_ms),
        *("--map-rounds", pace.map_rounds, "--policy", folder / "policy"),
    )
    yield DaemonSpec("board", "board", folder / "board" / "board.toml", operations)
    yield _init_witness(folder, f"http://{HOST}:{port}", next(ports), next(ports))
    port, operations = next(ports), next(ports)
    run_command(
        *("bank", "init", folder / "bank", "--name", "bank", "--gateway", "g1", "--host", HOST),
        *("--port", port, "--operations-port", operations, "--statement-rounds", 25),
        *("--claim-rounds", 150),
    )
    yield DaemonSpec("bank", "bank", folder / "bank" / "bank.toml", operations)
    operations = next(ports)
    run_command(
        *("echo", "init", folder / "echo", "--name", "echo", "--gateway", "g2"),
        *("--operations-port", operations),
    )
    yield DaemonSpec("echo", "echo", folder / "echo" / "echo.toml", operations)


def _init_witness(folder: Path, board_url: str, port: int, operations: int) -> DaemonSpec:
    """The witness, and the policy that demands its cosignature: the board's, and that of all wallets here."""
    log = run_command("board", "key", "--config", folder / "board" / "board.toml")
    settings = folder / WITNESS / "witness.toml"
    run_command(
        *("witness", "init", folder / WITNESS, "--name", WITNESS, "--host", HOST, "--log", log),
        *("--port", port, "--operations-port", operations),
    )
    key = run_command("witness", "key", "--config", settings)
    policy = (
        "# What counts as settled here: rounds of this log that this witness has cosigned.\n"
        f"log {log} {board_url}\n"
        f"witness {WITNESS} {key} http://{HOST}:{port}\n"
        f"quorum {WITNESS}\n"
    )
    (folder / "policy").write_text(policy)
    return DaemonSpec(WITNESS, "witness", settings, operations)


def _build_directory(folder: Path, pace: Pace, specs: list[DaemonSpec]) -> None:
    run_command("directory", "authority", folder / "authority.key")
    run_command(
        *("directory", "build", "--out", folder / "directory", "--network-file", folder / "network.toml"),
        *("--authority-key", folder / "authority.key", "--cascade", ",".join(MIXES), "--name", "demo"),
        *("--tick-ms", pace.tick_ms, "--pool-minimum", pace.pool_minimum),
        *("--cover-packets", pace.cover_packets),
        *(["--unsafe-send-at-once"] if pace.tick_ms == 0 else []),
        # A witness is in policies, not in the directory.
        *(folder / spec.name / "descriptor" for spec in specs if spec.group != "witness"),
    )


def run_command(*words: str | int | Path) -> str:
    """Run one ``mixmint`` command in this process; what it says."""
    said = StringIO()
    try:
        with redirect_stdout(said):
            mixmint.main([str(word) for word in words], standalone_mode=False)
    except click.ClickException as error:
        raise UserError(f"mixmint {words[0]} {words[1]}: {error.format_message()}") from None
    return said.getvalue().strip()
