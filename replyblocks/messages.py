"""
Messages between people: the outbox, the inbox, and what lies between a fragment and a message.

Everything is a row before it is a packet. A message is queued in one transaction with the secrets of the
reply blocks it carries; it counts as sent when the gateway has all its packets. Killed in between, the next
command sends it again: the receiver knows a message by its id and takes it once.

Whether a message was read is known only from its answer: our side never acknowledges by itself
(docs/spec/message.md, section 5, says why).
"""

import os
from collections.abc import Sequence
from random import Random
from typing import Literal

from msgspec.structs import replace

from mix.packet.build import (
    ReplyBlock,
    build_forward,
    build_reply_block,
    reply_block_expires_s,
    use_reply_block,
)
from mix.packet.geometry import KEY_ID_BYTES, Addressed
from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import BoxKey
from mixmint.wire import Bytes16, Bytes32, Message
from replyblocks.address import Address, decode_address
from replyblocks.envelope import (
    MOST_BLOCKS,
    MOST_TEXT_BYTES,
    Envelope,
    longest_text,
    open_envelope,
    parts_for,
    seal_envelope,
)
from replyblocks.fragments import Fragment, decode_fragment, join, split
from replyblocks.member import Member
from replyblocks.store import DAY_S, Kind, Store

ADDRESS_CONTEXT = bytes(16)
"""In place of an outbox id: what came to the published address."""

DEFAULT_BLOCKS = 4
KEEP_DAYS = 7
"""How long a message with missing fragments waits for them."""

MOST_FRAGMENTS = 4096
"""Fragments of incomplete messages, at most (8 MB)."""

HOUR_S = 3600

State = Literal["queued", "sent", "answered"]


class OutboxRow(Message, frozen=True):
    """
    A message of ours. ``to`` is an address's text, or empty for an answer, which goes through ``blocks``.

    ``answer_secret`` opens the answer. ``sealed`` is the message as it travels, so that sending it again
    sends the same message.
    """

    id: Bytes16
    state: State
    hour: int
    to: str
    answers: int
    text: str
    answer_secret: Bytes32
    sealed: bytes
    blocks: tuple[bytes, ...]


class InboxRow(Message, frozen=True):
    """A message to us. ``answer_to`` is the outbox number it answers, 0 for none; ``blocks`` are unused."""

    hour: int
    answer_to: int
    text: str
    answer_key: Bytes32
    blocks: tuple[bytes, ...]
    is_read: bool
    is_answered: bool

    def usable_blocks(self, now_s: float) -> tuple[ReplyBlock, ...]:
        """Those that haven't expired."""
        return tuple(
            ReplyBlock(block) for block in self.blocks if reply_block_expires_s(ReplyBlock(block)) > now_s
        )


