"""
The service's side of long requests: parts in, states and answers out, one batch at a time.

    parts are stored -> each question is looked up: not all parts: a state
                                                    all of them: the handler, its answer stored
                                                    answered: the parts that are asked for

A crash anywhere means that the batch comes again; parts are stored once, a handler gives the same request the
same answer, and a stored answer is not asked for again. One long request is in memory at a time.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from mix.packet.build import ReplyBlock, use_reply_block
from mix.packet.geometry import Addressed
from mixmint.database import Writer
from mixmint.errors import FatalError, MalformedMessage
from replyblocks.blocks import is_usable
from replyblocks.formats import Format
from replyblocks.long.box import Box
from replyblocks.long.formats import Ask, Head, Part, decode_ask, decode_part, encode_state
from replyblocks.long.parts import MOST_BYTES, cut, digest, to_bits

Handle = Callable[[Head, bytes], Awaitable[bytes]]
"""The handler's answer to one long request."""


@dataclass(frozen=True, slots=True)
class LongHost:
    """``writer`` owns a database with `box.LONG_SCHEMA`."""

    writer: Writer
    box: Box = field(default_factory=Box)

    def decode(self, message: bytes, first_mixes: frozenset[bytes], now_s: float) -> Part | Ask:
        """
        Read a long message; of a question only the pairs whose blocks can be used.

        Raises MalformedMessage.
        """
        if message[:1] == Format.LONG_PART.to_bytes(1):
            return decode_part(message, Format.LONG_PART)
        ask = decode_ask(message)
        pairs = tuple(pair for pair in ask.pairs if is_usable(pair[1], first_mixes, now_s))
        if not pairs:
            raise MalformedMessage("block")
        return replace(ask, pairs=pairs)

    async def work_on(self, batch: Sequence[Part | Ask], handle: Handle, now_s: float) -> list[Addressed]:
        """
        The packets that answer a batch. Raises what the handler raises: the batch comes again then.
        """
        parts = [one for one in batch if isinstance(one, Part)]
        if parts:
            await self.writer.run(lambda connection: self.box.put(connection, parts, now_s))
        packets: list[Addressed] = []
        for one in batch:
            if isinstance(one, Ask):
                packets += await self._answer(one, handle)
        return packets

    async def _answer(self, ask: Ask, handle: Handle) -> list[Addressed]:
        head = ask.head
        found = await self.writer.run(lambda connection: self.box.look(connection, head))
        answer = found.answer
        if answer is None and found.body is not None:
            answer = await handle(head, found.body)
            if len(answer) > MOST_BYTES:
                raise FatalError("a handler's answer is longer than an answer may be")
            kept = answer
            await self.writer.run(lambda connection: self.box.keep_answer(connection, head, kept))
        if answer is None:
            state = encode_state(head.request_id, to_bits(found.parts, head.parts))
            # The second way is for what was sent again because a packet was lost.
            ways = ask.pairs[: 2 if ask.attempt else 1]
            return [use_reply_block(block, state) for _, block in ways]
        return _give(answer, ask.pairs, head.request_id)


def _give(answer: bytes, pairs: Sequence[tuple[int, ReplyBlock]], request_id: bytes) -> list[Addressed]:
    """The parts that are asked for, each by its block; a block for a part that there isn't stays unused."""
    head = Head(request_id, digest(answer), len(answer))
    return [
        use_reply_block(block, Part(head, part, cut(answer, part)).encode(Format.LONG_ANSWER))
        for part, block in pairs
        if part < head.parts
    ]
