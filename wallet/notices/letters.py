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

    def queue(self, reply: ReplyTo, text: str, *, last: bool = False) -> None:
        """
        Send this back, through the first blocks or (``last``) the last ones. Doing it again is harmless: of
        what goes through one block only one packet arrives.

        Raises UserError: too long for the blocks, or they have expired.
        """

    async def carry(self, expected: int = 0) -> None:
        """
        Send what is queued, and fetch what waits; with ``expected``, wait a while until something is there
        under this number. Raises Unavailable.
        """

    def arrived(self) -> dict[int, list[str]]:
        """What has come so far, by number, the oldest first."""

    def key(self, number: int) -> BoxKey:
        """What opens that which was sealed to the request's key."""


class LettersByPost:
    """Over a member's post."""

    def __init__(self, post: Post, now_s: Callable[[], float]) -> None:
        self._post = post
        self._now_s = now_s

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

    def queue(self, reply: ReplyTo, text: str, *, last: bool = False) -> None:
        self.check(reply)
        blocks = [ReplyBlock(block) for block in reply.blocks]
        parts = parts_for(len(text.encode()), 0)
        if parts > len(blocks):
            raise UserError("this is too long for the request's reply blocks; use --out FILE instead")
        through = blocks[-parts:] if last else blocks[:parts]
        with self._post.messages.transaction():
            self._post.messages.outbox.queue_through(through, reply.key, text, 0, 0, self._now_s())

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
        found: dict[int, list[str]] = {}
        for _, row in self._post.messages.inbox.all():
            if row.answer_to:
                found.setdefault(row.answer_to, []).append(row.text)
        return found

    def key(self, number: int) -> BoxKey:
        return self._post.messages.outbox.key(number)