class Messages:
    """
    The member's messages. Methods that write open their own transaction, but ``take_fragment`` runs in the
    intake's. Numbers (of inbox and outbox) count from 1 and are never used twice.
    """

    def __init__(self, member: Member, store: Store, rng: Random) -> None:
        self._member = member
        self._store = store
        self._rng = rng

    # Writing

    def queue(self, address: Address, text: str, now_s: float, blocks: int = DEFAULT_BLOCKS) -> int:
        """
        Put a message into the outbox; returns its number. ``blocks``: how many packets an answer may take.

        Raises UserError: too long, or the address isn't of this network.
        """
        address.check(self._member.directory)
        _check_text(text)
        if not 0 <= blocks <= MOST_BLOCKS:
            raise UserError(f"a message carries 0 to {MOST_BLOCKS} reply blocks")
        with self._store.transaction():
            return self._queue(address.encode(), address.sealing, text, (), 0, blocks, now_s)

    def queue_answer(self, number: int, text: str, now_s: float) -> int:
        """
        Put an answer to inbox message ``number`` into the outbox, and take the reply blocks that it needs
        out of the inbox; returns the answer's number.

        Raises UserError: no such message, its blocks are used up or have expired, or the text doesn't fit
        them.
        """
        _check_text(text)
        size = len(text.encode())
        with self._store.transaction():
            row = self.message(number)
            usable = row.usable_blocks(now_s)
            if not usable:
                raise UserError(
                    f"message {number} can't be answered (any more): its reply blocks are used or expired"
                )
            # Blocks of our own, for an answer to the answer, as far as there is room for them.
            fitting = [own for own in range(DEFAULT_BLOCKS, -1, -1) if parts_for(size, own) <= len(usable)]
            if not fitting:
                raise UserError(
                    f"the answer has {size} bytes; message {number} can take {longest_text(len(usable), 0)}"
                )
            self._check_blocks(usable)
            parts = parts_for(size, fitting[0])
            used, rest = usable[:parts], usable[parts:]
            answer = self._queue("", row.answer_key, text, used, number, fitting[0], now_s)
            # In the same transaction: a block that is in two places would be used twice.
            self._put_message(number, replace(row, blocks=rest, is_answered=True))
            return answer

    def _queue(
        self,
        to: str,
        receiver: bytes,
        text: str,
        through: Sequence[ReplyBlock],
        answers: int,
        own_blocks: int,
        now_s: float,
    ) -> int:
        outbox_id = os.urandom(16)
        answer_key = BoxKey.generate()
        given = tuple(self._make_block(outbox_id, now_s) for _ in range(own_blocks))
        try:
            sealed = seal_envelope(Envelope(answer_key.public, given, text), receiver)
        except ValueError as error:
            raise UserError(f"can't write to this address: {error}") from None
        row = OutboxRow(
            outbox_id, "queued", _hour(now_s), to, answers, text, answer_key.secret, sealed, tuple(through)
        )
        name = self._store.name(Kind.OUTBOX, outbox_id)
        found = self._store.connection.execute(
            "INSERT INTO outbox (name, waiting, sealed) VALUES (?, 1, ?) RETURNING number",
            (name, self._store.seal(row, name)),
        ).fetchone()
        return int(found[0])

    def _make_block(self, outbox_id: bytes, now_s: float) -> ReplyBlock:
        directory, gateway = self._member.directory, self._member.settings.gateway
        replies = self._member.replies
        expires_s = directory.block_expiry_s(gateway, now_s)
        route = directory.route(gateway, replies.token, replies.endpoint.public, now_s, self._rng)
        block, secrets = build_reply_block(route, expires_s)
        self._store.put_block(Kind.OUTBOX, outbox_id, secrets.block_id, expires_s, secrets.encode())
        return block

    def _check_blocks(self, blocks: Sequence[ReplyBlock]) -> None:
        """Raises UserError for blocks that don't begin at a first mix: our gateway would refuse them all."""
        directory = self._member.directory
        first = {
            key.key_id for cascade in directory.cascades for key in directory.node(cascade[0]).sphinx_keys
        }
        if any(block[:KEY_ID_BYTES] not in first for block in blocks):
            raise UserError("the reply blocks of this message lead nowhere; it can't be answered")

    # Sending

    def queued(self) -> list[int]:
        """Numbers of the messages that the gateway doesn't have yet, as far as we know."""
        rows = self._store.connection.execute("SELECT number FROM outbox WHERE waiting ORDER BY number")
        return [number for (number,) in rows]

    def packets(self, number: int, now_s: float) -> list[Addressed]:
        """
        The packets of an outbox message: to an address by fresh routes, an answer by its blocks in their
        order.

        The same block always carries the same fragment, so a packet sent twice is twice the same packet.
        """
        _, row = self._outbox_row(number)
        fragments = [fragment.encode() for fragment in split(row.sealed)]
        if row.blocks:
            return [
                use_reply_block(ReplyBlock(block), data)
                for block, data in zip(row.blocks, fragments, strict=True)
            ]
        address = decode_address(row.to)
        directory = self._member.directory
        return [
            build_forward(
                directory.route(address.gateway, address.token, address.endpoint, now_s, self._rng), data
            )
            for data in fragments
        ]

    def sent(self, number: int) -> None:
        """The gateway has all of the message's packets."""
        with self._store.transaction():
            name, row = self._outbox_row(number)
            if row.state == "queued":
                self._put_outbox(name, replace(row, state="sent"), waiting=False)

    def send_again(self, number: int) -> None:
        """
        Queue a sent message again, for somebody who never got all of it. It can't be delivered twice.

        Raises UserError: no such message, or it is an answer, whose reply blocks can't be used again.
        """
        with self._store.transaction():
            name, row = self._outbox_row(number)
            if row.blocks:
                raise UserError("an answer can't be sent again: its reply blocks are used; write a new one")
            self._put_outbox(name, replace(row, state="queued"), waiting=True)

    # Receiving

    def take_fragment(self, data: bytes, outbox_id: bytes | None, now_s: float) -> int:
        """
        Keep a fragment that came to our address (``outbox_id`` None) or by a block of an outbox message.

        Returns 1 when it completed a message, which is in the inbox then, else 0. Raises MalformedMessage
        when it is dropped. Runs inside the caller's transaction.
        """
        fragment = decode_fragment(data)
        delivered = self._store.name(Kind.DELIVERED, fragment.message_id)
        execute = self._store.connection.execute
        if execute("SELECT 1 FROM delivered WHERE name = ?", (delivered,)).fetchone():
            raise MalformedMessage("delivered")
        parts = self._collect(fragment, outbox_id or ADDRESS_CONTEXT, now_s)
        if parts is None:
            return 0
        sealed = join(fragment.message_id, parts)
        # Marked before it is opened: one that doesn't open is not put together a second time either.
        execute("INSERT INTO delivered (name) VALUES (?)", (delivered,))
        self._deliver(sealed, outbox_id, now_s)
        return 1

    def _collect(self, fragment: Fragment, context: bytes, now_s: float) -> dict[int, bytes] | None:
        """Store one fragment; all parts once they are there, and then they are deleted."""
        execute = self._store.connection.execute
        # Context and count are part of the name, so fragments that disagree never meet.
        name = self._store.name(Kind.FRAGMENT, context, fragment.message_id, fragment.parts.to_bytes(1))
        execute(
            "INSERT INTO fragment (message, part, day, sealed) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (name, fragment.part, int(now_s) // DAY_S, self._store.seal_bytes(fragment.data, name)),
        )
        rows = execute("SELECT part, sealed FROM fragment WHERE message = ?", (name,)).fetchall()
        if len(rows) < fragment.parts:
            self._make_room()
            return None
        execute("DELETE FROM fragment WHERE message = ?", (name,))
        return {part: self._store.open_bytes(sealed, name) for part, sealed in rows}

    def _make_room(self) -> None:
        """
        Drop the oldest incomplete message when there are too many.

        The oldest, because an honest message is complete within a round trip or so: somebody who fills the
        store with fragments pushes out mostly his own.
        """
        execute = self._store.connection.execute
        (kept,) = execute("SELECT COUNT(*) FROM fragment").fetchone()
        if kept > MOST_FRAGMENTS:
            execute(
                "DELETE FROM fragment WHERE message = (SELECT message FROM fragment ORDER BY rowid LIMIT 1)"
            )

    def _deliver(self, sealed: bytes, outbox_id: bytes | None, now_s: float) -> None:
        answer_to = 0
        key = self._member.sealing
        if outbox_id is not None:
            answer_to, key = self._answered(outbox_id)
        envelope = open_envelope(sealed, key)
        row = InboxRow(
            _hour(now_s), answer_to, envelope.text, envelope.answer_key, envelope.blocks, False, False
        )
        found = self._store.connection.execute(
            "INSERT INTO inbox (sealed) VALUES (x'') RETURNING number"
        ).fetchone()
        self._put_message(int(found[0]), row)

    def _answered(self, outbox_id: bytes) -> tuple[int, BoxKey]:
        """The outbox message that an answer belongs to, and the key that opens it."""
        name = self._store.name(Kind.OUTBOX, outbox_id)
        found = self._store.connection.execute(
            "SELECT number, sealed FROM outbox WHERE name = ?", (name,)
        ).fetchone()
        if found is None:
            raise MalformedMessage("forgotten")
        row = self._store.open(found[1], name, OutboxRow)
        self._put_outbox(name, replace(row, state="answered"), waiting=False)
        return int(found[0]), BoxKey(row.answer_secret)

    # Reading

    def inbox(self) -> list[tuple[int, InboxRow]]:
        """All messages to us, oldest first."""
        numbers = self._store.connection.execute("SELECT number FROM inbox ORDER BY number").fetchall()
        return [(number, self.message(number)) for (number,) in numbers]

    def message(self, number: int) -> InboxRow:
        """Raises UserError when there is none of this number."""
        found = self._store.connection.execute(
            "SELECT sealed FROM inbox WHERE number = ?", (number,)
        ).fetchone()
        if found is None:
            raise UserError(f"there is no message {number}; run: mixmint inbox")
        return self._store.open(found[0], _inbox_context(number), InboxRow)

    def mark_read(self, number: int) -> None:
        with self._store.transaction():
            self._put_message(number, replace(self.message(number), is_read=True))

    def delete(self, number: int) -> None:
        """Raises UserError when there is none of this number."""
        with self._store.transaction():
            self.message(number)
            self._store.connection.execute("DELETE FROM inbox WHERE number = ?", (number,))

    def outbox(self) -> list[tuple[int, OutboxRow]]:
        """All messages of ours, oldest first."""
        rows = self._store.connection.execute(
            "SELECT number, name, sealed FROM outbox ORDER BY number"
        ).fetchall()
        return [(number, self._store.open(sealed, name, OutboxRow)) for number, name, sealed in rows]

    def _put_message(self, number: int, row: InboxRow) -> None:
        sealed = self._store.seal(row, _inbox_context(number))
        self._store.connection.execute("UPDATE inbox SET sealed = ? WHERE number = ?", (sealed, number))

    def _outbox_row(self, number: int) -> tuple[bytes, OutboxRow]:
        found = self._store.connection.execute(
            "SELECT name, sealed FROM outbox WHERE number = ?", (number,)
        ).fetchone()
        if found is None:
            raise UserError(f"the outbox has no message {number}; run: mixmint inbox sent")
        return found[0], self._store.open(found[1], found[0], OutboxRow)

    def _put_outbox(self, name: bytes, row: OutboxRow, *, waiting: bool) -> None:
        self._store.connection.execute(
            "UPDATE outbox SET waiting = ?, sealed = ? WHERE name = ?",
            (waiting, self._store.seal(row, name), name),
        )


def _check_text(text: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MOST_TEXT_BYTES:
        raise UserError(f"the message has {size} bytes; at most {MOST_TEXT_BYTES} can be sent")
    if not text.strip():
        raise UserError("the message is empty; write it on standard input, or name it with --file")


def _hour(now_s: float) -> int:
    """Times are kept to the hour: when exactly a person was here is nobody's business later."""
    return int(now_s) // HOUR_S * HOUR_S


def _inbox_context(number: int) -> bytes:
    return b"inbox" + number.to_bytes(8)
