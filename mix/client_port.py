"""
A gateway's client port: register, submit, fetch.

Every request is signed by an owner's key. What is wrong with one shows nowhere but in our counters: the
answer is status 400 and empty. Its Date header, as in every answer, lets an honest client see a wrong clock.

Source: docs/spec/gateway.md.
"""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from random import Random, SystemRandom

from aiohttp import web

from mix import mailbox, messages, submissions
from mix.directory import Node
from mix.frame import FRAME_ID_BYTES, Frame, FrameId
from mix.links.front import Refused, answer, read_body
from mix.mailbox import Delivery, Quota, QuotaError
from mix.messages import FETCH, REGISTER, SUBMIT, FetchAnswer, FetchBody, RegisterBody, SignedRequest
from mix.packet.geometry import ADDRESSED_BYTES, KEY_ID_BYTES
from mixmint.database import Writer
from mixmint.errors import MalformedMessage
from mixmint.wire import decode, encode

DAY_S = 86400
LARGE_BYTES = 65_536
MOST_LARGE = 64
"""Bodies over LARGE_BYTES that are read at a time: what strangers can make us hold in memory is bounded."""


@dataclass(frozen=True)
class Limits:
    """See GatewaySettings."""

    quota: Quota
    waiting_packets: int
    waiting_per_owner: int


class GatewayStore:
    """
    The gateway's database, the fetches that wait for it to fill, and what the links take from it.

    It is also the links' `Outbox`: packets stay in the database until a first mix has acknowledged them.
    """

    def __init__(self, writer: Writer, limits: Limits, waiting: int, rng: Random | None = None) -> None:
        self._writer = writer
        self._limits = limits
        self._rng = rng or SystemRandom()
        self._polls: dict[bytes, asyncio.Event] = {}
        self._hidden: set[bytes] = set()
        self._recorded: list[bytes] = []
        self._stopping = False
        self.waiting = waiting
        """Packets that no first mix has acknowledged yet."""

    async def register(self, owner: bytes, body: RegisterBody, day: int) -> None:
        """Raises QuotaError."""
        quota = self._limits.quota
        await self._writer.run(lambda db: mailbox.register(db, owner, body.tokens, day, quota))

    async def submit(self, owner: bytes, packets: list[tuple[str, bytes]]) -> None:
        """Queue packets as (first mix, addressed packet), durably. Raises QuotaError."""
        if self.waiting + len(packets) > self._limits.waiting_packets:
            raise QuotaError("waiting")
        most = self._limits.waiting_per_owner
        # Counted before the commit, or requests that arrive together would pass the bound together.
        self.waiting += len(packets)
        try:
            await self._writer.run(lambda db: submissions.take(db, owner, packets, most))
        except asyncio.CancelledError:
            raise  # the write happens all the same
        except BaseException:
            self.waiting -= len(packets)
            raise

    async def fetch(self, owner: bytes, body: FetchBody, day: int) -> FetchAnswer:
        """Acknowledge, then answer with what waits; else wait for it, as long as the owner asks for."""
        poll = asyncio.Event()
        # One waiting fetch per owner: a newer one ends the older.
        if (older := self._polls.get(owner)) is not None:
            older.set()
        # Before the first look, so that no delivery falls between look and wait.
        self._polls[owner] = poll
        try:
            found = await self._fetch(owner, body.acknowledge, day)
            if found.items or found.turned_away or not body.wait_ms or self._stopping:
                return found
            try:
                async with asyncio.timeout(body.wait_ms / 1000):
                    await poll.wait()
            except TimeoutError:
                return found
            return await self._fetch(owner, (), day)
        finally:
            if self._polls.get(owner) is poll:
                del self._polls[owner]

    @property
    def polls(self) -> int:
        """How many fetches wait."""
        return len(self._polls)

    async def _fetch(self, owner: bytes, acknowledge: tuple[int, ...], day: int) -> FetchAnswer:
        hidden = self._hidden.__contains__
        return await self._writer.run(lambda db: mailbox.fetch(db, owner, acknowledge, day, hidden))

    async def deliver(self, frame: FrameId, packets: list[tuple[bytes, bytes]]) -> Delivery:
        """Put a frame's packets into mailboxes, durably, hidden until `recorded` is called for the frame."""
        quota, recorded = self._limits.quota, tuple(self._recorded)
        self._recorded.clear()
        self._hidden.add(frame)
        return await self._writer.run(lambda db: mailbox.deliver(db, frame, packets, quota, recorded))

    def recorded(self, frame: FrameId, delivery: Delivery) -> None:
        """The frame's replay tags are on disk: its packets may be fetched."""
        self._hidden.discard(frame)
        self._recorded.append(frame)
        for owner in delivery.owners:
            if (poll := self._polls.get(owner)) is not None:
                poll.set()

    async def expire(self, day: int, idle_days: int) -> int:
        """Forget owners not seen for ``idle_days``; returns how many."""
        return await self._writer.run(lambda db: mailbox.expire(db, day - idle_days))

    async def next_frame(self, peer: str) -> Frame | None:
        if self.waiting == 0:
            return None
        new_id = FrameId(os.urandom(FRAME_ID_BYTES))
        return await self._writer.run(lambda db: submissions.next_frame(db, peer, new_id, self._rng))

    async def acknowledged(self, peer: str, frame: Frame) -> None:
        await self._writer.run(lambda db: submissions.acknowledged(db, peer, frame.id))
        self.waiting -= frame.count

    async def drop_for_others(self, peers: Collection[str]) -> None:
        """Drop what waits for first mixes that have left."""

        self.waiting -= await self._writer.run(lambda db: submissions.drop_for_others(db, peers))

    def stop_waiting(self) -> None:
        """End all waiting fetches with an empty answer: we are stopping."""
        self._stopping = True
        for poll in self._polls.values():
            poll.set()


