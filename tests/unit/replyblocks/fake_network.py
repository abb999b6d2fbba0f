"""
A whole network in one process: real keys, real packets, really unwrapped at each hop; no clock, no sockets.

`FakeLink` implements `replyblocks.link.Link`. Without a ``weather`` packets arrive at once; with one, it
decides about every packet: how many copies arrive, and when (each ``deliver()`` is one step).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mix.directory import Directory, Node, Service, SphinxKey, sign_directory, write_network
from mix.directory.document import MIX_COVER, TIMED_POOL
from mix.packet.build import key_id as key_id_of
from mix.packet.command import Command, CommandType
from mix.packet.geometry import BODY_BYTES, KEY_ID_BYTES, Addressed, Packet, Token
from mix.packet.unwrap import unwrap
from mixmint.errors import MalformedPacket, Unavailable
from mixmint.keys import BoxKey, SigningKey

NOW_S = 1_800_000_000
WEEK_S = 7 * 86400
Kind = Literal["bank", "board", "echo"]


@dataclass(frozen=True)
class FakeItem:
    number: int
    token: Token
    packet: Packet


@dataclass
class FakeService:
    """Keys of a service in the directory."""

    name: str
    kind: Kind
    gateway: str
    token: Token
    endpoint: BoxKey = field(default_factory=BoxKey.generate)
    owner: SigningKey = field(default_factory=SigningKey.generate)


@dataclass
class Box:
    """One owner's mailbox."""

    tokens: set[bytes] = field(default_factory=set)
    items: dict[int, FakeItem] = field(default_factory=dict)
    last: int = 0
    filled: asyncio.Event = field(default_factory=asyncio.Event)
    registered: asyncio.Event = field(default_factory=asyncio.Event)


