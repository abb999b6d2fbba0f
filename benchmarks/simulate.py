"""
How well settings hide members, and how quickly that is computed. Writes the tables and plots of
docs/mixing.md, where the figures are explained.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec.structs import replace as changed

from benchmarks.figure import Figure
from benchmarks.month.shown import put_between_marks
from mix.directory.document import TIMED_POOL, Cover
from mix.packet.geometry import ADDRESSED_BYTES
from mix.simulation.attack import n_minus_1
from mix.simulation.comparing import (
    FAMILIES,
    Point,
    against_bandwidth,
    against_latency,
    shown,
    tuned,
)
from mix.simulation.disclosure import Habits, disclose
from mix.simulation.running import Result, simulate
from mix.simulation.scenario import MIXMASTER, Scenario
from tests.integration.board.chromium import CHROMIUM, chromium

DOCS = Path(__file__).parents[1] / "docs"
MARKS = tuple(
    (f"<!-- {name}: python -m benchmarks simulate -->", f"<!-- {name}: until here -->")
    for name in ("compared", "chosen")
)
SLOW_S = 160.0
BUSY = Scenario(users=10_000, messages=60_000)
CROWDS = (
    Scenario(users=10, messages=400),
    Scenario(users=100, messages=1200),
    replace(BUSY, messages=20_000, cascades=4),
)
NAMES = {
    "ours": "ours, minimum {:.0f}",
    "ours-fine": "ours at ticks of 2.5 s, minimum {:.0f}",
    "mixmaster": "Mixmaster's pool of 45, tick {:.0f} s",
    "mixmaster-own": "Mixmaster's own, tick {:.0f} s, no cover",
    "loopix": "Loopix's delays, mean {:.0f} s",
    "loopix-fine": "Loopix's at ticks of 2.5 s, mean {:.0f} s",
}
COMPARED = (
    *("members", "settings", "mean latency", "entropy, bits", "of all", "best guess"),
    *("packets a message", "with filling"),
)
CHOSEN = (
    *("members", "settings", "mean latency; 99 %", "entropy, bits (of all)", "best guess"),
    *("a member's line", "n-1", "friends found after 4 weeks"),
)
WEEKS = Habits(weeks=4, targets=4)
QUIET_PER_HOUR = 0.2
GOAL_PER_S = 50_000
NOISE_BITS = 0.1
RIVALS = (("ours", "mixmaster"), ("ours", "loopix"), ("ours-fine", "loopix-fine"))
"""At one tick each, so that lines carry as many frames."""
MOST_AT_300_S = 500
"""More members than that don't fit into a frame each 300 s."""


@dataclass(frozen=True)
class Choice:
    """Settings for a crowd, as the page proposes them."""

    words: str
    scenario: Scenario


def _choice(users: int, minimum: int, cover: Cover, cascades: int, messages: int) -> Choice:
    words = f"minimum {minimum}"
    words += f", a packet of each member every {cover.client_ms / 1000:g} s" if cover.client_ms else ""
    words += f", {cascades} cascades" if cascades > 1 else ""
    mixing = changed(TIMED_POOL, pool_minimum=minimum)
    return Choice(
        words,
        Scenario(users, 1.0, mixing, cover=cover, cascades=cascades, messages=messages),
    )


CHOICES = (
    _choice(10, 8, Cover(8, 0, 0), 1, 100),
    _choice(10, 16, Cover(8, 0, 10_000), 1, 100),
    _choice(100, 8, Cover(8, 0, 0), 1, 300),
    _choice(100, 32, Cover(8, 0, 15_000), 1, 300),
    _choice(10_000, 8, Cover(8, 0, 0), 1, 5_000),
    _choice(10_000, 256, Cover(8, 0, 120_000), 4, 3_000),
)


def measure() -> list[Figure]:
    """simulate_packets_per_s; anonymity_margin_*: ours less others' bits at equal latency and bandwidth."""
    figures, rows = [_speed()], []
    for crowd in CROWDS:
        for wanted_s in (simulate(crowd).latency_s, SLOW_S):
            points = at_latency(crowd, wanted_s)
            rows += [(crowd, point) for point in points.values()]
            figures += [
                _margin(points[mine], points[family], at_default=wanted_s != SLOW_S)
                for mine, family in RIVALS
                if _is_near(points[family], wanted_s)
            ]
    for crowd in CROWDS:
        if crowd.users <= MOST_AT_300_S:
            still = crowd.with_numbers(300_000, MIXMASTER, Cover(0, 0, 0))
            rows.append((crowd, Point("mixmaster-own", 300, still, simulate(still))))
    write(rows)
    return figures


