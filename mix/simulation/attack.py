"""
The n-1 attack: a gateway that lets one member's packet through among its own. Pure.

The adversary first keeps everybody else's packets back until pools hold hardly any, goes on filling the mixes
with packets that he knows again wherever he sees them, and then lets the target's in. What leaves that isn't
his is the target's, or cover of mixes, or what is left of before. Loops of nodes are held back with the rest:
they don't hide the target, but that they are missing shows the attack.

Source: Serjantov, Dingledine and Syverson, "From a trickle to a flood", 2002.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from mix.simulation.mass import NOBODY
from mix.simulation.network import Network, Packets
from mix.simulation.scenario import Scenario
from mix.simulation.traffic import ATTACKER, Members, Posted

TARGET = 1_000_000_000
"""The first target's number as a sender: no member's."""


@dataclass(frozen=True)
class Named:
    """
    ``watching``: the chance, given to the right packet among those on the wires, by one who sees all links;
    ``receiving``: by one who also runs the receivers' gateways, so that he knows cover of mixes when it ends
    there. 1 means that he names the target's exit for certain. ``delivered`` of ``tried``: how many of the
    targets' packets came out in time.
    """

    watching: float
    receiving: float
    delivered: int
    tried: int


class _Blockade:
    """The members' traffic first; then a flood, with a target at times."""

    def __init__(self, members: Members, from_s: float, targets_s: Sequence[float], flood: int) -> None:
        self._members = members
        self._from_s = from_s
        self._targets = [*enumerate(targets_s)]
        self._flood = flood

    def until(self, now_s: float) -> list[Posted]:
        if now_s < self._from_s:
            return self._members.until(now_s)
        return [Posted(ATTACKER, None)] * self._flood + [*self._due(now_s)]

    def _due(self, now_s: float) -> Iterator[Posted]:
        while self._targets and self._targets[0][1] <= now_s:
            number, at_s = self._targets.pop(0)
            yield Posted(TARGET + number, at_s)


def n_minus_1(scenario: Scenario, targets: int = 50, flood: int = 64, apart: int = 40) -> Named:
    """
    Attack so many members, one after the other, ``apart`` ticks each; the adversary sends ``flood`` packets
    a tick. The scenario's ``messages`` are what members send before.

    Raises ValueError when there are no targets.
    """
    if targets < 1:
        raise ValueError("somebody must be attacked")
    rng = Random(scenario.seed)  # noqa: S311 - it hides nothing, and must replay
    packets, found = Packets(), list[tuple[float, float]]()
    first = scenario.rounds + apart
    times_s = [scenario.tick_s * (first + apart * number) for number in range(targets)]

    def deliver(_now_s: float, gone: Sequence[int]) -> None:
        for packet in gone:
            if packets.sender[packet] >= TARGET:
                found.append(_chances(packets, packet))

    traffic = []
    for gateway in range(scenario.gateways):
        members = Members(scenario, gateway, rng)
        # All gateways hold their members' packets back; the first has the targets, and the flood.
        mine = (times_s, flood) if gateway == 0 else ((), 0)
        traffic.append(_Blockade(members, scenario.rounds * scenario.tick_s, *mine))
    network = Network(scenario, traffic, rng, packets, deliver)
    for number in range(first + apart * targets):
        network.round(number)
    count = max(1, len(found))
    return Named(
        sum(one for one, _ in found) / count, sum(one for _, one in found) / count, len(found), targets
    )


def _chances(packets: Packets, packet: int) -> tuple[float, float]:
    """What the adversary gives to the truth: on the wires, and where cover of mixes is known."""
    shares = packets.origin[packet].shares
    right = sum(
        share
        * packets.entrants[origin].get(packets.sender[packet], 0)
        / sum(packets.entrants[origin].values())
        for origin, share in shares.items()
        if origin != NOBODY
    )
    return right, right / (1 - shares.get(NOBODY, 0.0))