class FakeNetwork:
    """Three mixes, two gateways, the services given as (name, kind). ``tick_ms`` sets the resends' times."""

    def __init__(
        self,
        services: Sequence[tuple[str, Kind]] = (("echo", "echo"),),
        *,
        tick_ms: int = 50,
        now_s: float = NOW_S,
        weather: Callable[[Packet], int] | None = None,
    ) -> None:
        self.weather = weather
        self.waiting: list[Addressed] = []
        self.boxes: dict[bytes, Box] = {}
        self.delivered: list[tuple[bytes, Packet]] = []
        self.is_down = False
        self.replays = 0
        self.dropped = 0
        self.submitted = 0
        self._secrets: dict[bytes, bytes] = {}
        self._tags: set[bytes] = set()
        self.services = {
            name: FakeService(name, kind, "g1", Token(SigningKey.generate().public[:16]))
            for name, kind in services
        }
        start = int(now_s) // WEEK_S * WEEK_S
        self.directory = Directory(
            network="test",
            sequence=1,
            previous=bytes(32),
            epoch=start // WEEK_S,
            valid_from_s=start,
            valid_until_s=start + WEEK_S,
            grace_s=WEEK_S,
            epoch_s=WEEK_S,
            tick_ms=tick_ms,
            mixing=TIMED_POOL,
            cover=MIX_COVER,
            body_bytes=BODY_BYTES,
            nodes=tuple(
                self._node(name, "mix" if name.startswith("m") else "gateway", start)
                for name in ("g1", "g2", "m1", "m2", "m3")
            ),
            cascades=(("m1", "m2", "m3"),),
            services=tuple(
                Service(
                    name=one.name,
                    kind=one.kind,
                    identity=SigningKey.generate().public,
                    gateway=one.gateway,
                    token=one.token,
                    endpoint_public=one.endpoint.public,
                    owner=bytes(32),
                    url="",
                )
                for one in self.services.values()
            ),
        )

    def _node(self, name: str, role: Literal["mix", "gateway"], start: int) -> Node:
        key = BoxKey.generate()
        key_id = key_id_of(key.public)
        self._secrets[key_id] = key.secret
        gateway = role == "gateway"
        return Node(
            name=name,
            role=role,
            identity=SigningKey.generate().public,
            host="127.0.0.1",
            link_port=1,
            client_port=2 if gateway else 0,
            certificate=b"certificate of " + name.encode(),
            next_certificate=b"",
            sphinx_keys=(SphinxKey(key_id, key.public, start // WEEK_S, start, start + WEEK_S),),
            discard_token=bytes(16) if gateway else b"",
            discard_public=BoxKey.generate().public if gateway else b"",
        )

    def write(self, folder: Path) -> Path:
        """The network file that members read."""
        authority = SigningKey.generate()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "directory").write_bytes(sign_directory(self.directory, [authority]))
        write_network(folder / "network.toml", folder / "directory", (authority.public,), 1)
        return folder / "network.toml"

    def link(self, owner: SigningKey) -> "FakeLink":
        return FakeLink(self, owner)

    def service_link(self, name: str) -> "FakeLink":
        """The link of a service, its token registered."""
        service = self.services[name]
        box = self.boxes.setdefault(service.owner.public, Box())
        box.tokens.add(service.token)
        return self.link(service.owner)

    def accept(self, packets: Sequence[Addressed]) -> None:
        self.submitted += len(packets)
        for packet in packets:
            copies = 1 if self.weather is None else self.weather(Packet(packet[KEY_ID_BYTES:]))
            self.waiting += [packet] * copies
        if self.weather is None:
            self.deliver()

    def deliver(self, count: int | None = None) -> None:
        """Let waiting packets (all, or the first ``count``) through the cascade."""
        now, self.waiting = self.waiting[:count], self.waiting[len(self.waiting[:count]) :]
        for packet in now:
            self._travel(packet)

    def put(self, token: bytes, packet: Packet) -> None:
        """A packet right into a mailbox: what a dishonest gateway can do."""
        self.delivered.append((token, packet))
        for box in self.boxes.values():
            if token in box.tokens:
                box.last += 1
                box.items[box.last] = FakeItem(box.last, Token(token), packet)
                box.filled.set()
                return
        self.dropped += 1

    def _travel(self, addressed: Addressed) -> None:
        key_id, packet = addressed[:KEY_ID_BYTES], addressed[KEY_ID_BYTES:]
        while True:
            try:
                out = unwrap(self._secrets[key_id], packet)
                command = Command.decode(out.command)
            except (KeyError, MalformedPacket):
                self.dropped += 1
                return
            if out.tag in self._tags:
                self.replays += 1
                return
            self._tags.add(out.tag)
            if command.type is CommandType.MAILBOX:
                self.put(command.id, out.packet)
                return
            key_id, packet = command.id, out.packet


class FakeLink:
    """One owner's gateway client. ``fail_submit_after``: so many submissions fail after they were taken."""

    def __init__(self, network: FakeNetwork, owner: SigningKey) -> None:
        self._network = network
        self._box = network.boxes.setdefault(owner.public, Box())
        self.fail_submit_after = 0
        self.loses_acknowledgements = False

    async def register(self, tokens: Sequence[Token]) -> None:
        self._check()
        self._box.tokens.update(tokens)
        self._box.registered.set()

    async def submit(self, packets: Sequence[Addressed]) -> None:
        self._check()
        self._network.accept(packets)
        if self.fail_submit_after:
            self.fail_submit_after -= 1
            raise Unavailable("the connection broke after the packets were taken")

    async def fetch(self, wait_s: float, acknowledge: Sequence[int] = ()) -> list[FakeItem]:
        await asyncio.sleep(0)
        self._check()
        for number in () if self.loses_acknowledgements else acknowledge:
            self._box.items.pop(number, None)
        if not self._box.items and wait_s:
            self._box.filled.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._box.filled.wait()
            except TimeoutError:
                return []
        return list(self._box.items.values())

    def _check(self) -> None:
        if self._network.is_down:
            raise Unavailable("the gateway g1 can't be reached; is it running?")
