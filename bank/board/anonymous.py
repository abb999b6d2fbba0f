"""
The board over the mixes, for readers who don't want to be seen: its log, a packet at a time. Both ends.

    READ        1 || index 8 || offset 4          1 || bytes of the packed entries from index on
    CHECKPOINT  2                                 2 || the newest checkpoint's note
    HASHES      3 || size 8 || (level 1 || index 8) x 1..62
                                                  3 || 32 bytes for each of these full subtrees
    CLAIM       4 || ...                          as its handler says

Packed entries are as in a bundle: length 2, then the bytes. ``offset`` counts from the beginning of the first
one; an entry longer than a packet is read in several. At the end of the log nothing follows. A note has its
signature lines in order, as many as fit. Anything that can't be answered gets kind 0 alone.

Whoever asks proves what he gets, as any other reader of the log. Answers are not stored: what is asked again
is read again. Nothing was changed by asking, so there is nothing that a second answer could contradict.

Source: docs/spec/board.md, section 6.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from enum import IntEnum

from prometheus_client import CollectorRegistry

from bank.board.board import Board
from bank.board.log.folder import TileFolder
from bank.board.log.note import Note, VerifierKey
from bank.board.log.policy import NO_POLICY, Policy
from bank.board.log.reader import LogReader, Published
from bank.board.log.tiles import MOST_LEAF_BYTES, pack
from bank.board.log.tree import HASH_BYTES, Node
from bank.formats.fields import Reader
from mix.directory import Directory
from mix.endpoint import GatewayClient
from mixmint.errors import FatalError, MalformedMessage, PeerError, Unavailable, UserError
from mixmint.keys import BoxKey
from replyblocks.formats import ANSWER_BODY_BYTES
from replyblocks.init import mailbox_owner
from replyblocks.service import Request, ServiceHost


class Kind(IntEnum):
    """The first byte of a request, and of its answer."""

    READ = 1
    CHECKPOINT = 2
    HASHES = 3
    CLAIM = 4


MALFORMED = b"\0"
_ROOM = ANSWER_BODY_BYTES - 1
_MOST_READ = 128
"""Entries looked at for one answer; of our kinds no more than 87 fit."""
MOST_HASHES = _ROOM // HASH_BYTES
_MOST_LEVEL = 62

_log = logging.getLogger("bank.board.anonymous")

Handler = Callable[[bytes], Awaitable[bytes]]
"""Answers the body behind a request's kind with the body behind the answer's. Raises PeerError, UserError."""


class LogHandler:
    """
    A replyblocks Handler over the log's files. ``size``: how much of them is published. ``more``: who answers
    further kinds.
    """

    def __init__(
        self, folder: TileFolder, size: Callable[[], int], more: Mapping[int, Handler] | None = None
    ) -> None:
        self._folder = folder
        self._size = size
        self._handlers: dict[int, Handler] = {
            Kind.READ: self._read,
            Kind.CHECKPOINT: self._checkpoint,
            Kind.HASHES: self._hashes,
            **(more or {}),
        }

    async def handle(self, requests: Sequence[Request]) -> Sequence[bytes]:
        """One answer each, in order."""
        return [await self._answer(request.body) for request in requests]

    async def _answer(self, body: bytes) -> bytes:
        handler = self._handlers.get(body[0]) if body else None
        if handler is None:
            return MALFORMED
        try:
            return body[:1] + await handler(body[1:])
        except (PeerError, UserError):
            return MALFORMED
        except FatalError as error:
            # A damaged file is the operator's to repair; other answers go on.
            _log.error("%s", error)
            return MALFORMED

    async def _read(self, body: bytes) -> bytes:
        reader = Reader(body)
        index, offset = reader.number(8), reader.number(4)
        reader.end()
        size = self._size()
        if offset >= MOST_LEAF_BYTES + 2:
            raise MalformedMessage("length")
        stop = min(size, index + _MOST_READ)
        return await asyncio.to_thread(self._packed, index, offset, stop, size) if index < stop else b""

    def _packed(self, index: int, offset: int, stop: int, size: int) -> bytes:
        packed = b""
        for _, part in self._folder.entries(index, stop, size):
            packed += pack(part)
            if len(packed) >= offset + _ROOM:
                break
        return packed[offset : offset + _ROOM]

    async def _checkpoint(self, body: bytes) -> bytes:
        Reader(body).end()
        note = await asyncio.to_thread(self._folder.checkpoint)
        if note is None:
            raise Unavailable("nothing is published yet")
        while len(note.encode()) > _ROOM:
            if len(note.signatures) == 1:
                raise Unavailable("the checkpoint doesn't fit a packet")
            note = Note(note.text, note.signatures[:-1])
        return note.encode()

    async def _hashes(self, body: bytes) -> bytes:
        reader = Reader(body)
        size = reader.number(8)
        nodes = [
            Node(reader.number(1), reader.number(8)) for _ in range(min(MOST_HASHES, (len(body) - 8) // 9))
        ]
        reader.end()
        if size > self._size() or not nodes or not all(_is_in(node, size) for node in nodes):
            raise MalformedMessage("hashes")
        return await asyncio.to_thread(lambda: b"".join(self._folder.node(node, size) for node in nodes))


def _is_in(node: Node, size: int) -> bool:
    return node.level <= _MOST_LEVEL and (node.index + 1) << node.level <= size


Follow = Callable[[Callable[[Directory], None]], AbstractAsyncContextManager[None]]
"""Gives newer directories to its argument while the context lasts."""


@asynccontextmanager
async def answer_over_mixes(
    board: Board,
    folder: TileFolder,
    directory: Directory,
    name: str,
    endpoint_key: BoxKey,
    registry: CollectorRegistry,
    more: Mapping[int, Handler] | None = None,
    follow: Follow = lambda _: nullcontext(),
) -> AsyncIterator[None]:
    """
    Answer over the mixes while the context lasts. A gateway that is away is waited for.

    Raises UserError when the directory doesn't list this endpoint key.
    """
    service = directory.service(name)
    handler = LogHandler(folder, lambda: board.store.newest.size, more)
    # The mailbox has an owner of its own, so that the key that signs the log signs nothing else.
    owner = mailbox_owner(endpoint_key)
    async with GatewayClient(directory.gateway(service.gateway), owner) as link:
        host = ServiceHost(directory, name, link, endpoint_key, handler, registry=registry)
        async with follow(host.follow):
            task = asyncio.create_task(host.run())
            task.add_done_callback(board.note_end)
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


Ask = Callable[[bytes], Awaitable[bytes]]
"""Sends a request over the mixes; its answer. Raises Unavailable, PendingError, PeerError."""


class DistantLog(LogReader):
    """
    The board's log, read over the mixes: the same checks, by the same code (``BoardReader(DistantLog(..))``).
    """

    def __init__(self, ask: Ask, log: VerifierKey, policy: Policy = NO_POLICY) -> None:
        super().__init__(_NoFiles(log.name), log, policy)
        self._ask = ask

    async def checkpoint(self) -> Published:
        return self.open(Note.decode(await self._asked(Kind.CHECKPOINT.to_bytes(1))))

    async def bundles(self, first: int, stop: int, size: int) -> AsyncIterator[tuple[int, list[bytes]]]:
        at, begun = first, b""
        while at < stop:
            place = at.to_bytes(8) + len(begun).to_bytes(4)
            part = await self._asked(Kind.READ.to_bytes(1) + place)
            if not part:
                raise MalformedMessage("entries", f"there is no entry {at}")
            entries, begun = _split(begun + part)
            if begun and len(part) < _ROOM:
                # Only a full packet cuts an entry: else a board could hand it out byte by byte, for ever.
                raise MalformedMessage("length")
            if entries:
                yield at, entries[: stop - at]
                at += len(entries)

    async def nodes(self, nodes: Sequence[Node], size: int) -> list[bytes]:
        found: list[bytes] = []
        for start in range(0, len(nodes), MOST_HASHES):
            some = nodes[start : start + MOST_HASHES]
            asked = b"".join(node.level.to_bytes(1) + node.index.to_bytes(8) for node in some)
            hashes = await self._asked(Kind.HASHES.to_bytes(1) + size.to_bytes(8) + asked)
            if len(hashes) != HASH_BYTES * len(some):
                raise MalformedMessage("length")
            found += [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
        return found

    async def _asked(self, request: bytes) -> bytes:
        answer = await self._ask(request)
        if answer == MALFORMED:
            raise Unavailable(f"{self.log.name} can't answer now; try again later")
        if answer[:1] != request[:1]:
            raise MalformedMessage("kind")
        return answer[1:]


class _NoFiles:
    """Nothing is read as a file over the mixes."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def read(self, path: str) -> bytes | None:
        raise FatalError(f"{path} can't be read over the mixes")


def _split(packed: bytes) -> tuple[list[bytes], bytes]:
    """The whole entries at the beginning of packed ones, and what is left."""
    entries, at = [], 0
    while len(packed) - at >= 2:
        end = at + 2 + int.from_bytes(packed[at : at + 2])
        if end > len(packed):
            break
        entries.append(packed[at + 2 : end])
        at = end
    return entries, packed[at:]
