"""
The asker's side of long requests, on disk: states, parts, packets.

Everything here runs inside the caller's transaction. A state is written together with the secrets of the
reply blocks that its packets carry, before these packets exist anywhere else; killed in between, what was to
be sent counts as lost, and the service's next answer names it.
"""

from dataclasses import replace
from random import Random

from mix.packet.build import ReplyBlock, build_forward, build_reply_block
from mix.packet.geometry import Addressed
from mixmint.errors import MalformedMessage, UserError
from mixmint.wire import Bytes16, Message
from replyblocks.conversation import NEVER, Clock
from replyblocks.formats import Format
from replyblocks.long.conversation import (
    MOST_SILENT,
    NONE,
    Arrived,
    Event,
    ForgetBlocks,
    KeepPart,
    LongRequest,
    Phase,
    SendAsk,
    SendParts,
    State,
    Waits,
    ask,
    step,
)
from replyblocks.long.formats import Ask, Head, Part, decode_part, decode_state
from replyblocks.long.parts import cut, digest, from_bits, join, to_bits
from replyblocks.member import Member
from replyblocks.store import Kind, Store
from replyblocks.timing import WAITS, RoundTrip

MOST_LONG = 16
"""Long requests in one home: at 2 MiB each with its answer."""

MOST_BLOCKS = 1024
"""Reply blocks that one request may have out; beyond, the older ones are given up."""

REQUEST, ANSWER = 0, 1
_NO_ANSWER = -1


class LongRow(Message, frozen=True):
    """A LongRequest at rest; sets of parts as bits, ``next_ms`` -1 for never."""

    request_id: Bytes16
    service: str
    digest: Bytes16
    size: int
    expires_s: int
    missing: bytes
    phase: int
    answer_digest: bytes
    answer_size: int
    wanted: bytes
    asked: bytes
    silent: int
    next_ms: int


