"""
A network with time and losses: members, one service, three mixes with real pools, all under a virtual clock.

    member -> gateway -> mix -> mix -> mix -> gateway -> service, and the same way back

A mix is the network's strategy at its tick with its own cover, as a node runs it. A link carries one frame
per tick; a frame that is lost is noticed by its connection's end and sent again at the next tick
(`mix.links`).
What is counted: packets that endpoints handed in, and how often the service did its work.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any

from mix.packet.geometry import KEY_ID_BYTES, Addressed, Packet, Token
from mix.strategies import make
from mixmint.errors import PendingError, Unavailable
from mixmint.keys import SigningKey
from replyblocks.long.box import LONG_SCHEMA
from replyblocks.long.box import Box as LongBox
from replyblocks.long.hosting import LongHost
from replyblocks.member import Member, MemberSettings
from replyblocks.post import Post
from replyblocks.remembering import Remembering, open_answers
from replyblocks.service import Request, ServiceHost
from tests.unit.replyblocks.fake_network import NOW_S, Box, FakeItem, FakeLink, FakeNetwork
from tests.unit.replyblocks.reliability.paper_packets import token_of
from tests.unit.replyblocks.reliability.virtual import VirtualLoop

TICK_S = 1.0
MIXES = 3
PACKETS_NEEDED = 2
"""A request and its answer."""


class Wire:
    """
    One link: what is put in comes out at a later tick, in order. ``loss``: which part of the frames it loses.
    """

    def __init__(self, rng: Random, loss: float) -> None:
        self._rng = rng
        self._loss = loss
        self._frame: list[Any] = []
        self._waiting: list[Any] = []
        self.frames_lost = 0

    def put(self, packets: Sequence[Any]) -> None:
        self._waiting += packets

    def tick(self) -> list[Any]:
        """What arrives now: the frame that wasn't acknowledged yet goes again before a new one is made."""
        if not self._frame:
            self._frame, self._waiting = self._waiting, []
        if self._frame and self._rng.random() < self._loss:
            self.frames_lost += 1
            return []
        arrived, self._frame = self._frame, []
        return arrived


