"""
Messages between people: an inbox, an outbox, and the answers that take from one and go into the other.
"""

from contextlib import AbstractContextManager
from random import Random

from mixmint.errors import UserError
from replyblocks.envelope import longest_text, parts_for
from replyblocks.inbox import Inbox
from replyblocks.member import Member
from replyblocks.outbox import DEFAULT_BLOCKS, Outbox, check_text
from replyblocks.store import Store


class Messages:
    """A member's messages."""

    def __init__(self, member: Member, store: Store, rng: Random) -> None:
        self._member = member
        self._store = store
        self.outbox = Outbox(member, store, rng)
        self.inbox = Inbox(member, store, self.outbox)

    def transaction(self) -> AbstractContextManager[None]:
        """For what must be stored together. Raises UserError when the disk is full."""
        return self._store.transaction()

    def note(self, name: str) -> str:
        """A small value that is kept with the messages, empty when there is none."""
        return self._store.note(name)

    def put_note(self, name: str, value: str) -> None:
        """Inside a transaction."""
        self._store.put_note(name, value)

    def answer(self, number: int, text: str, now_s: float) -> int:
        """
        Put an answer to inbox message ``number`` into the outbox, and take the reply blocks that it needs
        out of the inbox; returns the answer's number.

        Raises UserError: no such message, its blocks are used up or have expired, or the text doesn't fit
        them.
        """
        size = len(check_text(text))
        with self._store.transaction():
            row = self.inbox.get(number)
            usable = row.usable_blocks(self._member.directory, now_s)
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
            parts = parts_for(size, fitting[0])
            used, rest = usable[:parts], usable[parts:]
            answer = self.outbox.queue_through(used, row.answer_key, text, number, fitting[0], now_s)
            # In the same transaction: a block that is in two places would be used twice.
            self.inbox.take_blocks(number, rest)
            return answer