class ClientPort:
    """
    Handles the requests of a client port's Front.

    ``first_mixes(now_s)``: accepted key ids to names. ``reserved``: tokens that are in the directory, and who
    may register them.
    """

    def __init__(
        self,
        gateway: Node,
        store: GatewayStore,
        first_mixes: Callable[[float], Mapping[bytes, str]],
        reserved: Mapping[bytes, bytes],
        refused: Refused,
        submitted: Callable[[int], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._identity = gateway.identity
        self._store = store
        self._first_mixes = first_mixes
        self.reserved = reserved
        self._refused = refused
        self._submitted = submitted
        self._clock = clock
        self._large = 0

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer 200, 503 (no room now), 507 (quota), or raise PeerError (400)."""
        label = messages.PATHS.get(request.path)
        if label is None:
            raise MalformedMessage("path")
        try:
            data = await self._read(request, messages.MOST_REQUEST_BYTES[label])
            signed = messages.read_request(label, data, self._identity, self._clock())
            if label == REGISTER:
                return await self._register(signed)
            if label == SUBMIT:
                return await self._submit(signed)
            return await self._fetch(signed)
        except QuotaError as error:
            self._refused(error.reason)
            return answer(503 if error.reason == "waiting" else 507)

    async def _read(self, request: web.BaseRequest, most: int) -> bytes:
        large = (request.content_length or 0) > LARGE_BYTES
        if large and self._large >= MOST_LARGE:
            raise QuotaError("waiting")
        self._large += large
        try:
            return await read_body(request, lambda size: 0 < size <= most)
        finally:
            self._large -= large

    async def _register(self, signed: SignedRequest) -> web.Response:
        body = decode(signed.body, RegisterBody, messages.MOST_REQUEST_BYTES[REGISTER])
        # Tokens of services are public: whoever came first could swallow a bank's packets.
        if any(self.reserved.get(one.token, signed.owner) != signed.owner for one in body.tokens):
            raise MalformedMessage("reserved")
        await self._store.register(signed.owner, body, self._day())
        return answer()

    async def _submit(self, signed: SignedRequest) -> web.Response:
        blob = signed.body
        count, rest = divmod(len(blob), ADDRESSED_BYTES)
        if rest or not 1 <= count <= messages.MOST_PACKETS:
            raise MalformedMessage("packets")
        first_mixes = self._first_mixes(self._clock())
        packets = []
        for start in range(0, len(blob), ADDRESSED_BYTES):
            # A gateway passes on to first mixes only: it is nobody's shortcut into the middle of a cascade.
            peer = first_mixes.get(blob[start : start + KEY_ID_BYTES])
            if peer is None:
                raise MalformedMessage("first-hop")
            packets.append((peer, blob[start : start + ADDRESSED_BYTES]))
        await self._store.submit(signed.owner, packets)
        self._submitted(count)
        return answer()

    async def _fetch(self, signed: SignedRequest) -> web.Response:
        body = decode(signed.body, FetchBody, messages.MOST_REQUEST_BYTES[FETCH])
        return answer(body=encode(await self._store.fetch(signed.owner, body, self._day())))

    def _day(self) -> int:
        return int(self._clock()) // DAY_S
