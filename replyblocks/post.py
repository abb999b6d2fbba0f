"""
The member's side of conversations: ask a service, and get its answer, whatever happens in between.

What is decided where: `conversation` says when to send, `intake` what an arriving packet means, `store` keeps
both. Here is only the wiring to the gateway and the clock.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from random import Random, SystemRandom
from types import TracebackType

from mix.endpoint import GatewayClient
from mix.packet.build import build_forward, build_reply_block
from mix.packet.geometry import Addressed
from mixmint.errors import PeerError, PendingError, Unavailable, UserError
from replyblocks.conversation import Asked, Clock, Conversation, NotTaken, ask, step
from replyblocks.delivery import SentRequest, of_long_request, of_request
from replyblocks.formats import (
    ANSWER_BODY_BYTES,
    REQUEST_BODY_BYTES,
    REQUEST_ID_BYTES,
    Format,
    RequestMessage,
)
from replyblocks.intake import Intake, Report
from replyblocks.link import Item, Link
from replyblocks.long.conversation import LongRequest
from replyblocks.long.parts import MOST_BYTES as MOST_LONG_BYTES
from replyblocks.long.requests import LongRequests
from replyblocks.member import Member, lock_home
from replyblocks.messages import Messages
from replyblocks.polling import Polling
from replyblocks.store import DAY_S, Kind, Store
from replyblocks.timing import RoundTrip

__all__ = ["ANSWER_BODY_BYTES", "REQUEST_BODY_BYTES", "ExpiredError", "Post"]

PAUSE_S = 0.5
LONG_LIFETIMES = 4
"""A long request is some dozens of round trips, a short one with all its resends sixteen."""
REGISTERED = "registered"
KEEP_DAYS = 7
"""How long a message with missing fragments waits for them."""


class ExpiredError(PendingError):
    """
    The request expired without an answer. The service may have executed it: ask again, with a later expiry.
    """


class Post:
    """
    A member's post: requests to services and messages, over one gateway.

        async with Post(open_member(home)) as post:
            answer = await post.ask("bank", request_id, body, expires_s, timeout_s=60)

    Entering takes the home folder's lock (UserError when another command holds it for some seconds) and opens
    ``post.db``; it doesn't touch the network. Several tasks may ask at once: one fetch waits for all of them.
    """

    def __init__(
        self,
        member: Member,
        link: Link | None = None,
        *,
        now_s: Callable[[], float] = time.time,
        rng: Random | None = None,
    ) -> None:
        """``link``, ``now_s`` and ``rng`` replace the gateway's client, the clock and the chance in tests."""
        self.member = member
        self._given_link = link
        self._now_s = now_s
        self._rng = rng or SystemRandom()
        self._trip = RoundTrip.of(member.directory)
        self._exit = AsyncExitStack()
        self._loops_out: set[bytes] = set()
        self.loops: set[bytes] = set()
        """Nonces of our own loop packets that came back (for `mixmint doctor`)."""

    async def __aenter__(self) -> "Post":
        async with AsyncExitStack() as opening:
            await opening.enter_async_context(lock_home(self.member.home))
            self._store = Store(self.member.home / "post.db", self.member.sealer, self.member.naming_key)
            opening.callback(self._store.close)
            self.messages = Messages(self.member, self._store, self._rng)
            self._long = LongRequests(self.member, self._store, self._trip, self._rng)
            self.intake = Intake(self.member, self._store, self.messages, self._long, self._draw_wait_s)
            with self._store.transaction():
                self._store.expire(self._now_s(), KEEP_DAYS)
            if self._given_link is None:
                gateway = self.member.directory.gateway(self.member.settings.gateway)
                client = GatewayClient(gateway, self.member.owner)
                self._link: Link = await opening.enter_async_context(client)
            else:
                self._link = self._given_link
            self._polling = Polling(self._link, self._take, self._register)
            self._exit = opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._polling.close()
        finally:
            await self._exit.aclose()

    @property
    def lifetime_s(self) -> float:
        """How long a request should live to get all its resends and their answers, from the pools' tail."""
        return self._trip.lifetime_s()

    @property
    def long_lifetime_s(self) -> float:
        """How long a long request should live: for 1 MiB both ways, a window of parts after another."""
        return LONG_LIFETIMES * self._trip.lifetime_s()

    @property
    def usual_wait_s(self) -> float:
        """Nearly every answer (99 of 100) is there after this time."""
        return self._trip.quantile_s(0.99)

    async def reach(self) -> None:
        """
        Make sure that the gateway answers, and that our mailboxes are open there.

        Call it before a new operation is written to disk. Raises Unavailable: nothing has happened.
        """
        # Not by a fetch: that would wait for the long poll of whoever asks at the moment.
        await self._open_mailboxes()

    async def ask(
        self, service: str, request_id: bytes, body: bytes, expires_s: int, timeout_s: float
    ) -> bytes:
        """
        The service's answer (1 to ANSWER_BODY_BYTES bytes) to a request (0 to REQUEST_BODY_BYTES).

        Idempotent by ``request_id`` (16 random bytes): asked again, in this process or a later one, it goes
        on where it was, or returns the stored answer. Everything is on disk before the first byte leaves.
        ``expires_s`` (Unix seconds, at most 7 days ahead; see ``lifetime_s``) is when the service drops it;
        asked again after that time without an answer, with a later ``expires_s``, it is sent anew under the
        same id.

        Raises PendingError when ``timeout_s`` is over and the outcome isn't known, ExpiredError (a
        PendingError) when ``expires_s`` is over; UserError when the directory has no such service, this id
        was used with another body or service, or the gateway refuses; PeerError(``refused``) when the
        service says that it knows another request of this id.
        """
        if len(request_id) != REQUEST_ID_BYTES or len(body) > REQUEST_BODY_BYTES:
            raise ValueError(f"a request has an id of 16 bytes and a body of at most {REQUEST_BODY_BYTES}")
        self.member.directory.service(service)
        loop = asyncio.get_running_loop()
        give_up = loop.time() + timeout_s
        with self._store.transaction():
            before = self._store.conversation(request_id)
            state = ask(before, request_id, Asked(service, body, expires_s), self._now_s())
            if state != before:
                self._store.put_conversation(state)
        if before is not None and state.answer is None and not self._polling.is_looking:
            # It was asked in an earlier process: its answer may wait already, so look before sending again.
            with suppress(Unavailable):
                await self._polling.fetch(0)
        async with self._polling.listening():
            while True:
                news = self._polling.news
                state = await self._send_if_due(request_id, give_up)
                if state.answer is not None:
                    break
                now_s = self._now_s()
                left_s = give_up - loop.time()
                if state.is_expired(now_s):
                    raise ExpiredError(f"{service} didn't answer before the request expired; ask again")
                if left_s <= 0:
                    raise PendingError(self._pending(service))
                wait_s = min(left_s, state.expires_s - now_s, max(state.next_s - now_s, 0.0))
                await self._polling.wait(news, wait_s)
        if state.answer == b"":
            raise PeerError("refused", f"{service} knows another request of this id")
        return state.answer

    async def ask_long(
        self, service: str, request_id: bytes, body: bytes, expires_s: int, timeout_s: float
    ) -> bytes:
        """
        As `ask`, for a request or an answer that doesn't fit a packet: each may have MOST_LONG_BYTES (1 MiB).

        The service must be one that takes long requests. An observer who sees how many packets a member sends
        sees how long it is; so what fits a packet goes by `ask`. Raises what `ask` raises.
        """
        if len(request_id) != REQUEST_ID_BYTES or len(body) > MOST_LONG_BYTES:
            raise ValueError(f"a long request has an id of 16 bytes and at most {MOST_LONG_BYTES} bytes")
        self.member.directory.service(service)
        loop = asyncio.get_running_loop()
        give_up = loop.time() + timeout_s
        with self._store.transaction():
            is_known = self._long.find(request_id) is not None
            state = self._long.ask(service, request_id, body, expires_s, self._now_s())
        if is_known and not state.is_done and not self._polling.is_looking:
            with suppress(Unavailable):
                await self._polling.fetch(0)
        async with self._polling.listening():
            while True:
                news = self._polling.news
                state = await self._send_long_if_due(request_id, give_up)
                if state.is_done:
                    break
                now_s = self._now_s()
                left_s = give_up - loop.time()
                if state.is_expired(now_s):
                    raise ExpiredError(f"{service} didn't answer before the request expired; ask again")
                if left_s <= 0:
                    raise PendingError(self._pending(service))
                wait_s = min(left_s, state.head.expires_s - now_s, max(state.next_s - now_s, 0.0))
                await self._polling.wait(news, wait_s)
        answer = self._long.answer(state)
        if not answer:
            raise PeerError("refused", f"{service} knows another request of this id")
        return answer

    def forget(self, request_id: bytes) -> None:
        """Delete a request and its answer, after the caller has stored what the answer means. Idempotent."""
        with self._store.transaction():
            self._store.forget_conversation(request_id)
            self._long.forget(request_id)

    def requests(self) -> list[SentRequest]:
        """All requests that weren't forgotten yet, and what became of each."""
        now_s = self._now_s()
        short = [
            SentRequest(state.service, state.sendings, of_request(state, now_s))
            for state in self._store.conversations()
        ]
        long = [
            SentRequest(state.service, state.silent, of_long_request(state, now_s))
            for state in self._long.all()
        ]
        return short + long

    async def poll(self, wait_s: float) -> Report:
        """
        Fetch what waits (for at most ``wait_s`` if nothing does), and put it where it belongs.

        Raises Unavailable, or UserError when the gateway refuses.
        """
        whole = Report()
        if self._polling.is_listening:
            # Somebody asks, so the mailbox is being fetched already; what it brings isn't counted here.
            await self._polling.wait(self._polling.news, wait_s)
            return whole
        while True:
            report = await self._polling.fetch(wait_s)
            if report is None:
                return whole
            whole.loops += report.loops
            whole.messages += report.messages
            whole.answers += report.answers
            # More may wait than one fetch brings.
            wait_s = 0

    async def send_queued(self) -> list[int]:
        """
        Hand all queued messages to the gateway; returns the numbers of those that it has now.

        Raises Unavailable or UserError; what wasn't sent stays queued for the next command.
        """
        sent = []
        for number in self.messages.outbox.queued():
            packets = self.messages.outbox.packets(number, self._now_s())
            if not packets:
                continue
            await self._submit(packets)
            # Killed before this commit, it is sent again, and its receiver drops the second copy.
            self.messages.outbox.sent(number)
            sent.append(number)
        return sent

    async def send_loop(self, nonce: bytes) -> None:
        """Send a packet to our own address; when it is back, ``nonce`` (16 bytes) is in ``loops``."""
        now_s = self._now_s()
        mailbox = self.member.address
        route = self.member.directory.route(
            self.member.settings.gateway, mailbox.token, mailbox.endpoint.public, now_s, self._rng
        )
        self._loops_out.add(nonce)
        await self._submit([build_forward(route, Format.LOOP.to_bytes(1) + nonce)])

    def _draw_wait_s(self, attempt: int) -> float:
        return self._trip.wait_s(attempt, self._rng)

    async def _send_if_due(self, request_id: bytes, give_up: float) -> Conversation:
        """One step by the clock; returns the state after it."""
        with self._store.transaction():
            before = self._store.conversation(request_id)
            if before is None:
                raise UserError("this request was forgotten while it was being asked")
            state, send = step(before, Clock(), self._now_s(), self._draw_wait_s)
            if send is None:
                return state
            # State and secrets are on disk before the packet exists anywhere else.
            self._store.put_conversation(state)
            packet = self._request_packet(state, send.attempt)
        is_taken = False
        try:
            is_taken = await self._submit_until([packet], give_up)
        finally:
            if not is_taken:
                self._not_taken(state)
        return self._store.conversation(request_id) or state

    async def _send_long_if_due(self, request_id: bytes, give_up: float) -> LongRequest:
        """One step by the clock; returns the state after it."""
        with self._store.transaction():
            before = self._find_long(request_id)
            state, packets = self._long.due(before, self._now_s())
        if not packets:
            return state
        is_taken = False
        try:
            is_taken = await self._submit_until(packets, give_up)
        finally:
            if not is_taken:
                with self._store.transaction():
                    self._long.not_taken(before, state, self._now_s())
        return self._find_long(request_id)

    def _find_long(self, request_id: bytes) -> LongRequest:
        state = self._long.find(request_id)
        if state is None:
            raise UserError("this request was forgotten while it was being asked")
        return state

    def _not_taken(self, state: Conversation) -> None:
        """The sending in ``state`` doesn't count."""
        with self._store.transaction():
            now = self._store.conversation(state.request_id)
            if now is not None and now.sendings == state.sendings:
                now, _ = step(now, NotTaken(), self._now_s(), self._draw_wait_s)
                self._store.put_conversation(now)

    def _request_packet(self, state: Conversation, attempt: int) -> Addressed:
        now_s = self._now_s()
        directory = self.member.directory
        gateway, replies = self.member.settings.gateway, self.member.replies
        expires_s = directory.block_expiry_s(gateway, now_s)
        blocks = []
        for _ in range(2):
            back = directory.route(gateway, replies.token, replies.endpoint.public, now_s, self._rng)
            block, secrets = build_reply_block(back, expires_s)
            self._store.put_block(
                Kind.CONVERSATION, state.request_id, secrets.block_id, expires_s, secrets.encode()
            )
            blocks.append(block)
        first, second = blocks
        message = RequestMessage(state.request_id, attempt, state.expires_s, (first, second), state.body)
        service = directory.service(state.service)
        route = directory.route(service.gateway, service.token, service.endpoint_public, now_s, self._rng)
        return build_forward(route, message.encode())

    async def _submit_until(self, packets: list[Addressed], give_up: float) -> bool:
        """Whether the gateway took them before ``give_up``. The same packets again do no harm."""
        while True:
            try:
                await self._submit(packets)
            except Unavailable as error:
                self._polling.trouble = error
                if asyncio.get_running_loop().time() + PAUSE_S > give_up:
                    return False
                await asyncio.sleep(PAUSE_S)
            else:
                return True

    async def _submit(self, packets: list[Addressed]) -> None:
        await self._register()
        await self._link.submit(packets)

    async def _register(self) -> None:
        """Open our mailboxes, if it wasn't done today."""
        if self._store.note(REGISTERED) != self._registered_mark():
            await self._open_mailboxes()

    async def _open_mailboxes(self) -> None:
        await self._link.register([self.member.address.token, self.member.replies.token])
        with self._store.transaction():
            self._store.put_note(REGISTERED, self._registered_mark())

    def _registered_mark(self) -> str:
        return f"{self.member.settings.gateway} {int(self._now_s()) // DAY_S}"

    def _take(self, items: Sequence[Item]) -> Report:
        report = self.intake.take(items, self._now_s())
        # Anyone can send us loops; only ours mean something.
        self.loops |= self._loops_out.intersection(report.loops)
        return report

    def _pending(self, service: str) -> str:
        why = f": {self._polling.trouble}" if self._polling.trouble else ""
        return f"no answer from {service} yet{why}"