class Cascade:
    """Three pools and the links between them. ``drop``: which part of its packets each mix drops."""

    def __init__(self, network: FakeNetwork, rng: Random, drop: float, loss: float) -> None:
        directory = network.directory
        self._network = network
        self._rng = rng
        self._drop = drop
        self._cover = directory.cover.packets
        self._pools: list[Any] = [make(directory.mixing, directory.tick_ms, rng) for _ in range(MIXES)]
        self._wires = [Wire(rng, loss) for _ in range(MIXES + 1)]
        self._seen: set[Addressed] = set()
        self.submitted = 0
        self.dropped = 0

    @property
    def frames_lost(self) -> int:
        return sum(wire.frames_lost for wire in self._wires)

    def accept(self, packets: Sequence[Addressed]) -> None:
        # The same packet again, because its acknowledgement was lost: the first mix's filter knows it.
        fresh = [packet for packet in packets if packet not in self._seen]
        self._seen.update(fresh)
        self.submitted += len(fresh)
        self._wires[0].put(fresh)

    def tick(self) -> None:
        for place, pool in enumerate(self._pools):
            came = self._wires[place].tick()
            kept = [packet for packet in came if self._rng.random() >= self._drop]
            self.dropped += len(came) - len(kept)
            pool.add([*kept, *([None] * self._cover)])
            self._wires[place + 1].put([packet for packet in pool.tick() if packet is not None])
        for packet in self._wires[-1].tick():
            self._network.put(token_of(packet), Packet(packet[KEY_ID_BYTES:]))

    async def run(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()


class Mailboxes(FakeNetwork):
    """The gateways: packets enter the cascade, and come out into mailboxes found by token."""

    def __init__(self, rng: Random, drop: float, loss: float) -> None:
        super().__init__(tick_ms=int(TICK_S * 1000))
        self.rng, self.loss = rng, loss
        self.cascade = Cascade(self, rng, drop, loss)
        self._by_token: dict[bytes, Box] = {}

    def link(self, owner: SigningKey) -> FakeLink:
        return LossyLink(self, owner)

    def accept(self, packets: Sequence[Addressed]) -> None:
        self.cascade.accept(packets)

    def put(self, token: bytes, packet: Packet) -> None:
        if token not in self._by_token:
            self._by_token = {one: box for box in self.boxes.values() for one in box.tokens}
        box = self._by_token[token]
        box.last += 1
        box.items[box.last] = FakeItem(box.last, Token(token), packet)
        box.filled.set()


class LossyLink(FakeLink):
    """A way to the gateway that loses requests, and answers to requests that were heard."""

    def __init__(self, network: "Mailboxes", owner: SigningKey) -> None:
        super().__init__(network, owner)
        self._town = network

    async def submit(self, packets: Sequence[Addressed]) -> None:
        self._lose()
        await super().submit(packets)
        self._lose()

    async def fetch(self, wait_s: float, acknowledge: Sequence[int] = ()) -> list[FakeItem]:
        self._lose()
        items = await super().fetch(wait_s, acknowledge)
        self._lose()
        return items

    def _lose(self) -> None:
        if self._town.rng.random() < self._town.loss:
            raise Unavailable("the connection broke")


class KilledError(Exception):
    """The process ends here."""


class InlineWriter:
    """`mixmint.database.Writer` without its thread."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def run(self, operation: Any) -> Any:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            done = operation(self._connection)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        return done


class Town:
    """
    ``executed`` counts how often each body was worked on; ``answered`` and ``failures`` add up to what was
    asked. ``drop`` is what each mix drops, ``loss`` what each link loses, from 0 to 1.
    """

    def __init__(self, folder: Path, *, drop: float = 0.0, loss: float = 0.0, seed: int = 1) -> None:
        self._folder = folder
        self.rng = Random(seed)
        self.network = Mailboxes(self.rng, drop, loss)
        self.executed: Counter[bytes] = Counter()
        self.failures = 0
        self.answered = 0
        self.answer_times = 1
        self.box = LongBox()

    @property
    def packets_per_needed(self) -> float:
        """Packets that endpoints handed in, for each one that a network without losses would have carried."""
        return self.network.cascade.submitted / (PACKETS_NEEDED * self.answered)

    def now_s(self) -> float:
        return NOW_S + asyncio.get_running_loop().time()

    def perform(self, _: Any, request: Request) -> bytes:
        self.executed[request.body] += 1
        return (b"done: " + request.body) * self.answer_times

    def run(self, members: int, requests: int, at_once: int = 4) -> None:
        """So many members ask so many requests each, ``at_once`` at a time; none is asked twice."""

        async def ask(posts: list[Post]) -> None:
            await asyncio.gather(
                *(
                    self._member(post, f"{number}-{part}", requests // at_once)
                    for number, post in enumerate(posts)
                    for part in range(at_once)
                )
            )

        self.visit(members, ask)

    def visit(self, members: int, ask: Callable[[list[Post]], Awaitable[None]]) -> None:
        """While the town is awake, these members do something; then everybody stops."""
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(self._run(members, ask))

    async def _run(self, members: int, ask: Callable[[list[Post]], Awaitable[None]]) -> None:
        service = self.network.services["echo"]
        writer: Any = InlineWriter(open_answers(self._folder / "answers.db", (LONG_SCHEMA,)))

        async def serve() -> None:
            while True:
                host = ServiceHost(
                    self.network.directory,
                    "echo",
                    self.network.service_link("echo"),
                    service.endpoint,
                    Remembering(writer, self.perform, now_s=self.now_s),
                    long=LongHost(writer, self.box),
                    now_s=self.now_s,
                )
                with suppress(KilledError):
                    await host.run()

        running = [asyncio.create_task(serve()), asyncio.create_task(self.network.cascade.run())]
        async with AsyncExitStack() as stack:
            posts = [await stack.enter_async_context(self.post(number)) for number in range(members)]
            await ask(posts)
        for task in running:
            task.cancel()

    def post(self, number: int) -> Post:
        """This member's post; once more after it was closed, as a later command."""
        home = self._folder / f"member{number}"
        home.mkdir(exist_ok=True)
        key = number.to_bytes(32)
        settings = MemberSettings(network=home / "network.toml", gateway="g2")
        member = Member(home, settings, self.network.directory, key)
        return Post(member, self.network.link(member.owner), now_s=self.now_s, rng=self.rng)

    async def _member(self, post: Post, name: str, requests: int) -> None:
        for number in range(requests):
            body = f"{name}-{number}".encode()
            expires_s = int(self.now_s() + post.lifetime_s)
            request_id = os.urandom(16)
            try:
                answer = await post.ask("echo", request_id, body, expires_s, post.lifetime_s)
            except PendingError:
                answer = b""
            self.answered += answer == b"done: " + body
            self.failures += answer != b"done: " + body
            post.forget(request_id)
