"""
What a member does with a packet from his mailbox. No network here: items in, a report out, one transaction.

1. The token says which key unwraps it: the published address's, or the reply blocks'.
2. A packet to the address is a forward message: a fragment of a message, or our own loop coming back.
3. A packet by a reply block takes the block's secrets out of the store; a block that was used, has expired or
   was never ours is dropped, and nobody can tell which. What it opens is stored in the same transaction.
4. Only after the commit are the items acknowledged. Killed before that, the same items come again: their
   blocks are used and their messages delivered, so nothing happens twice.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mix.packet.build import BlockSecrets, open_forward, open_reply
from mix.packet.command import Command, CommandType
from mix.packet.unwrap import unwrap
from mixmint.errors import MalformedMessage, MalformedPacket, PeerError
from replyblocks.conversation import Answered, step
from replyblocks.formats import LOOP_NONCE_BYTES, Format, decode_answer
from replyblocks.link import Item
from replyblocks.long.requests import LongRequests
from replyblocks.member import Member
from replyblocks.messages import Messages
from replyblocks.store import Kind, Store


@dataclass
class Report:
    """What one batch brought: loops that came back (nonces, 16 bytes), messages that are complete now."""

    loops: list[bytes] = field(default_factory=list)
    messages: int = 0
    answers: int = 0


class Intake:
    """``dropped`` counts by reason, for `mixmint doctor` and for tests."""

    def __init__(
        self,
        member: Member,
        store: Store,
        messages: Messages,
        long: LongRequests,
        draw_wait_s: Callable[[int], float],
    ) -> None:
        self._member = member
        self._store = store
        self._messages = messages
        self._long = long
        self._draw_wait_s = draw_wait_s
        self.dropped: Counter[str] = Counter()

    def take(self, items: Sequence[Item], now_s: float) -> Report:
        """
        Work on a batch, in one transaction.

        Raises UserError when the disk is full, FatalError when the store can't be trusted: nothing is stored
        then, and the items must not be acknowledged.
        """
        report = Report()
        with self._store.transaction():
            for item in items:
                try:
                    self._take_one(item, now_s, report)
                except PeerError as error:
                    self.dropped[error.reason] += 1
        return report

    def _take_one(self, item: Item, now_s: float, report: Report) -> None:
        if item.token == self._member.replies.token:
            self._take_reply(item, now_s, report)
        elif item.token == self._member.address.token:
            self._take_forward(item, now_s, report)
        else:
            raise MalformedMessage("token")

    def _take_forward(self, item: Item, now_s: float, report: Report) -> None:
        unwrapped = unwrap(self._member.address.endpoint.secret, item.packet)
        if Command.decode(unwrapped.command).type is not CommandType.DELIVER:
            raise MalformedPacket("command")
        message = open_forward(unwrapped)
        if message[:1] == Format.LOOP.to_bytes(1) and len(message) == 1 + LOOP_NONCE_BYTES:
            report.loops.append(message[1:])
        else:
            report.messages += self._messages.inbox.take_fragment(message, None, now_s)

    def _take_reply(self, item: Item, now_s: float, report: Report) -> None:
        unwrapped = unwrap(self._member.replies.endpoint.secret, item.packet)
        command = Command.decode(unwrapped.command)
        if command.type is not CommandType.REPLY:
            raise MalformedPacket("command")
        row = self._store.use_block(command.id, now_s)
        if row is None:
            raise MalformedMessage("block")
        # From here on the block is used, whatever is inside: a body that was changed on its way can't be sent
        # again through the same block, since the mixes have seen its header.
        message = open_reply(BlockSecrets.decode(row.secrets), unwrapped)
        if row.kind is Kind.OUTBOX:
            report.messages += self._messages.inbox.take_fragment(message, row.owner, now_s)
            return
        if row.kind is Kind.LONG:
            report.answers += self._long.take(row.owner, message, now_s)
            return
        state = self._store.conversation(row.owner)
        if state is None:
            raise MalformedMessage("forgotten")
        state, _ = step(state, Answered(decode_answer(message, row.owner)), now_s, self._draw_wait_s)
        self._store.put_conversation(state)
        # The other sendings' blocks are of no more use. A late answer to one of them is dropped as unknown.
        self._store.forget_blocks(Kind.CONVERSATION, row.owner)
        report.answers += 1
