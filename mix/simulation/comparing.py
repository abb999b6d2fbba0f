"""
Ours, Mixmaster's and Loopix's settings side by side: at equal mean latency, at equal bandwidth. Pure.

Each family has one number that makes it slower and hides better: the pool's minimum (ours), the tick
(Mixmaster's pool of 45), the mean delay (Loopix). `tuned` finds the number for a wanted latency.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from msgspec.structs import replace as changed

from mix.directory.document import TIMED_POOL, Cover
from mix.simulation.plot import Axes, plot
from mix.simulation.running import Result, simulate
from mix.simulation.scenario import LOOPIX, MIXMASTER, Scenario

STEPS = 6
"""At most so many runs look for a number, until the latency is so close, which is a run's noise:"""
CLOSE = 0.03
LEAST = 1.0
"""The smallest number that is tried, in packets or seconds."""
FULL = 0.9
"""Frames may be so full on average: beyond, they queue."""
MOST_MINIMUM = 4096
FINE_TICK_MS = 2500
Family = Callable[[Scenario, float], Scenario]
"""The scenario with this family's mixing, and its number set to that many seconds, or packets."""


@dataclass(frozen=True)
class Point:
    """One run; ``number`` is what the family was set to."""

    family: str
    number: float
    scenario: Scenario
    result: Result


def ours(scenario: Scenario, number: float) -> Scenario:
    """The timed pool at the scenario's tick, with another minimum."""
    minimum = min(MOST_MINIMUM, max(0, round(number)))
    return replace(scenario, mixing=changed(TIMED_POOL, pool_minimum=minimum))


def ours_fine(scenario: Scenario, number: float) -> Scenario:
    """The timed pool at ticks of 2.5 s: lines carry frames four times as often."""
    return _fine(ours(scenario, number))


def mixmaster(scenario: Scenario, number: float) -> Scenario:
    """
    Its pool at another tick, in seconds, as far as frames carry what comes meanwhile; as much cover in an
    hour as the scenario has.
    """
    longest_ms = FULL * scenario.tick_ms / scenario.load
    tick_ms = max(1, round(min(1000 * number, longest_ms)))
    packets = scenario.cover.packets and max(1, round(scenario.cover.packets * tick_ms / scenario.tick_ms))
    return scenario.with_numbers(tick_ms, MIXMASTER, changed(scenario.cover, packets=packets))


def loopix(scenario: Scenario, number: float) -> Scenario:
    """Its delays at the scenario's tick: frames are as frequent, so lines carry as much."""
    delay_ms = max(1, round(1000 * number))
    mixing = changed(LOOPIX, delay_ms=delay_ms, most_delay_ms=min(86_400_000, 30 * delay_ms))
    return replace(scenario, mixing=mixing)


def loopix_fine(scenario: Scenario, number: float) -> Scenario:
    """Its delays at ticks of 2.5 s, nearer to its authors' habit; lines carry frames four times as often."""
    return _fine(loopix(scenario, number))


def _fine(scenario: Scenario) -> Scenario:
    """At finer ticks, with as much cover in an hour."""
    packets = scenario.cover.packets * FINE_TICK_MS / scenario.tick_ms
    cover = changed(scenario.cover, packets=packets and max(1, round(packets)))
    return replace(scenario, tick_ms=FINE_TICK_MS, cover=cover)


FAMILIES: Mapping[str, tuple[Family, float]] = MappingProxyType(
    {
        "ours": (ours, 8),
        "ours-fine": (ours_fine, 8),
        "mixmaster": (mixmaster, 60),
        "loopix": (loopix, 10),
        "loopix-fine": (loopix_fine, 10),
    }
)
"""Each with a number to begin with."""
WORDS: Mapping[str, str] = MappingProxyType(
    {
        "ours": "ours",
        "mixmaster": "Mixmaster's pool",
        "loopix": "Loopix's delays",
        "ours-fine": "ours, 2.5 s",
        "loopix-fine": "Loopix's, 2.5 s",
        "ours-members": "ours, members' cover",
    }
)
LATENCIES_S = (40.0, 80.0, 160.0, 320.0)


