"""
A mix's own cover: packets that end at gateways' discard endpoints.

They keep pools moving when nobody sends, and an attacker who fills a pool with packets of his own doesn't
know which of the others are cover.
"""

import asyncio
from random import Random

from mix.directory import Directory
from mix.packet.build import build_cover
from mix.packet.geometry import Addressed, Token
from mixmint.errors import UserError


class CoverSource:
    """Makes a tick's cover packets for the mix of this name, from its place in its cascades onward."""

    def __init__(self, directory: Directory, name: str, rng: Random) -> None:
        self._directory = directory
        self._rng = rng
        self._ahead = [
            cascade[cascade.index(name) + 1 :] for cascade in directory.cascades if name in cascade
        ]

    async def packets(self, now_s: float) -> list[Addressed]:
        """As many as the directory says (fewer, with a tick's warning, when keys have run out)."""
        made = []
        for _ in range(self._directory.cover.packets):
            try:
                made.append(self._packet(now_s))
            except UserError:
                return made
            # Half a millisecond each: frames that come meanwhile need not wait for all.
            await asyncio.sleep(0)
        return made

    def _packet(self, now_s: float) -> Addressed:
        ahead = self._rng.choice(self._ahead)
        gateway = self._directory.gateway(self._rng.choice(self._directory.gateway_names()))
        hops = self._directory.hops(ahead, gateway.name, now_s, self._rng)
        return build_cover(hops, Token(gateway.discard_token), gateway.discard_public)
