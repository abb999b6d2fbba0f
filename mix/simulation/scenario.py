"""What is simulated: who sends how much, how the mixes mix, what the adversary has. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from mix.directory.document import CASCADE_LENGTH, MIX_COVER, TIMED_POOL, Cover, Mixing
from mix.frame import MOST_PACKETS
from mixmint.errors import UserError

MOST_USERS = 1_000_000
GATEWAYS = "gateways"
CORRUPTIBLE = (GATEWAYS, *(str(place + 1) for place in range(CASCADE_LENGTH)))
"""The members' gateways, and the mixes by their place in the cascade."""


@dataclass(frozen=True)
class Scenario:
    """
    ``per_hour``: how many packets with something in them each member sends in an hour, on average (Poisson).
    ``corrupt``: which nodes tell the adversary all they know; he sees all links anyway, and who sent what is
    asked for packets that a receiver has, so he knows that they are no cover. ``messages``: how long to
    measure, in members' packets.

    Raises UserError for what can't be simulated.
    """

    users: int = 100
    per_hour: float = 6.0
    mixing: Mixing = TIMED_POOL
    tick_ms: int = 10_000
    cover: Cover = MIX_COVER
    cascades: int = 1
    gateways: int = 1
    corrupt: frozenset[str] = field(default_factory=frozenset)
    messages: int = 2000
    seed: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.users <= MOST_USERS or not 0 < self.per_hour <= 1e6:
            raise UserError(f"1 to {MOST_USERS:,} users can be simulated, who send more than nothing")
        if self.tick_ms < 1:
            raise UserError("without ticks nothing is hidden, so there is nothing to measure")
        if min(self.cascades, self.gateways, self.messages) < 1:
            raise UserError("there is at least one cascade, one gateway and one message")
        if not self.corrupt <= set(CORRUPTIBLE):
            raise UserError(f"what can be corrupt: {', '.join(CORRUPTIBLE)}")
        if self.cover.client_ms and self.per_hour * self.cover.client_ms >= 3_600_000:
            raise UserError("members have more to say than their cover's pace carries; raise one of the two")
        if self.mixing.strategy == "poisson" and not self.mixing.delay_ms:
            raise UserError("poisson needs a mean delay")
        if self.mixing.strategy == "threshold" and not (self.mixing.threshold and self.mixing.longest_ms):
            raise UserError("threshold needs a number and a longest wait")
        if self.mixing.strategy == "timed-pool" and not self.mixing.pool_permille:
            raise UserError("a pool that releases no part of its packets delivers none")

    @property
    def tick_s(self) -> float:
        return self.tick_ms / 1000

    @property
    def measured_rounds(self) -> int:
        """How many ticks of each node it takes until so many messages are sent."""
        messages_per_tick = self.users * self.per_hour * self.tick_s / 3600
        return max(64, round(self.messages / messages_per_tick))

    @property
    def warm_rounds(self) -> int:
        """How many ticks come before, in which pools fill and nothing is measured."""
        return max(96, self.measured_rounds // 4)

    @property
    def rounds(self) -> int:
        """All ticks of each node."""
        return self.warm_rounds + self.measured_rounds

    @property
    def load(self) -> float:
        """How full the fullest link's frames are on average; above 1 its queue grows without end."""
        paced_per_s = 1000 / self.cover.client_ms if self.cover.client_ms else self.per_hour / 3600
        nodes = CASCADE_LENGTH * self.cascades + self.gateways
        loops_per_s = 1000 * nodes / self.cover.loop_ms if self.cover.loop_ms else 0.0
        entering = (self.users * paced_per_s + loops_per_s) * self.tick_s / self.cascades
        within = entering + (CASCADE_LENGTH - 1) * self.cover.packets
        leaving = (entering + CASCADE_LENGTH * self.cover.packets) / self.gateways
        return max(within, leaving) / MOST_PACKETS

    def with_numbers(self, tick_ms: int, mixing: Mixing, cover: Cover) -> "Scenario":
        """The same people in another network."""
        return replace(self, tick_ms=tick_ms, mixing=mixing, cover=cover)


MIXMASTER = Mixing("timed-pool", 45, 650, 0, 0, 0, 0)
"""Mixmaster's pool: 45 stay, 65 % of the others leave; it ticks every 15 minutes, later every 300 s."""
LOOPIX = Mixing("poisson", 0, 0, 0, 0, 20_000, 600_000)
"""Loopix: waits that the sender draws, exponential; here with a mean that is ours at the default settings."""
SETTINGS: Mapping[str, tuple[int, Mixing]] = MappingProxyType(
    {"ours": (10_000, TIMED_POOL), "mixmaster": (300_000, MIXMASTER), "loopix": (1_000, LOOPIX)}
)
"""Tick in milliseconds, and mixing, by whose settings they are."""
