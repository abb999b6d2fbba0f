"""
The way back from payer to payee: a request's reply blocks. Neither learns who the other is.

On the payee's side a request's blocks belong to a message that is never sent; what comes by them is an answer
to it, in the inbox. On the payer's side a notice is an answer that goes through them. So everything that
messages do (fragments, blocks used once, nothing delivered twice) holds here too.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from mix.packet.build import ReplyBlock
from mixmint.errors import UserError
from mixmint.keys import BoxKey
from replyblocks.blocks import first_mix_keys, is_usable
from replyblocks.envelope import Envelope, parts_for, seal_envelope
from replyblocks.post import Post
from wallet.payment_request import ReplyTo

LOOKED_AT = "payment-notices"
"""The note in the post's file that has the newest inbox number that was looked at: it goes with the inbox."""
MOST_A_LOOK = 2000
"""So many of the inbox's numbers at most between two ``keep``."""
_PAGE = 100
MOST_WAIT_S = 30.0
"""A command waits no longer for what its other side may never send."""
POLL_S = 2.0


class Letters(Protocol):
    """Between a payer and his payee. What is queued is on disk, and goes with the next ``carry``."""

    @property
    def is_loaded(self) -> bool:
        """Whether something is queued."""

    def expect(self, about: str, blocks: int) -> tuple[int, ReplyTo]:
        """A way back for a request of ours; the number under which ``arrived`` finds what came by it."""

    def check(self, reply: ReplyTo) -> None:
        """Before anything is done of which the payee must be told. Raises UserError: it can't be sent."""

    def queue(self, reply: ReplyTo, text: str, *, used: int = 0, last: bool = False) -> int:
        """
        Send this back, through the first blocks or (``last``) the last ones of those behind the ``used``
        first ones; how many it takes. Doing it again is harmless: of what goes through one block only one
        packet arrives.

        Raises UserError: too long for the blocks that are left, or they have expired.
        """

    async def carry(self, expected: int = 0) -> None:
        """
        Send what is queued, and fetch what waits; with ``expected``, wait a while until something is there
        under this number. Raises Unavailable.
        """

    def arrived(self) -> dict[int, list[str]]:
        """
        What has come since the last ``keep``, by number, the oldest first. Of very much only the beginning:
        the rest is there after the next ``keep``.
        """

    def keep(self) -> None:
        """What ``arrived`` gave is dealt with, for good."""

    def key(self, number: int) -> BoxKey:
        """What opens that which was sealed to the request's key."""


def check_room(parts: int, reply: ReplyTo, used: int) -> None:
    """Whether so many packets fit the blocks behind the ``used`` first ones. Raises UserError."""
    left = len(reply.blocks) - used
    if parts <= left:
        return
    if not used:
        raise UserError("this is too long for the request's reply blocks; use --out FILE instead")
    raise UserError(
        f"of the request's {len(reply.blocks)} reply blocks, which work once each, {max(left, 0)} are left: "
        "too few for this; use --out FILE instead"
    )


class LettersByPost:
    """Over a member's post."""

    def __init__(self, post: Post, now_s: Callable[[], float]) -> None:
        self._post = post
        self._now_s = now_s
        self._kept = self._seen = int(post.messages.note(LOOKED_AT) or 0)
        self._found: dict[int, list[str]] = {}

    @property
    def is_loaded(self) -> bool:
        return bool(self._post.messages.outbox.queued())

    def expect(self, about: str, blocks: int) -> tuple[int, ReplyTo]:
        number, key, given = self._post.messages.outbox.expect(about, blocks, self._now_s())
        return number, ReplyTo(key, given)

    def check(self, reply: ReplyTo) -> None:
        now_s = self._now_s()
        first = first_mix_keys(self._post.member.directory, now_s)
        # Our gateway would refuse the packet of a false one, and with it everything beside it.
        if not all(is_usable(ReplyBlock(block), first, now_s) for block in reply.blocks):
            raise UserError("the request's reply blocks have expired; use --out FILE instead")
        try:
            seal_envelope(Envelope(BoxKey.generate().public, (), ""), reply.key)
        except ValueError:
            raise UserError("the request's key can't be sealed to; ask the payee for a new request") from None

    def queue(self, reply: ReplyTo, text: str, *, used: int = 0, last: bool = False) -> int:
        self.check(reply)
        blocks = [ReplyBlock(block) for block in reply.blocks[used:]]
        parts = parts_for(len(text.encode()), 0)
        check_room(parts, reply, used)
        through = blocks[-parts:] if last else blocks[:parts]
        with self._post.messages.transaction():
            self._post.messages.outbox.queue_through(through, reply.key, text, 0, 0, self._now_s())
        return parts

    async def carry(self, expected: int = 0) -> None:
        await self._post.send_queued()
        now_s = asyncio.get_running_loop().time
        give_up = now_s() + (min(self._post.usual_wait_s, MOST_WAIT_S) if expected else 0.0)
        while True:
            left_s = max(0.0, give_up - now_s())
            await self._post.poll(min(left_s, POLL_S))
            if not left_s or expected in self.arrived():
                return

    def arrived(self) -> dict[int, list[str]]:
        # Each message is opened once: somebody who fills the inbox delays what comes behind it, no more.
        while self._seen - self._kept < MOST_A_LOOK:
            rows = self._post.messages.inbox.after(self._seen, _PAGE)
            if not rows:
                break
            for number, row in rows:
                self._seen = number
                if row.answer_to:
                    self._found.setdefault(row.answer_to, []).append(row.text)
        return self._found

    def keep(self) -> None:
        if self._seen != self._kept:
            with self._post.messages.transaction():
                self._post.messages.put_note(LOOKED_AT, str(self._seen))
        self._kept, self._found = self._seen, {}

    def key(self, number: int) -> BoxKey:
        return self._post.messages.outbox.key(number)
