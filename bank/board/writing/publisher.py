"""
How a round becomes public: in six steps, in this order, each of them safe to repeat.

    sequence   one transaction fixes the round's leaves, the root, totals and coin index
    tiles      the log's files for the new size are written and synced
    commit     one transaction records the signed checkpoint, if the one before it is still the newest
    cosign     witnesses are asked
    publish    the file ``checkpoint`` is replaced by rename: from here on the round is closed
    clean      partial tiles that full ones replaced are removed

The board signs one checkpoint for each size, and shows a signature to nobody, witnesses included, before
``commit`` made it the newest for good. So whatever fails, and wherever the process is killed, no second tree
is ever signed: what goes on afterwards is this same code, which finds in the database how far the round came.

Source: docs/spec/board.md, section 8.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.folder import TileFolder
from bank.board.log.note import Note, VerifierKey
from bank.board.log.tiles import Edge, File
from bank.board.log.tree import consistency_spans, span_hash
from bank.board.writing.journal import GENESIS, ClosedRound, Sequenced
from bank.board.writing.start import published_round, sound_edge
from bank.board.writing.store import BoardStore
from mixmint.keys import SigningKey

KEPT = 16
"""Published checkpoints in memory, for people to look at."""

T = TypeVar("T")


class Step(StrEnum):
    """The steps of a publication."""

    SEQUENCE = "sequence"
    TILES = "tiles"
    COMMIT = "commit"
    COSIGN = "cosign"
    PUBLISH = "publish"
    CLEAN = "clean"


class Cosigners(Protocol):
    """The witnesses, as the board sees them."""

    trouble: str
    """Why the newest checkpoint has too few cosignatures; empty when it hasn't."""

    async def gather(self, note: Note, size: int) -> Note:
        """
        The note, of a checkpoint of ``size`` leaves, with cosignatures. The round waits for it.

        Raises UserError to be called again, FatalError when a witness has seen what we don't have.
        """

    async def check_start(self, note: Note, size: int) -> bool:
        """
        Ask them with our newest checkpoint; whether enough have answered that something new may be signed.

        Raises FatalError when one has seen more, or another past.
        """


class _Nobody:
    """No witnesses."""

    trouble = ""

    async def gather(self, note: Note, size: int) -> Note:
        return note

    async def check_start(self, note: Note, size: int) -> bool:
        return True


def _nothing(step: Step, done: bool) -> None:
    """Where tests make a step fail: before it, or once it is done."""


