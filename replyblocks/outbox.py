"""
The outbox: messages of ours, from being written to being answered.

Everything is a row before it is a packet. A message is queued in one transaction with the secrets of the
reply blocks that it carries; it counts as sent when the gateway has all its packets. Killed in between, the
next command sends it again, and its receiver, who knows a message by its id, takes it once.
"""

import os
from collections.abc import Sequence
from random import Random
from typing import Literal

from msgspec.structs import replace

from mix.packet.build import ReplyBlock, build_forward, build_reply_block, use_reply_block
from mix.packet.geometry import Addressed
from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import BoxKey
from mixmint.wire import Bytes16, Bytes32, Message
from replyblocks.address import Address, decode_address
from replyblocks.blocks import first_mix_keys, is_usable
from replyblocks.delivery import Delivery, of_message
from replyblocks.envelope import MOST_BLOCKS, MOST_TEXT_BYTES, Envelope, seal_envelope
from replyblocks.fragments import split
from replyblocks.member import Member
from replyblocks.store import DAY_S, Kind, Store, to_hour

DEFAULT_BLOCKS = 4

State = Literal["queued", "sent", "answered", "expired"]
"""expired: what it was to go through (an answer's reply blocks, an address's gateway) is gone."""


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


class Outbox:
    """Numbers count from 1 and are never used twice."""

    def __init__(self, member: Member, store: Store, rng: Random) -> None:
        self._member = member
        self._store = store
        self._rng = rng

    def queue(self, address: Address, text: str, now_s: float, blocks: int = DEFAULT_BLOCKS) -> int:
        """
        Put a message into the outbox; returns its number. ``blocks``: how many packets an answer may take.

        Raises UserError: too long, or the address isn't of this network.
        """
        address.check(self._member.directory)
        check_text(text)
        if not 0 <= blocks <= MOST_BLOCKS:
            raise UserError(f"a message carries 0 to {MOST_BLOCKS} reply blocks")
        with self._store.transaction():
            return self._queue(address.encode(), address.sealing, text, (), 0, blocks, now_s)

    def queue_through(
        self,
        blocks: Sequence[ReplyBlock],
        answer_key: bytes,
        text: str,
        answers: int,
        own_blocks: int,
        now_s: float,
    ) -> int:
        """
        Put an answer to inbox message ``answers`` into the outbox, to go through exactly these blocks;
        returns its number. Runs inside the caller's transaction, which takes the blocks out of the inbox.
        """
        return self._queue("", answer_key, text, blocks, answers, own_blocks, now_s)

    def expect(self, about: str, blocks: int, now_s: float) -> tuple[int, bytes, tuple[ReplyBlock, ...]]:
        """
        Make reply blocks that are given away otherwise than by a message: number, the key (32 bytes) that
        what comes by them is sealed to, the blocks. What comes is an answer to this number.

        ``about``: what the member sees in his outbox. Raises UserError when the disk is full.
        """
        outbox_id, key = os.urandom(16), BoxKey.generate()
        name = self._store.name(Kind.OUTBOX, outbox_id)
        with self._store.transaction():
            given = tuple(self._make_block(outbox_id, now_s) for _ in range(blocks))
            row = OutboxRow(outbox_id, "sent", to_hour(now_s), "", 0, about, key.secret, b"", ())
            found = self._store.connection.execute(
                "INSERT INTO outbox (name, waiting, sealed, given) VALUES (?, 0, ?, ?) RETURNING number",
                (name, self._store.seal(row, name), blocks),
            ).fetchone()
        return int(found[0]), key.public, given

    def key(self, number: int) -> BoxKey:
        """What opens answers to this message. Raises UserError when there is none of this number."""
        return BoxKey(self._row(number)[1].answer_secret)

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
            outbox_id, "queued", to_hour(now_s), to, answers, text, answer_key.secret, sealed, tuple(through)
        )
        name = self._store.name(Kind.OUTBOX, outbox_id)
        found = self._store.connection.execute(
            "INSERT INTO outbox (name, waiting, sealed, given) VALUES (?, 1, ?, ?) RETURNING number",
            (name, self._store.seal(row, name), own_blocks),
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

    def queued(self) -> list[int]:
        """Numbers of the messages that the gateway doesn't have yet, as far as we know."""
        rows = self._store.connection.execute("SELECT number FROM outbox WHERE waiting ORDER BY number")
        return [number for (number,) in rows]

    def packets(self, number: int, now_s: float) -> list[Addressed]:
        """
        The packets of an outbox message: to an address by fresh routes, an answer by its blocks, in order.

        The same block always carries the same fragment, so a packet sent twice is twice the same packet.
        Empty, and the message isn't queued any longer, when its blocks have died in the meantime, or its
        address's gateway has left the directory: it must not hold up those behind it.
        """
        name, row = self._row(number)
        directory = self._member.directory
        fragments = [fragment.encode() for fragment in split(row.sealed)]
        if row.blocks:
            first = first_mix_keys(directory, now_s)
            if not all(is_usable(ReplyBlock(block), first, now_s) for block in row.blocks):
                return self._expire(name, row)
            return [
                use_reply_block(ReplyBlock(block), data)
                for block, data in zip(row.blocks, fragments, strict=True)
            ]
        address = decode_address(row.to)
        if address.gateway not in directory.gateway_names():
            return self._expire(name, row)
        return [
            build_forward(
                directory.route(address.gateway, address.token, address.endpoint, now_s, self._rng), data
            )
            for data in fragments
        ]

    def _expire(self, name: bytes, row: OutboxRow) -> list[Addressed]:
        with self._store.transaction():
            self._put(name, replace(row, state="expired"), waiting=False)
        return []

    def sent(self, number: int) -> None:
        """The gateway has all of the message's packets."""
        with self._store.transaction():
            name, row = self._row(number)
            if row.state == "queued":
                self._put(name, replace(row, state="sent"), waiting=False)

    def send_again(self, number: int) -> None:
        """
        Queue a sent message again, for somebody who never got all of it. It can't be delivered twice.

        Raises UserError: no such message, or it is an answer, whose reply blocks can't be used again.
        """
        with self._store.transaction():
            name, row = self._row(number)
            if row.blocks:
                raise UserError("an answer can't be sent again: its reply blocks are used; write a new one")
            if not row.to:
                raise UserError(f"message {number} was never sent: its reply blocks went with something else")
            self._put(name, replace(row, state="queued"), waiting=True)

    def find(self, outbox_id: bytes) -> tuple[int, BoxKey]:
        """
        The number of a message that an answer came for, and the key that opens the answer.

        Raises MalformedMessage when it is no longer known.
        """
        number, row = self._by_name(self._store.name(Kind.OUTBOX, outbox_id))
        return number, BoxKey(row.answer_secret)

    def mark_answered(self, outbox_id: bytes) -> None:
        """Inside the caller's transaction."""
        name = self._store.name(Kind.OUTBOX, outbox_id)
        _, row = self._by_name(name)
        self._put(name, replace(row, state="answered"), waiting=False)

    def all(self) -> list[tuple[int, OutboxRow]]:
        """All messages of ours, oldest first."""
        rows = self._store.connection.execute(
            "SELECT number, name, sealed FROM outbox ORDER BY number"
        ).fetchall()
        return [(number, self._store.open(sealed, name, OutboxRow)) for number, name, sealed in rows]

    def deliveries(self, now_s: float) -> dict[int, Delivery]:
        """What became of each message, by its number."""
        rows = self._store.connection.execute(
            "SELECT number, name, sealed, given, EXISTS"
            " (SELECT 1 FROM block WHERE owner = outbox.name AND expires_day >= ?) FROM outbox",
            (int(now_s) // DAY_S,),
        ).fetchall()
        found = {}
        for number, name, sealed, given, is_answerable in rows:
            row = self._store.open(sealed, name, OutboxRow)
            found[number] = of_message(
                row.state, row.hour, given, is_answerable=bool(is_answerable), now_s=now_s
            )
        return found

    def _row(self, number: int) -> tuple[bytes, OutboxRow]:
        found = self._store.connection.execute(
            "SELECT name, sealed FROM outbox WHERE number = ?", (number,)
        ).fetchone()
        if found is None:
            raise UserError(f"the outbox has no message {number}; run: mixmint inbox sent")
        return found[0], self._store.open(found[1], found[0], OutboxRow)

    def _by_name(self, name: bytes) -> tuple[int, OutboxRow]:
        found = self._store.connection.execute(
            "SELECT number, sealed FROM outbox WHERE name = ?", (name,)
        ).fetchone()
        if found is None:
            raise MalformedMessage("forgotten")
        return int(found[0]), self._store.open(found[1], name, OutboxRow)

    def _put(self, name: bytes, row: OutboxRow, *, waiting: bool) -> None:
        self._store.connection.execute(
            "UPDATE outbox SET waiting = ?, sealed = ? WHERE name = ?",
            (waiting, self._store.seal(row, name), name),
        )


def check_text(text: str) -> bytes:
    """The text's bytes. Raises UserError: nothing in it, too long, or no Unicode."""
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError("the text isn't valid Unicode; messages are text") from None
    if len(data) > MOST_TEXT_BYTES:
        raise UserError(f"the message has {len(data)} bytes; at most {MOST_TEXT_BYTES} can be sent")
    if not data.strip():
        raise UserError("the message is empty; write it on standard input, or name it with --file")
    return data
