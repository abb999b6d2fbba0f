"""
What conversations and messages need of the network: a place to hand packets in, and a mailbox.

`mix.endpoint.GatewayClient` is the real one; tests put a seeded network in its place.
"""

from collections.abc import Sequence
from typing import Protocol

from mix.packet.geometry import Addressed, Packet, Token


class Item(Protocol):
    """One packet from the mailbox. ``number`` acknowledges it."""

    @property
    def number(self) -> int: ...

    @property
    def token(self) -> Token: ...

    @property
    def packet(self) -> Packet: ...


class Link(Protocol):
    """An endpoint's gateway. Every method raises Unavailable when it can't be reached after some tries."""

    async def register(self, tokens: Sequence[Token]) -> None:
        """Open the mailboxes of these tokens for this owner. Harmless when they are open."""

    async def submit(self, packets: Sequence[Addressed]) -> None:
        """Hand packets in; returns once the gateway holds them durably."""

    async def fetch(self, wait_s: float, acknowledge: Sequence[int] = ()) -> Sequence[Item]:
        """
        Acknowledge (and so delete) earlier items, then wait up to ``wait_s`` for new ones.

        Items come again at each fetch until they are acknowledged.
        """