class Publisher:
    """Closes rounds, one at a time."""

    def __init__(
        self,
        store: BoardStore,
        folder: TileFolder,
        key: SigningKey,
        origin: str,
        *,
        fault: Callable[[Step, bool], None] = _nothing,
    ) -> None:
        self.log = VerifierKey(origin, key.public)
        self.cosigners: Cosigners = _Nobody()
        self.recent: deque[tuple[int, Note]] = deque(maxlen=KEPT)
        """The newest published checkpoints with their rounds, the newest first."""
        self._store = store
        self._folder = folder
        self._key = key
        self._fault = fault
        self._edge = Edge()
        self._ahead: asyncio.Task[Sequenced | None] | None = None
        """The next round, sequenced while this one is published."""
        self._unheard: tuple[Note, int] | None = None
        """The newest checkpoint, with its size, while too few witnesses have said that it is the newest."""
        self._clean: int | None = None
        """Below this size no partial tile is left over; None: not known."""

    async def start(self) -> int:
        """
        Open the store, compare it with the log's files and with the witnesses, and say what of it is public.

        Returns the newest round that is due at once: one that is full, or that is on its way already. Raises
        UserError, FatalError: nothing may be signed.
        """
        head, full = self._store.open()
        try:
            published = await asyncio.to_thread(published_round, head, self._folder, self.log)
            # An empty log is the beginning of every other: nothing speaks against signing that.
            note = Note.decode(head.note) if head.note else self._signed(GENESIS)
            if not await self.cosigners.check_start(note, head.closed.size):
                self._unheard = note, head.closed.size
            await self._store.load(head.closed)
            shown = await asyncio.to_thread(self._folder.checkpoint)
            if shown is None:
                # So that readers can tell an empty board from one that is away.
                await asyncio.to_thread(self._folder.publish, self._signed(GENESIS))
        except BaseException:
            await self._store.close()
            raise
        self._store.publish(published)
        if shown is not None and published.number:
            self.recent.appendleft((published.number, shown))
        return max(full, head.closed.number)

    async def publish(self, now_s: float, full: int = 0) -> ClosedRound:
        """
        Close the next round and publish it; or the one that is on its way, with the leaves it has.

        ``full``: the newest round that needn't wait for the clock. If that is a later one, the next is
        sequenced while the disk works for this one.

        Raises UserError (the disk is full, too few witnesses): called again, it goes on where it stopped.
        FatalError: what is on disk contradicts itself.
        """
        if self._unheard is not None:
            # A board restored from an old copy would sign a second past, and learn of it only afterwards.
            await self.cosigners.gather(*self._unheard)
            self._unheard = None
        sequenced = await self._sequence(now_s)
        if full > sequenced.closed.number and not sequenced.note:
            self._ahead = asyncio.create_task(self._sequence_ahead(sequenced, now_s))
        try:
            return await self._publish(sequenced)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Forget what was done ahead: it is found again in the database."""
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None

    async def _sequence(self, now_s: float) -> Sequenced:
        # Crash: all of the round is fixed, or nothing; its entries wait on until the checkpoint is signed.
        ahead, self._ahead = self._ahead, None
        found = await ahead if ahead is not None else None
        if found is not None:
            return found
        return await self._do(Step.SEQUENCE, lambda: self._store.sequence(self._edge_at, now_s))

    async def _sequence_ahead(self, before: Sequenced, now_s: float) -> Sequenced | None:
        # Crash: two rounds are fixed without a checkpoint, and are published one after the other.
        return await self._do(Step.SEQUENCE, lambda: self._store.sequence_ahead(before, now_s))

    async def _publish(self, sequenced: Sequenced) -> ClosedRound:
        before, closed = self._store.newest, sequenced.closed
        note = Note.decode(sequenced.note) if sequenced.note else await self._sign(sequenced)
        # Crash: the newest checkpoint is in the database, so the next start comes here, with the same one.
        cosigned = await self._do(Step.COSIGN, lambda: self.cosigners.gather(note, closed.size))
        # Crash: readers have the old checkpoint or the new one; the next start compares it with the database.
        await self._do(Step.PUBLISH, lambda: asyncio.to_thread(self._folder.publish, cosigned))
        self._store.publish(closed)
        self.recent.appendleft((closed.number, cosigned))
        # Crash: some partial tiles stay. The next start begins with those of the newest round.
        first = before.first if self._clean is None else self._clean
        await self._do(Step.CLEAN, lambda: asyncio.to_thread(self._folder.clean, first, closed.size))
        self._clean = closed.size
        return closed

    async def _sign(self, sequenced: Sequenced) -> Note:
        closed = sequenced.closed
        # Crash: files that no checkpoint names. They will be written again, with the same bytes.
        await self._do(Step.TILES, lambda: self._write(sequenced.files))
        note = self._signed(closed)
        # Crash: before it, nobody has seen the signature, and it will be made again; after it, it counts.
        await self._do(Step.COMMIT, lambda: self._store.commit(closed, note.encode()))
        self._edge = sequenced.edge
        return note

    def _signed(self, closed: ClosedRound) -> Note:
        return sign_checkpoint(self._key, Checkpoint(self.log.name, closed.size, closed.root))

    async def _do(self, step: Step, work: Callable[[], Awaitable[T]]) -> T:
        self._fault(step, False)
        result = await work()
        self._fault(step, True)
        return result

    async def _write(self, files: Sequence[File]) -> None:
        await asyncio.to_thread(self._folder.write, files, self._store.syncing)

    def _edge_at(self, closed: ClosedRound) -> Edge:
        """The edge of the log at the end of a round: the one at hand, else from the files. Blocking."""
        if self._edge.size != closed.size or self._edge.root() != closed.root:
            self._edge = sound_edge(self._folder, closed.size, closed.root)
        return self._edge


def growth_proofs(folder: TileFolder) -> Callable[[int, int], Awaitable[list[bytes]]]:
    """Proofs that the log of the second size begins with that of the first, from its files."""

    def prove(old: int, new: int) -> list[bytes]:
        spans = consistency_spans(old, new)
        return [span_hash(span, lambda node: folder.node(node, new)) for span in spans]

    return lambda old, new: asyncio.to_thread(prove, old, new)
