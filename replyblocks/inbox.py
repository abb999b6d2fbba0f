"""
The inbox: from fragments that arrive in any order to messages that can be read and answered.

A message is delivered exactly once: its id is recorded in the transaction that stores it, before any packet
of it is acknowledged. Whether it was read, its sender learns only from an answer: our side never
acknowledges by itself (docs/spec/message.md, section 5, says why).
"""

from msgspec.structs import replace

from mix.directory import Directory
from mix.packet.build import ReplyBlock
from mixmint.errors import MalformedMessage, UserError
from mixmint.wire import Bytes32, Message
from replyblocks.blocks import first_mix_keys, is_usable
from replyblocks.envelope import open_envelope
from replyblocks.fragments import Fragment, decode_fragment, join
from replyblocks.member import Member
from replyblocks.outbox import Outbox
from replyblocks.store import DAY_S, Kind, Store, to_hour

ADDRESS_CONTEXT = bytes(16)
"""In place of an outbox id: what came to the published address."""

MOST_FRAGMENTS = 4096
"""Fragments of incomplete messages, at most (8 MB)."""


class InboxRow(Message, frozen=True):
    """A message to us. ``answer_to`` is the outbox number it answers, 0 for none; ``blocks`` are unused."""

    hour: int
    answer_to: int
    text: str
    answer_key: Bytes32
    blocks: tuple[bytes, ...]
    is_read: bool
    is_answered: bool

    def usable_blocks(self, directory: Directory, now_s: float) -> tuple[ReplyBlock, ...]:
        """Those that an answer can go through now."""
        first = first_mix_keys(directory, now_s)
        return tuple(ReplyBlock(block) for block in self.blocks if is_usable(ReplyBlock(block), first, now_s))


class Inbox:
    """Numbers count from 1 and are never used twice."""

    def __init__(self, member: Member, store: Store, outbox: Outbox) -> None:
        self._member = member
        self._store = store
        self._outbox = outbox

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
            answer_to, key = self._outbox.find(outbox_id)
        envelope = open_envelope(sealed, key)
        if outbox_id is not None:
            self._outbox.mark_answered(outbox_id)
        row = InboxRow(
            to_hour(now_s), answer_to, envelope.text, envelope.answer_key, envelope.blocks, False, False
        )
        found = self._store.connection.execute(
            "INSERT INTO inbox (sealed) VALUES (x'') RETURNING number"
        ).fetchone()
        self._put(int(found[0]), row)

    def all(self) -> list[tuple[int, InboxRow]]:
        """All messages to us, oldest first."""
        numbers = self._store.connection.execute("SELECT number FROM inbox ORDER BY number").fetchall()
        return [(number, self.get(number)) for (number,) in numbers]

    def after(self, number: int, most: int) -> list[tuple[int, InboxRow]]:
        """The ``most`` oldest messages behind this number (0: from the first), oldest first."""
        rows = self._store.connection.execute(
            "SELECT number, sealed FROM inbox WHERE number > ? ORDER BY number LIMIT ?", (number, most)
        ).fetchall()
        return [(found, self._open(found, sealed)) for found, sealed in rows]

    def get(self, number: int) -> InboxRow:
        """Raises UserError when there is none of this number."""
        found = self._store.connection.execute(
            "SELECT sealed FROM inbox WHERE number = ?", (number,)
        ).fetchone()
        if found is None:
            raise UserError(f"there is no message {number}; run: mixmint inbox")
        return self._open(number, found[0])

    def _open(self, number: int, sealed: bytes) -> InboxRow:
        return self._store.open(sealed, _inbox_context(number), InboxRow)

    def has_unread(self) -> bool:
        return any(not row.is_read for _, row in self.all())

    def mark_read(self, *numbers: int) -> None:
        """Raises UserError when there is none of a number."""
        with self._store.transaction():
            for number in numbers:
                self._put(number, replace(self.get(number), is_read=True))

    def delete(self, number: int) -> None:
        """Raises UserError when there is none of this number."""
        with self._store.transaction():
            self.get(number)
            self._store.connection.execute("DELETE FROM inbox WHERE number = ?", (number,))

    def take_blocks(self, number: int, rest: tuple[ReplyBlock, ...]) -> None:
        """
        Leave only ``rest`` of a message's reply blocks: the others are used. Inside the caller's
        transaction.
        """
        self._put(number, replace(self.get(number), blocks=rest, is_answered=True))

    def _put(self, number: int, row: InboxRow) -> None:
        sealed = self._store.seal(row, _inbox_context(number))
        self._store.connection.execute("UPDATE inbox SET sealed = ? WHERE number = ?", (sealed, number))


def _inbox_context(number: int) -> bytes:
    return b"inbox" + number.to_bytes(8)
