"""
What a member may be told about a message that has left: among how many it was hidden. Pure.

The same mixes and the same following of origins as in a simulation, with the traffic that was really seen,
at the directory's settings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from mix.directory.document import Directory
from mix.simulation.mass import NOBODY, entropy_bits
from mix.simulation.network import Network, Packets
from mix.simulation.scenario import Scenario
from mix.simulation.traffic import Posted

WARM_TICKS = 64
"""Before the first observed tick mixes are thought to have been as on average, for so many ticks."""
OURS = 0
_OTHERS = 1


@dataclass(frozen=True)
class Observed:
    """
    ``entered``: how many packets came into our packet's cascade in each tick, from all gateways; ours is in
    tick ``ours``, which counts it.

    Raises ValueError when it isn't there.
    """

    entered: Sequence[int]
    ours: int

    def __post_init__(self) -> None:
        if not 0 <= self.ours < len(self.entered) or self.entered[self.ours] < 1 or min(self.entered) < 0:
            raise ValueError("our packet isn't among those observed")


@dataclass(frozen=True)
class Seen:
    """
    ``batch``: with how many packets it left the last mix, itself and cover included. ``among``: of how many
    equally likely packets that entered one knows as little; ``latency_s``: how long it took.
    """

    batch: int
    among: float
    latency_s: float

    @property
    def text(self) -> str:
        """One sentence for the member."""
        return (
            f"your last message left in a batch of {self.batch}, "
            f"hidden like one among {max(1, round(self.among))} that came in"
        )


class _Recorded:
    """Traffic as it was observed; before that, its mean."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._mean = sum(observed.entered) / len(observed.entered)
        self._tick = -WARM_TICKS
        self._owed = 0.0

    def until(self, now_s: float) -> list[Posted]:
        tick, self._tick = self._tick, self._tick + 1
        if tick >= 0:
            others, mine = self._observed.entered[tick], int(tick == self._observed.ours)
            return [Posted(OURS, now_s)] * mine + [Posted(_OTHERS, None)] * (others - mine)
        self._owed += self._mean
        count = int(self._owed)
        self._owed -= count
        return [Posted(_OTHERS, None)] * count


def seen(directory: Directory, observed: Observed, seed: int = 0) -> Seen | None:
    """
    Follow our packet through a cascade of this directory's settings; None if it is still there at the end.

    What the mixes' generators chose nobody knows, so it is one way that it may have gone; ``seed`` names it.
    """
    if directory.tick_ms == 0:
        return Seen(1, 1.0, 0.0)
    scenario = Scenario(mixing=directory.mixing, tick_ms=directory.tick_ms, cover=directory.cover)
    packets, found = Packets(), list[tuple[float, int, float]]()

    def deliver(now_s: float, gone: Sequence[int]) -> None:
        for packet in gone:
            if packets.sender[packet] == OURS:
                found.append((now_s, len(gone), _among(packets, packet)))

    rng = Random(seed)  # noqa: S311 - it chooses nothing, it only retells
    network = Network(scenario, [_Recorded(observed)], rng, packets, deliver)
    for number in range(WARM_TICKS + len(observed.entered)):
        network.round(number)
        if found:
            now_s, batch, among = found[0]
            entered_s = (WARM_TICKS + observed.ours) * scenario.tick_s
            return Seen(batch, among, now_s - entered_s)
    return None


def _among(packets: Packets, packet: int) -> float:
    """How many packets that entered are as likely, together, as what it may have been."""
    members = {origin: share for origin, share in packets.origin[packet].shares.items() if origin != NOBODY}
    whole = sum(members.values())
    chances = []
    for origin, share in members.items():
        count = sum(packets.entrants[origin].values())
        chances += [share / whole / count] * count
    return float(2 ** entropy_bits(chances))