def tuned(family: str, scenario: Scenario, latency_s: float) -> Point:
    """
    The family's number for this mean latency, within a few percent; the nearest if there is none.

    Latency grows nearly in proportion to each of the numbers, beyond what a round trip of ticks costs, and
    with a pool's minimum only from where it is felt: so secants find it.
    """
    make, number = FAMILIES[family]
    seen: list[tuple[float, Result]] = []
    for _ in range(STEPS):
        result = simulate(make(scenario, number))
        seen.append((number, result))
        off = result.latency_s / latency_s
        if abs(off - 1) < CLOSE:
            break
        number = max(LEAST, _next(seen, latency_s))
    best, result = min(seen, key=lambda one: abs(math.log(one[1].latency_s / latency_s)))
    return Point(family, best, make(scenario, best), result)


def _next(seen: "Sequence[tuple[float, Result]]", latency_s: float) -> float:
    """Where the secant through the last two meets the wanted latency, or, after one, in proportion."""
    number, result = seen[-1]
    if len(seen) == 1:
        return number * max(0.25, min(16.0, latency_s / result.latency_s))
    before, earlier = seen[-2]
    slope = (result.latency_s - earlier.latency_s) / (number - before) if number != before else 0.0
    step = (latency_s - result.latency_s) / slope if slope > 0 else 3 * number
    return max(number / 4, min(8 * number, number + step))


def against_latency(scenario: Scenario) -> list[Point]:
    """Each family at several mean latencies; members and packets in an hour are the same for all."""
    return [tuned(family, scenario, latency_s) for family in FAMILIES for latency_s in LATENCIES_S]


MIX_COVERS = (1, 4, 16, 64)
PACES_MS = (120_000, 60_000, 30_000, 15_000)


def against_bandwidth(scenario: Scenario, latency_s: float) -> list[Point]:
    """
    Each family at one mean latency, with more and more cover: of mixes (ours, Mixmaster's pool), of members
    (Loopix, whose mixes add none; and ours in the same way, as ``ours-members``).
    """
    covered = [
        (family, family, Cover(packets, 0, 0)) for family in ("ours", "mixmaster") for packets in MIX_COVERS
    ]
    covered += [("loopix", "loopix", Cover(0, 0, pace_ms)) for pace_ms in PACES_MS]
    covered += [("ours", "ours-members", Cover(1, 0, pace_ms)) for pace_ms in PACES_MS]
    return [
        replace(tuned(family, replace(scenario, cover=cover), latency_s), family=name)
        for family, name, cover in covered
    ]


def draw(scenario: Scenario, latency_s: float = 160.0) -> dict[str, str]:
    """The two plots, as SVG by the names of their files."""
    return shown(scenario, against_latency(scenario), against_bandwidth(scenario, latency_s), latency_s)


def shown(
    scenario: Scenario, by_latency: Sequence[Point], by_bandwidth: Sequence[Point], latency_s: float
) -> dict[str, str]:
    """The plots of these points."""
    most = math.log2(scenario.users)
    who = f"{scenario.users:,} members, {scenario.per_hour:g} packets an hour each"
    latency = Axes(f"Anonymity against latency: {who}", "mean latency, seconds", "bits", most)
    bandwidth = Axes(
        f"Anonymity against bandwidth: {who}, {latency_s:g} s", "packets on links a message", "bits", most
    )
    return {
        "anonymity-latency.svg": plot(latency, _lines(by_latency, lambda one: one.latency_s)),
        "anonymity-bandwidth.svg": plot(bandwidth, _lines(by_bandwidth, lambda one: one.packets_per_message)),
    }


def _lines(points: Sequence[Point], x: Callable[[Result], float]) -> dict[str, list[tuple[float, float]]]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        lines.setdefault(WORDS[point.family], []).append((x(point.result), point.result.bits))
    return lines
