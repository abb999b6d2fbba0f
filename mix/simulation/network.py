"""
Gateways and mixes under a virtual clock: the real strategies, packets as numbers, no cryptography. Pure.

Each node ticks on a grid of its own, as in the network (docs/spec/link.md). Here every next node's grid is
half a tick behind, which is what grids that lie anyhow are on average. What a node sends is at the next at
once.

What the adversary follows stands beside the packets (`Mass`): an honest node gives all packets that leave it
in one tick one origin; a corrupt one hands each on as it came.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from mix.directory.document import CASCADE_LENGTH
from mix.frame import MOST_PACKETS, STEP
from mix.simulation.mass import NOBODY, Mass, Pool
from mix.simulation.scenario import GATEWAYS, Scenario
from mix.simulation.traffic import ATTACKER, Traffic
from mix.strategies import Strategy, make

KNOWN = Mass({})
"""The origin of the adversary's own packets."""
COVER = Mass({NOBODY: 1.0})

Deliver = Callable[[float, Sequence[int]], None]
"""Called with the time in seconds and the packets that a last mix has just sent."""


@dataclass
class Packets:
    """All packets ever made, by number: senders, since when each was to be said, what is known of it."""

    sender: list[int] = field(default_factory=list)
    since_s: list[float | None] = field(default_factory=list)
    origin: list[Mass] = field(default_factory=list)
    entrants: dict[int, Mapping[int, int]] = field(default_factory=dict)
    """The classes: how many packets each sender has in one."""
    entered: dict[int, float] = field(default_factory=dict)
    """When each class was sent on by its gateway, in seconds."""
    sent: int = 0
    """Packets on all links, the members' own among them."""
    slots: int = 0
    """The same as frames show them: filled up."""

    def new(self, count: int, origin: Mass) -> list[int]:
        """As many of nobody's."""
        first = len(self.sender)
        self.sender += [NOBODY] * count
        self.since_s += [None] * count
        self.origin += [origin] * count
        return list(range(first, first + count))

    def framed(self, count: int) -> None:
        """A frame of so many packets was sent."""
        self.sent += count
        self.slots += max(STEP, -(-count // STEP) * STEP)


class Station:
    """One mix."""

    def __init__(self, scenario: Scenario, place: int, rng: Random, packets: Packets) -> None:
        self.phase = 0.5 * ((place + 1) % 2)
        self._scenario = scenario
        self._rng = rng
        self._packets = packets
        self._strategy: Strategy[int] = make(scenario.mixing, scenario.tick_ms, rng)
        self._pool = None if str(place + 1) in scenario.corrupt else Pool()
        self._queue: deque[int] = deque()
        # A last mix has a link to each gateway.
        self._links = scenario.gateways if place == CASCADE_LENGTH - 1 else 1
        self.after: Callable[[float, Sequence[int]], None] = lambda _now_s, _packets: None

    def take(self, _now_s: float, packets: Sequence[int]) -> None:
        mixing = self._scenario.mixing
        if mixing.strategy == "poisson":
            self._strategy.add(packets, [mixing.draw_delay_ms(self._rng) for _ in packets])
        else:
            self._strategy.add(packets)
        self._known(packets)

    def _known(self, packets: Sequence[int]) -> None:
        if self._pool is not None:
            for mass, count in Counter(map(self._packets.origin.__getitem__, packets)).items():
                if mass is not KNOWN:
                    self._pool.add(count, mass)

    def tick(self, now_s: float) -> None:
        if self._scenario.cover.packets:
            cover = self._packets.new(self._scenario.cover.packets, COVER)
            self._strategy.add(cover)
            self._known(cover)
        gone = self._strategy.tick()
        if gone and self._pool is not None:
            origin = self._packets.origin
            hidden = [packet for packet in gone if origin[packet] is not KNOWN]
            if hidden:
                mass = self._pool.leave(len(hidden))
                for packet in hidden:
                    origin[packet] = mass
        self._send(now_s, gone)

    def _send(self, now_s: float, gone: list[int]) -> None:
        most = MOST_PACKETS * self._links
        if self._queue or len(gone) > most:
            self._queue.extend(gone)
            gone = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
        for link in range(self._links):
            self._packets.framed(len(gone[link :: self._links]))
        if gone:
            self.after(now_s, gone)


class Gate:
    """One gateway's way in: what its members post leaves at its next tick, each in a cascade of its own."""

    def __init__(self, scenario: Scenario, traffic: Traffic, rng: Random, packets: Packets) -> None:
        self.phase = 0.0
        self._traffic = traffic
        self._rng = rng
        self._packets = packets
        self._corrupt = GATEWAYS in scenario.corrupt
        self._alone: dict[int, Mass] = {}
        self._queues: list[deque[int]] = [deque() for _ in range(scenario.cascades)]
        self.after: list[Station] = []

    def tick(self, now_s: float) -> None:
        packets = self._packets
        posted = self._traffic.until(now_s)
        packets.sent += len(posted)
        packets.slots += len(posted)
        first = len(packets.sender)
        packets.sender += [one.sender for one in posted]
        packets.since_s += [one.since_s for one in posted]
        packets.origin += [KNOWN] * len(posted)
        several = len(self._queues) > 1
        for packet in range(first, len(packets.sender)):
            self._queues[self._rng.randrange(len(self._queues)) if several else 0].append(packet)
        frames = [[queue.popleft() for _ in range(min(MOST_PACKETS, len(queue)))] for queue in self._queues]
        self._enter(now_s, frames)
        for station, frame in zip(self.after, frames, strict=True):
            packets.framed(len(frame))
            if frame:
                self._rng.shuffle(frame)
                station.take(now_s, frame)

    def _enter(self, now_s: float, frames: Sequence[Sequence[int]]) -> None:
        """Give what enters its origin: all of a tick one, or, at a corrupt gateway, each its sender."""
        sender, origin = self._packets.sender, self._packets.origin
        entering = [packet for frame in frames for packet in frame if sender[packet] != ATTACKER]
        if not self._corrupt:
            mass = self._class(now_s, Counter(map(sender.__getitem__, entering))) if entering else KNOWN
            for packet in entering:
                origin[packet] = mass
            return
        for packet in entering:
            who = sender[packet]
            if who not in self._alone:
                self._alone[who] = self._class(now_s, {who: 1})
            origin[packet] = self._alone[who]

    def _class(self, now_s: float, senders: Mapping[int, int]) -> Mass:
        number = len(self._packets.entrants)
        self._packets.entrants[number] = senders
        self._packets.entered[number] = now_s
        return Mass({number: 1.0})


class Network:
    """All of it; ``deliver`` is told what arrives."""

    def __init__(
        self,
        scenario: Scenario,
        traffic: Sequence[Traffic],
        rng: Random,
        packets: Packets,
        deliver: Deliver,
    ) -> None:
        self._tick_s = scenario.tick_s
        gates = [Gate(scenario, one, rng, packets) for one in traffic]
        stations: list[Station] = []
        for _ in range(scenario.cascades):
            cascade = [Station(scenario, place, rng, packets) for place in range(CASCADE_LENGTH)]
            for before, after in pairwise(cascade):
                before.after = after.take
            cascade[-1].after = deliver
            for gate in gates:
                gate.after.append(cascade[0])
            stations += cascade
        self._nodes: list[Gate | Station] = sorted([*gates, *stations], key=lambda node: node.phase)

    def round(self, number: int) -> None:
        """Every node ticks once."""
        for node in self._nodes:
            node.tick((number + node.phase) * self._tick_s)
