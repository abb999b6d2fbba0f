"""
The board over the mixes: the newest round, and entries from a cursor, for readers who don't want to be seen.

    request   kind 1 (READ) || cursor 8
    answer    kind 1 || newest round 144 || round of the first entry 144 || bundle
    round     number 4 || first 8 || count 4 || digest 32 || previous 32 || signature 64

The bundle holds entries of one round only, as many as fit. A reader asks on from his cursor until he has the
round whole, then checks it as any other. With no entry at the cursor the second round is zeros and the bundle
is empty. Anything but a READ gets kind 0 alone.

Answers are not stored: what is asked again is read again, and may name a newer round. Nothing was changed by
asking, so there is nothing that a second answer could contradict.

Source: docs/spec/board.md, section 6.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from bank.board.board import Board
from bank.board.journal import GENESIS
from bank.board.rounds import Round, pack
from bank.board.store import BoardStore
from bank.formats.fields import Reader
from mix.directory import Directory
from mix.endpoint import GatewayClient
from mixmint.errors import MalformedMessage
from mixmint.keys import BoxKey
from replyblocks.formats import ANSWER_BODY_BYTES
from replyblocks.init import mailbox_owner
from replyblocks.service import Request, ServiceHost

READ = 1
MALFORMED = b"\0"
ROUND_BYTES = 144
_NO_ROUND = bytes(ROUND_BYTES)
_BUNDLE_BYTES = ANSWER_BODY_BYTES - 1 - 2 * ROUND_BYTES
_MOST_ENTRIES = _BUNDLE_BYTES // (2 + 33)
"""Of the shortest kind; more can't fit."""


def encode_round(round_: Round) -> bytes:
    """144 bytes; the round before the first is zeros."""
    return b"".join(
        (
            round_.number.to_bytes(4),
            round_.first.to_bytes(8),
            round_.count.to_bytes(4),
            round_.digest,
            round_.previous,
            round_.signature or bytes(64),
        )
    )


def read_round(reader: Reader) -> Round:
    """Raises MalformedMessage("length")."""
    number, first, count = reader.number(4), reader.number(8), reader.number(4)
    return Round(number, first, count, reader.take(32), reader.take(32), reader.take(64))


def encode_read(cursor: int) -> bytes:
    """The body of a request."""
    return READ.to_bytes(1) + cursor.to_bytes(8)


class ReadHandler:
    """A replyblocks Handler over the store."""

    def __init__(self, store: BoardStore) -> None:
        self._store = store

    async def handle(self, requests: Sequence[Request]) -> Sequence[bytes]:
        """One answer each, in order."""
        return [await self._answer(request.body) for request in requests]

    async def _answer(self, body: bytes) -> bytes:
        try:
            cursor = _read_request(body)
        except MalformedMessage:
            return MALFORMED
        newest = encode_round(self._store.newest.round) if self._store.newest is not GENESIS else _NO_ROUND
        found = await self._store.entries(cursor, _MOST_ENTRIES)
        if not found:
            return READ.to_bytes(1) + newest + _NO_ROUND
        number = found[0].round
        (closed,) = await self._store.rounds(number - 1, 1)
        bundle = b""
        for placed in found:
            more = pack([placed.entry])
            if placed.round != number or len(bundle) + len(more) > _BUNDLE_BYTES:
                break
            bundle += more
        return READ.to_bytes(1) + newest + encode_round(closed.round) + bundle


def _read_request(body: bytes) -> int:
    reader = Reader(body)
    kind, cursor = reader.number(1), reader.number(8)
    reader.end()
    if kind != READ or cursor >= 2**63:
        raise MalformedMessage("kind")
    return cursor


@asynccontextmanager
async def answer_over_mixes(
    board: Board, directory: Directory, name: str, endpoint_key: BoxKey, registry: CollectorRegistry
) -> AsyncIterator[None]:
    """
    Answer reads over the mixes while the context lasts. A gateway that is away is waited for.

    Raises UserError when the directory doesn't list this endpoint key.
    """
    service = directory.service(name)
    # The mailbox has an owner of its own, so that the key that signs rounds signs nothing else.
    owner = mailbox_owner(endpoint_key)
    async with GatewayClient(directory.gateway(service.gateway), owner) as link:
        host = ServiceHost(directory, name, link, endpoint_key, ReadHandler(board.store), registry=registry)
        task = asyncio.create_task(host.run())
        task.add_done_callback(board.note_end)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
