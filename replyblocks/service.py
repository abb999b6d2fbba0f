"""
The service host: what a bank, a board or an echo service embeds to be asked over the mixes.

    fetch a batch -> unwrap and decode -> one call of the handler -> pack the answers -> submit -> acknowledge

A mailbox item is acknowledged only after the gateway holds its answer durably. A crash anywhere before that
means that the batch is worked on again, so a handler must give the same answer to the same request, and a
reply block that is used twice is stopped by the first mix's replay filter.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter

from mix.directory import Directory
from mix.packet.build import ReplyBlock, open_forward, use_reply_block
from mix.packet.command import Command, CommandType
from mix.packet.geometry import Addressed, Token
from mix.packet.unwrap import unwrap
from mixmint.errors import FatalError, MalformedMessage, MalformedPacket, PeerError, Unavailable, UserError
from mixmint.keys import BoxKey
from replyblocks.blocks import SKEW_S, first_mix_keys, is_usable
from replyblocks.formats import ANSWER_BODY_BYTES, Format, RequestMessage, decode_request, encode_answer
from replyblocks.link import Item, Link
from replyblocks.long.formats import Ask, Head, Part
from replyblocks.long.hosting import LongHost
from replyblocks.long.parts import MOST_BYTES as MOST_LONG_BYTES

LONGEST_WAIT_S = 30.0
"""How long one fetch waits for packets."""

MOST_LIFETIME_S = 7 * 86400
"""A request that wants to live longer is dropped: its answer would have to be kept for as long."""

LONG_FORMATS = (Format.LONG_PART.to_bytes(1), Format.LONG_ASK.to_bytes(1))
MOST_PER_BATCH = 256
PAUSE_S = 1.0

_log = logging.getLogger("replyblocks.service")


@dataclass(frozen=True, slots=True)
class Request:
    """
    A request, as a handler gets it.

    ``request_id`` (16 bytes) was chosen by the sender, at random. ``body``: 0 to REQUEST_BODY_BYTES bytes,
    not checked at all. ``expires_s``, Unix seconds: no resend of it comes after this time and SKEW_S.
    ``most_answer_bytes``: how long its answer may be. A long request (`replyblocks.long`; only a host that
    was given a ``long`` has them) may have a body and an answer of 1 MiB.
    """

    request_id: bytes
    body: bytes = field(repr=False)
    expires_s: int = 2**32 - 1
    most_answer_bytes: int = ANSWER_BODY_BYTES

    @property
    def is_long(self) -> bool:
        return self.most_answer_bytes > ANSWER_BODY_BYTES


class Handler(Protocol):
    """What answers requests."""

    async def handle(self, requests: Sequence[Request]) -> Sequence[bytes]:
        """
        One answer per request, in their order, each of 0 to ``most_answer_bytes`` bytes.

        Returns after everything that the answers promise is durable. The same request may come again at any
        time (a resend, or a crash before the answer left): it must then get the same answer. Within one call
        all ids differ. An empty answer tells the sender that the request is refused: its id was used with
        another body.

        May raise UserError (for example: the disk is full): nothing is answered, and the batch comes again.
        """


@dataclass(frozen=True, slots=True)
class Decoded:
    """A request, and the reply blocks that this sending of it is answered by."""

    request: Request
    blocks: tuple[ReplyBlock, ...]


class ServiceHost:
    """
    Runs a handler behind a gateway.

    ``link`` is this service's GatewayClient, opened by the caller; ``endpoint_key`` unwraps what comes for
    the service. ``long`` is for services that take requests of more than a packet; without it they are
    dropped like all that makes no sense. ``now_s`` is the clock. Counters go to ``registry``, without labels
    that a sender could choose.
    """

    def __init__(
        self,
        directory: Directory,
        service_name: str,
        link: Link,
        endpoint_key: BoxKey,
        handler: Handler,
        *,
        long: LongHost | None = None,
        registry: CollectorRegistry | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._long = long
        self._service = directory.service(service_name)
        if self._service.endpoint_public != endpoint_key.public:
            raise UserError(
                f"the directory lists another endpoint key for {service_name}; "
                "hand in this service's descriptor, or use the folder that belongs to it"
            )
        self._link = link
        self._secret = endpoint_key.secret
        self._handler = handler
        self._now_s = now_s
        self.outcomes = Counter(
            "mixmint_service_requests",
            "Requests that came over the mixes, by what became of them.",
            ["outcome"],
            registry=registry or CollectorRegistry(),
        )

    async def run(self) -> None:
        """
        Poll until cancelled. Cancelling is safe at any moment: what wasn't acknowledged comes again.

        Raises FatalError when the handler breaks its contract.
        """
        acknowledge: list[int] = []
        registered = False
        while True:
            try:
                if not registered:
                    await self._link.register([self._service_token()])
                    registered = True
                items = await self._link.fetch(LONGEST_WAIT_S, acknowledge)
                acknowledge = []
                if items:
                    acknowledge = await self.work_on(items)
            except UserError as error:
                # The gateway is away, or the store is full: nothing is lost, the mailbox keeps it.
                _log.warning("%s; trying again", error)
                await asyncio.sleep(PAUSE_S)
            except PeerError as error:
                _log.warning("our gateway's answer makes no sense (%s); trying again", error.reason)
                await asyncio.sleep(PAUSE_S)

    async def work_on(self, items: Sequence[Item]) -> list[int]:
        """
        Answer one fetched batch; returns the numbers to acknowledge.

        Raises what the handler raises (UserError: the same batch comes again).
        """
        now_s = self._now_s()
        # One thread for the whole batch: at 75 us a packet the event loop would stand still for its length.
        decoded, long = await asyncio.to_thread(self._decode, items, now_s)
        for start in range(0, len(decoded), MOST_PER_BATCH):
            await self.answer(decoded[start : start + MOST_PER_BATCH])
        if self._long is not None and long:
            await self._submit(await self._long.work_on(long, self._handle_long, now_s))
            self.outcomes.labels("long").inc(len(long))
        return [item.number for item in items]

    async def answer(self, batch: Sequence[Decoded]) -> None:
        """
        Hand a batch of decoded requests to the handler, and its answers to the gateway.

        Returns after the gateway has accepted the answers.
        """
        # Two sendings of one request may meet here. The handler sees the request once; each sending is
        # answered.
        requests: dict[bytes, Request] = {}
        for one in batch:
            requests.setdefault(one.request.request_id, one.request)
        asked = list(requests.values())
        answers = await self._handler.handle(asked)
        if len(answers) != len(asked):
            raise FatalError("a handler gave another number of answers than it had requests")
        by_id = dict(zip(requests, answers, strict=True))
        await self._submit(await asyncio.to_thread(self._pack, batch, requests, by_id))
        self.outcomes.labels("answered").inc(len(batch))

    async def _handle_long(self, head: Head, body: bytes) -> bytes:
        # Alone in its call: two of them would be more than is kept in memory, and might have one id.
        answers = await self._handler.handle(
            [Request(head.request_id, body, head.expires_s, MOST_LONG_BYTES)]
        )
        if len(answers) != 1:
            raise FatalError("a handler gave another number of answers than it had requests")
        return answers[0]

    async def _submit(self, packets: Sequence[Addressed]) -> None:
        """
        Until the gateway has them: the handler needn't work again because the gateway is away for a while.
        """
        while True:
            try:
                await self._link.submit(packets)
            except Unavailable as error:
                _log.warning("%s; the answers are kept and sent again", error)
                await asyncio.sleep(PAUSE_S)
            else:
                return

    def follow(self, directory: Directory) -> None:
        """Use a newer directory: reply blocks of members who have it are made for its keys."""
        self._directory = directory

    def _service_token(self) -> Token:
        return Token(self._service.token)

    def _decode(self, items: Sequence[Item], now_s: float) -> tuple[list[Decoded], list[Part | Ask]]:
        first_mixes = first_mix_keys(self._directory, now_s)
        decoded: list[Decoded] = []
        long: list[Part | Ask] = []
        seen: set[bytes] = set()
        for item in items:
            try:
                data = self._open(item)
                if self._long is not None and data[:1] in LONG_FORMATS:
                    one = self._long.decode(data, first_mixes, now_s)
                    _check_expiry(one.head.expires_s, now_s)
                    if isinstance(one, Ask):
                        _check_fresh(one.pairs[0][1], seen)
                    long.append(one)
                    continue
                message = decode_request(data)
                blocks = _usable(message, first_mixes, now_s)
                _check_expiry(message.expires_s, now_s)
                _check_fresh(message.blocks[0], seen)
            except PeerError as error:
                self.outcomes.labels(error.reason).inc()
                continue
            request = Request(message.request_id, message.body, message.expires_s)
            decoded.append(Decoded(request, blocks))
        return decoded, long

    def _open(self, item: Item) -> bytes:
        unwrapped = unwrap(self._secret, item.packet)
        if Command.decode(unwrapped.command).type is not CommandType.DELIVER:
            raise MalformedPacket("command")
        return open_forward(unwrapped)

    def _pack(
        self, batch: Sequence[Decoded], requests: dict[bytes, Request], answers: dict[bytes, bytes]
    ) -> list[Addressed]:
        packets: list[Addressed] = []
        for one in batch:
            request_id = one.request.request_id
            # The same id with another body in one batch: the first was handed on, this one is refused.
            same = requests[request_id].body == one.request.body
            try:
                message = encode_answer(request_id, answers[request_id] if same else b"")
            except ValueError as error:
                raise FatalError(f"a handler's answer doesn't fit a packet: {error}") from None
            packets.extend(use_reply_block(block, message) for block in one.blocks)
        return packets


def _check_expiry(expires_s: int, now_s: float) -> None:
    if not now_s - SKEW_S < expires_s <= now_s + MOST_LIFETIME_S + SKEW_S:
        raise MalformedMessage("expired")


def _check_fresh(block: ReplyBlock, seen: set[bytes]) -> None:
    """A gateway that repeats a packet would make us send the same answer packet twice."""
    if block in seen:
        raise MalformedMessage("repeated")
    seen.add(block)


def _usable(message: RequestMessage, first_mixes: frozenset[bytes], now_s: float) -> tuple[ReplyBlock, ...]:
    """
    The blocks that this sending is answered by: one, or both when it is a resend.

    A resend shows that a packet was lost or late, so its answer goes two ways; otherwise the second block
    stays unused.

    Raises MalformedMessage (``block``).
    """
    wanted = message.blocks if message.attempt else message.blocks[:1]
    usable = tuple(block for block in wanted if is_usable(block, first_mixes, now_s))
    if not usable:
        raise MalformedMessage("block")
    return usable