def at_latency(crowd: Scenario, wanted_s: float) -> dict[str, Point]:
    """Each family at that mean latency; ours first, which begins with its default."""
    return {family: tuned(family, crowd, wanted_s) for family in FAMILIES}


def _is_near(point: Point, wanted_s: float) -> bool:
    return abs(point.result.latency_s / wanted_s - 1) < 0.1


def _margin(ours: Point, other: Point, *, at_default: bool) -> Figure:
    users = ours.scenario.users
    when = "default" if at_default else f"{SLOW_S:.0f}s"
    how = (
        f"{users:,} members: {ours.result.bits:.2f} bits at {ours.result.latency_s:.0f} s and "
        f"{ours.result.packets_per_message:.1f} packets a message; {other.family} {other.result.bits:.2f} at "
        f"{other.result.latency_s:.0f} s and {other.result.packets_per_message:.1f}; goal: but for noise"
    )
    name = f"anonymity_margin_{other.family}_{users}_{when}"
    return Figure(name, ours.result.bits - other.result.bits, "bits", how, -NOISE_BITS)


def _speed() -> Figure:
    start = time.process_time()
    result = simulate(BUSY)
    spent = time.process_time() - start
    return Figure(
        "simulate_packets_per_s",
        result.packets / spent,
        "packets/s",
        f"{result.packets:,} packets of {BUSY.users:,} members through three mixes, origins followed; CPU",
        GOAL_PER_S,
    )


def write(rows: Sequence[tuple[Scenario, Point]]) -> None:
    """Both tables into docs/mixing.md, the plots beside it."""
    page = DOCS / "mixing.md"
    text = put_between_marks(page.read_text(), compared(rows), *MARKS[0])
    page.write_text(put_between_marks(text, chosen(), *MARKS[1]))
    crowd = replace(CROWDS[1], messages=600)
    draw(shown(crowd, against_latency(crowd), against_bandwidth(crowd, SLOW_S), SLOW_S))


def compared(rows: Sequence[tuple[Scenario, Point]]) -> str:
    """Each crowd's settings, ours first, at our latency and at a longer one."""
    lines = _heads(COMPARED)
    for crowd, point in rows:
        result = point.result
        cells = [f"{crowd.users:,}", NAMES[point.family].format(point.number), f"{result.latency_s:.0f} s"]
        cells += [f"{result.bits:.2f}", f"{result.normalised:.0%}", f"{result.guess:.1%}"]
        cells += [f"{result.packets_per_message:.1f}", f"{result.slots_per_message:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def chosen() -> str:
    """The settings that the page proposes, beside the default."""
    lines = _heads(CHOSEN)
    for choice in CHOICES:
        scenario, result = choice.scenario, simulate(choice.scenario)
        named = n_minus_1(replace(scenario, messages=10), targets=20)
        cells = [
            f"{scenario.users:,}",
            choice.words,
            f"{result.latency_s:.0f} s; {result.latency_p99_s:.0f} s",
        ]
        cells += [f"{result.bits:.2f} ({result.normalised:.0%})", f"{result.guess:.1%}", _line(scenario)]
        cells += [f"{named.watching:.1%}", _linked(scenario, result)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _heads(names: Sequence[str]) -> list[str]:
    return ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]


def _line(scenario: Scenario) -> str:
    """What a member sends, in bytes a second."""
    cover_ms = scenario.cover.client_ms
    per_s = 1000 / cover_ms if cover_ms else scenario.per_hour / 3600
    return f"{per_s * ADDRESSED_BYTES:.0f} B/s" if cover_ms else "when there is something to say"


def _linked(scenario: Scenario, result: Result) -> str:
    if scenario.users > 1000:
        return "not computed"
    linkage = disclose(replace(scenario, per_hour=QUIET_PER_HOUR), result.delays, WEEKS)
    return f"{linkage.found[-1]:.0%} (a guess: {linkage.chance:.0%})"


def draw(plots: dict[str, str]) -> None:
    """As SVG; as PNG too where there is a browser to draw them."""
    for name, svg in plots.items():
        (DOCS / name).write_text(svg)
    if not CHROMIUM.exists():
        return
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 760, "height": 420}, device_scale_factor=2)
        for name, svg in plots.items():
            page.set_content(f"<body style='margin:0;background:#fff'>{svg}</body>")
            page.screenshot(path=DOCS / name.replace(".svg", ".png"))