class LongRequests:
    """All long requests of a member."""

    def __init__(self, member: Member, store: Store, trip: RoundTrip, rng: Random) -> None:
        self._member = member
        self._store = store
        self._rng = rng
        self._waits = Waits(
            lambda: trip.gap_s(rng), lambda silent: trip.wait_s(min(silent, len(WAITS) - 1), rng)
        )

    def find(self, request_id: bytes) -> LongRequest | None:
        name = self._store.name(Kind.LONG, request_id)
        found = self._store.connection.execute(
            "SELECT sealed FROM long_request WHERE name = ?", (name,)
        ).fetchone()
        return None if found is None else _unpack(self._store.open(found[0], name, LongRow))

    def all(self) -> list[LongRequest]:
        rows = self._store.connection.execute("SELECT name, sealed FROM long_request").fetchall()
        return [_unpack(self._store.open(sealed, name, LongRow)) for name, sealed in rows]

    def ask(self, service: str, request_id: bytes, body: bytes, expires_s: int, now_s: float) -> LongRequest:
        """
        Begin, or go on with, a request. Raises UserError when its id stands for another one, or too many are
        kept.
        """
        before = self.find(request_id)
        state = ask(before, service, Head(request_id, digest(body), len(body), expires_s), now_s)
        if before is None:
            (kept,) = self._store.connection.execute("SELECT COUNT(*) FROM long_request").fetchone()
            if kept >= MOST_LONG:
                raise UserError(f"{kept} long requests are still open; wait until they are done")
            for part in range(state.head.parts):
                self._put_part(request_id, REQUEST, part, cut(body, part))
        if state != before:
            self.put(state)
        return state

    def due(self, state: LongRequest, now_s: float) -> tuple[LongRequest, list[Addressed]]:
        """One step by the clock: the state after it, and the packets to send."""
        later, effects = step(state, Clock(), now_s, self._waits)
        if later == state:
            return state, []
        self.put(later)
        packets = []
        for effect in effects:
            if isinstance(effect, SendParts):
                packets += [self._part_packet(later, part, now_s) for part in effect.parts]
            elif isinstance(effect, SendAsk):
                packets.append(self._ask_packet(later, effect, now_s))
        return later, packets

    def not_taken(self, before: LongRequest, after: LongRequest, now_s: float) -> None:
        """The gateway didn't take what ``after`` sent, as far as we know: that step doesn't count."""
        now = self.find(after.head.request_id)
        # Times are rounded on disk; nothing else may have changed in the meantime.
        if now is not None and replace(now, next_s=0.0) == replace(after, next_s=0.0):
            self.put(replace(before, next_s=now_s))

    def take(self, request_id: bytes, message: bytes, now_s: float) -> bool:
        """
        What came by a reply block of this request; whether the answer is complete now.

        Raises MalformedMessage when it is dropped.
        """
        state = self.find(request_id)
        if state is None:
            raise MalformedMessage("forgotten")
        event: Event
        if message[:1] == Format.LONG_STATE.to_bytes(1):
            part, event = None, State(from_bits(decode_state(message, request_id), state.head.parts))
        else:
            part = decode_part(message, Format.LONG_ANSWER)
            if part.head.request_id != request_id or state.answer not in (None, part.head):
                raise MalformedMessage("foreign")
            event = Arrived(part.head, part.part)
        later, effects = step(state, event, now_s, self._waits)
        for effect in effects:
            if isinstance(effect, KeepPart) and part is not None:
                self._put_part(request_id, ANSWER, part.part, part.data)
            elif isinstance(effect, ForgetBlocks):
                self._store.forget_blocks(Kind.LONG, request_id)
        if later != state:
            self.put(later)
        if not later.is_done or state.is_done:
            return False
        self._check(later)
        return True

    def answer(self, state: LongRequest) -> bytes:
        """The whole answer of a request that is done; empty when the service refused it."""
        if state.answer is None:
            raise ValueError("there is no answer yet")
        parts = {part: self._part(state.head.request_id, ANSWER, part) for part in range(state.answer.parts)}
        return join(parts, state.answer.digest)

    def forget(self, request_id: bytes) -> None:
        """All of it. Idempotent."""
        name = self._store.name(Kind.LONG, request_id)
        self._store.connection.execute("DELETE FROM long_request WHERE name = ?", (name,))
        self._store.connection.execute("DELETE FROM long_part WHERE name = ?", (name,))
        self._store.forget_blocks(Kind.LONG, request_id)

    def put(self, state: LongRequest) -> None:
        """Write a state."""
        name = self._store.name(Kind.LONG, state.head.request_id)
        self._store.connection.execute(
            "INSERT OR REPLACE INTO long_request (name, sealed) VALUES (?, ?)",
            (name, self._store.seal(_pack(state), name)),
        )

    def _check(self, state: LongRequest) -> None:
        """A service whose parts don't make up what it named isn't asked for them a second time."""
        try:
            self.answer(state)
        except MalformedMessage:
            name = self._store.name(Kind.LONG, state.head.request_id)
            self._store.connection.execute(
                "DELETE FROM long_part WHERE name = ? AND side = ?", (name, ANSWER)
            )
            self.put(_given_up(state))
            raise

    def _part_packet(self, state: LongRequest, part: int, now_s: float) -> Addressed:
        data = self._part(state.head.request_id, REQUEST, part)
        return self._packet(state, Part(state.head, part, data).encode(Format.LONG_PART), now_s)

    def _ask_packet(self, state: LongRequest, effect: SendAsk, now_s: float) -> Addressed:
        pairs = tuple((part, self._block(state, now_s)) for part in effect.parts)
        return self._packet(state, Ask(state.head, effect.attempt, pairs).encode(), now_s)

    def _block(self, state: LongRequest, now_s: float) -> ReplyBlock:
        directory, replies = self._member.directory, self._member.replies
        gateway, request_id = self._member.settings.gateway, state.head.request_id
        owner = self._store.name(Kind.LONG, request_id)
        (out,) = self._store.connection.execute(
            "SELECT COUNT(*) FROM block WHERE owner = ?", (owner,)
        ).fetchone()
        if out >= MOST_BLOCKS:
            self._store.forget_blocks(Kind.LONG, request_id)
        expires_s = directory.block_expiry_s(gateway, now_s)
        back = directory.route(gateway, replies.token, replies.endpoint.public, now_s, self._rng)
        block, secrets = build_reply_block(back, expires_s)
        self._store.put_block(Kind.LONG, request_id, secrets.block_id, expires_s, secrets.encode())
        return block

    def _packet(self, state: LongRequest, message: bytes, now_s: float) -> Addressed:
        service = self._member.directory.service(state.service)
        route = self._member.directory.route(
            service.gateway, service.token, service.endpoint_public, now_s, self._rng
        )
        return build_forward(route, message)

    def _put_part(self, request_id: bytes, side: int, part: int, data: bytes) -> None:
        name = self._store.name(Kind.LONG, request_id)
        self._store.connection.execute(
            "INSERT INTO long_part (name, side, part, sealed) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (name, side, part, self._store.seal_bytes(data, _context(name, side, part))),
        )

    def _part(self, request_id: bytes, side: int, part: int) -> bytes:
        name = self._store.name(Kind.LONG, request_id)
        (sealed,) = self._store.connection.execute(
            "SELECT sealed FROM long_part WHERE name = ? AND side = ? AND part = ?", (name, side, part)
        ).fetchone()
        return self._store.open_bytes(sealed, _context(name, side, part))


def _context(name: bytes, side: int, part: int) -> bytes:
    return name + side.to_bytes(1) + part.to_bytes(2)


def _given_up(state: LongRequest) -> LongRequest:
    """As if nothing had come, and nothing more to be sent until it is asked again after its expiry."""
    return replace(
        state,
        phase=Phase.ASKING,
        answer=None,
        wanted=NONE,
        asked=NONE,
        silent=MOST_SILENT,
        next_s=NEVER,
    )


def _pack(state: LongRequest) -> LongRow:
    head, answer = state.head, state.answer
    count = 0 if answer is None else answer.parts
    return LongRow(
        head.request_id,
        state.service,
        head.digest,
        head.size,
        head.expires_s,
        to_bits(state.missing, head.parts),
        state.phase,
        b"" if answer is None else answer.digest,
        _NO_ANSWER if answer is None else answer.size,
        to_bits(state.wanted, count),
        to_bits(state.asked, count),
        state.silent,
        -1 if state.next_s == NEVER else int(state.next_s * 1000),
    )


def _unpack(row: LongRow) -> LongRequest:
    head = Head(row.request_id, row.digest, row.size, row.expires_s)
    answer = (
        None if row.answer_size == _NO_ANSWER else Head(row.request_id, row.answer_digest, row.answer_size)
    )
    count = 0 if answer is None else answer.parts
    return LongRequest(
        row.service,
        head,
        from_bits(row.missing, head.parts),
        Phase(row.phase),
        answer,
        from_bits(row.wanted, count),
        from_bits(row.asked, count),
        row.silent,
        NEVER if row.next_ms < 0 else row.next_ms / 1000,
    )
