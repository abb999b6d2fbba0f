"""Small directories made in memory, with all their secrets at hand."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from mix.directory import Directory, Node, Service, SphinxKey, sign_directory
from mix.directory.document import MIX_COVER, TIMED_POOL
from mix.packet.build import key_id
from mix.packet.geometry import BODY_BYTES
from mixmint.keys import BoxKey, SigningKey

NOW_S = 1_800_000_000
EPOCH_S = 7 * 86400


async def until(condition: Callable[[], object]) -> None:
    """Wait, at most 10 s, for something that shows in state only."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is in code that has no event for a test
            await asyncio.sleep(0.01)


@dataclass
class Network:
    """A directory and the keys behind it; ``boxes`` by key id."""

    directory: Directory
    authority: SigningKey
    identities: dict[str, SigningKey] = field(default_factory=dict)
    boxes: dict[bytes, BoxKey] = field(default_factory=dict)
    discards: dict[str, BoxKey] = field(default_factory=dict)

    @property
    def signed(self) -> bytes:
        return sign_directory(self.directory, [self.authority])


def make_network(
    mixes: int = 3, gateways: int = 2, now_s: int = NOW_S, services: tuple[Service, ...] = ()
) -> Network:
    """``m1 ...`` in one cascade and ``g1 ...``; certificates are random: nothing here connects."""
    nodes = []
    made = Network(directory=None, authority=SigningKey.generate())  # type: ignore[arg-type] # filled in below
    names: list[tuple[str, Literal["mix", "gateway"]]] = [(f"m{n + 1}", "mix") for n in range(mixes)]
    names += [(f"g{n + 1}", "gateway") for n in range(gateways)]
    for number, (name, role) in enumerate(names):
        keys = []
        for epoch in (now_s // EPOCH_S, now_s // EPOCH_S + 1):
            box = BoxKey.generate()
            made.boxes[key_id(box.public)] = box
            keys.append(
                SphinxKey(key_id(box.public), box.public, epoch, epoch * EPOCH_S, (epoch + 1) * EPOCH_S)
            )
        made.identities[name] = SigningKey.generate()
        gateway = role == "gateway"
        made.discards[name] = BoxKey.generate()
        nodes.append(
            Node(
                name=name,
                role=role,
                identity=made.identities[name].public,
                host="127.0.0.1",
                link_port=7000 + number,
                client_port=7100 + number if gateway else 0,
                certificate=os.urandom(64),
                next_certificate=b"",
                sphinx_keys=tuple(keys),
                discard_token=os.urandom(16) if gateway else b"",
                discard_public=made.discards[name].public if gateway else b"",
            )
        )
    made.directory = Directory(
        network="test",
        sequence=0,
        previous=bytes(32),
        epoch=now_s // EPOCH_S,
        valid_from_s=now_s - 3600,
        valid_until_s=now_s + 14 * 86400,
        grace_s=7 * 86400,
        epoch_s=EPOCH_S,
        tick_ms=50,
        mixing=TIMED_POOL,
        cover=MIX_COVER,
        body_bytes=BODY_BYTES,
        nodes=tuple(nodes),
        cascades=(("m1", "m2", "m3"),),
        services=services,
    )
    return made
