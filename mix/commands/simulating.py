"""``mixmint simulate``: how well a network of these settings hides its members."""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from mix.directory import Directory
    from mix.simulation.attack import Named
    from mix.simulation.disclosure import Linkage
    from mix.simulation.running import Result
    from mix.simulation.scenario import Scenario

_COUNT = click.IntRange(min=1)
_STRATEGIES = ("timed-pool", "threshold", "poisson")


@click.command()
@click.option("--users", default=100, show_default=True, type=_COUNT, help="Members.")
@click.option("--per-hour", default=6.0, show_default=True, help="Packets that each has to send in an hour.")
@click.option(
    "--strategy",
    default="timed-pool",
    show_default=True,
    type=click.Choice(_STRATEGIES),
    help="How mixes hold packets back.",
)
@click.option("--tick-ms", default=10_000, show_default=True, type=_COUNT, help="Between a node's frames.")
@click.option("--minimum", type=click.IntRange(min=0), help="Packets that a pool keeps.  [default: 8]")
@click.option("--permille", type=click.IntRange(1, 1000), help="Of a timed pool, at a tick.  [default: 650]")
@click.option("--threshold", default=32, show_default=True, type=_COUNT, help="Packets that fire a pool.")
@click.option("--longest-ms", default=60_000, show_default=True, type=_COUNT, help="A threshold's wait.")
@click.option("--delay-ms", default=20_000, show_default=True, type=_COUNT, help="Mean delay of poisson.")
@click.option(
    "--cover-packets",
    default=8,
    show_default=True,
    type=click.IntRange(0, 256),
    help="Cover of each mix in each tick.",
)
@click.option("--loop-ms", default=0, show_default=True, help="Between two loops of a node; 0: none.")
@click.option(
    "--client-ms", default=0, show_default=True, help="Between two packets of a member; 0: no cover."
)
@click.option("--cascades", default=1, show_default=True, type=_COUNT, help="Side by side.")
@click.option("--gateways", default=1, show_default=True, type=_COUNT, help="Members are spread over them.")
@click.option(
    "--corrupt",
    multiple=True,
    type=click.Choice(("gateways", "1", "2", "3")),
    help="Tells the adversary all: a mix by its place, or all gateways; repeatable.",
)
@click.option("--attack", is_flag=True, help="Also an n-1 attack by the members' gateway.")
@click.option(
    "--weeks",
    default=0,
    show_default=True,
    type=click.IntRange(0, 52),
    help="Also so many weeks of statistical disclosure.",
)
@click.option(
    "--online-hours",
    default=24.0,
    show_default=True,
    type=click.FloatRange(0.1, 24),
    help="Of a day, for --weeks.",
)
@click.option(
    "--network",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A network file: its directory's mixing, ticks, cover, cascades and gateways instead of all those.",
)
@click.option("--messages", default=2000, show_default=True, type=_COUNT, help="How long to run.")
@click.option("--seed", default=1, show_default=True, help="The same seed, the same figures.")
@click.option(
    "--plot",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write plots against latency and bandwidth into DIR, as SVG; takes minutes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def simulate(
    users: int,
    per_hour: float,
    strategy: str,
    tick_ms: int,
    minimum: int | None,
    permille: int | None,
    threshold: int,
    longest_ms: int,
    delay_ms: int,
    cover_packets: int,
    loop_ms: int,
    client_ms: int,
    cascades: int,
    gateways: int,
    corrupt: tuple[str, ...],
    attack: bool,
    weeks: int,
    online_hours: float,
    network: Path | None,
    messages: int,
    seed: int,
    folder: Path | None,
    as_json: bool,
) -> None:
    """
    Measure how well a network of these settings hides who sends, before you run one.

    The mixes' own code runs under a virtual clock. The adversary sees every link; docs/mixing.md
    explains the figures, and which settings to choose.

    \b
    Example:
      mixmint simulate --users 100 --client-ms 15000 --weeks 4
    """
    from mix.directory import load_network
    from mix.directory.document import Cover, Mixing
    from mix.simulation.attack import n_minus_1
    from mix.simulation.disclosure import Habits, disclose
    from mix.simulation.running import simulate as run
    from mix.simulation.scenario import Scenario

    mixings = {
        "timed-pool": Mixing("timed-pool", _or(minimum, 8), _or(permille, 650), 0, 0, 0, 0),
        "threshold": Mixing("threshold", _or(minimum, 8), 0, threshold, longest_ms, 0, 0),
        "poisson": Mixing("poisson", 0, 0, 0, 0, delay_ms, min(86_400_000, 30 * delay_ms)),
    }
    scenario = Scenario(
        *(users, per_hour, mixings[strategy], tick_ms, Cover(cover_packets, loop_ms, client_ms)),
        *(cascades, gateways, frozenset(corrupt), messages, seed),
    )
    if network is not None:
        scenario = _of(load_network(network, time.time()), scenario)
    if scenario.load > 1:
        click.echo("frames don't carry so much; what waits grows: add cascades, or shorten ticks", err=True)
    result = run(scenario)
    named = n_minus_1(scenario) if attack else None
    habits = Habits(weeks=weeks, online_hours=online_hours)
    linkage = disclose(scenario, result.delays, habits) if weeks else None
    if as_json:
        click.echo(json.dumps(_plain(scenario, result, named, linkage), indent=2))
    else:
        Console().print(_table(scenario, result, named, linkage))
    if folder is not None:
        _plot(scenario, folder)


def _of(directory: "Directory", scenario: "Scenario") -> "Scenario":
    """The same people in this network."""
    there = scenario.with_numbers(directory.tick_ms, directory.mixing, directory.cover)
    return replace(there, cascades=len(directory.cascades), gateways=len(directory.gateway_names()))


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _plain(
    scenario: "Scenario", result: "Result", named: "Named | None", linkage: "Linkage | None"
) -> dict[str, object]:
    """As JSON has it."""
    return {
        "rounds": scenario.rounds,
        **asdict(result),
        "effective": result.effective,
        "attack": asdict(named) if named else None,
        "linkage": asdict(linkage) if linkage else None,
    }


def _table(scenario: "Scenario", result: "Result", named: "Named | None", linkage: "Linkage | None") -> Table:
    table = Table(title=f"{scenario.users:,} members, {scenario.mixing.strategy}", show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right", overflow="fold")
    rows = [
        ("the sender is as unknown as one of", f"{result.effective:.1f}"),
        ("entropy, bits (of all there could be)", f"{result.bits:.2f} ({result.normalised:.0%})"),
        ("95 in 100 messages have more than", f"{result.worst_bits:.2f} bits"),
        ("members to suspect, to be 95 % sure", f"{result.members:.1f}"),
        ("the best guess is right", f"{result.guess:.1%}"),
        ("latency: mean, median", f"{result.latency_s:.1f} s, {result.latency_p50_s:.1f} s"),
        ("latency: 95 %, 99 %", f"{result.latency_p95_s:.1f} s, {result.latency_p99_s:.1f} s"),
        ("packets on links for each message (alone: 5)", f"{result.packets_per_message:.1f}"),
        ("the same with the frames' filling", f"{result.slots_per_message:.1f}"),
    ]
    if named:
        rows += [
            ("n-1: the right exit's chance, seeing links", f"{named.watching:.1%}"),
            ("n-1: running the receivers' gateways too", f"{named.receiving:.1%}"),
        ]
    if linkage:
        rows += [
            (f"three friends found after week {week + 1} (chance: {linkage.chance:.0%})", f"{share:.0%}")
            for week, share in enumerate(linkage.found)
        ]
    for words, value in rows:
        table.add_row(words, value)
    return table


def _plot(scenario: "Scenario", folder: Path) -> None:
    from mix.simulation.comparing import draw

    folder.mkdir(parents=True, exist_ok=True)
    for name, svg in draw(scenario).items():
        (folder / name).write_text(svg)
        click.echo(str(folder / name))
