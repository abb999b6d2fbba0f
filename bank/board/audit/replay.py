"""
The first pass, driven: leaves from wherever the log is, through a pool of processes, in order again.

What it learns of the tree is its own: every hash comes from a leaf that was read. So a log's tiles may say
what they like; and where an earlier size's root is asked for, it is made of these hashes too.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor

from bank.board.audit.chunk import BEFORE_THE_FIRST, BLOCK, CHUNK, MARK, Checked, Chunk, check_chunk, follows
from bank.board.audit.finding import Fault, Problems
from bank.board.audit.spill import Spill
from bank.board.log.reader import LogReader
from bank.board.log.tree import HASH_BYTES, Frontier, leaf_hash
from bank.board.rounds import is_mark
from bank.formats.entry import KeyChangeEntry, KeyEntry, Kind, decode_entry
from bank.formats.succession import BankKeys, KeyChange
from mix.directory import Authorities
from mixmint.errors import MalformedMessage, PeerError

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


class Replay:
    """The log of ``size`` leaves, as the reader gave them."""

    def __init__(self, reader: LogReader, size: int) -> None:
        self._reader = reader
        self.size = size
        self.problems = Problems()
        self.kinds: Counter[int] = Counter()
        self.bank_key: bytes | None = None
        """The founding one."""
        self.changes: tuple[KeyChange, ...] = ()
        """Of that key, those that count."""
        self.last_mark = BEFORE_THE_FIRST
        """Of the newest round: index, number, when it closed."""
        self._blocks = bytearray()
        """The hashes of all full blocks: 32 bytes for 256 leaves."""
        self._rest: list[bytes] = []
        """Of the leaves behind them."""
        self._grown = Frontier()
        """Over the first blocks: sizes are asked for in ascending order, mostly."""
        self._edge = b""
        """The last leaf so far."""
        self._again: tuple[int, list[bytes]] = (-1, [])
        """The block that was read again last, and its leaves."""

    def key_at(self, index: int) -> bytes | None:
        """The bank's key that counts at a leaf."""
        return BankKeys(self.bank_key, self.changes).key_at(index) if self.bank_key else None

    async def find_changes(self, founding: bytes, who: Authorities | None) -> tuple[KeyChange, ...]:
        """
        The changes of the bank's key that count, in the log: by these authorities, or when nobody says who
        they are, as the log shows them.
        """
        keys, logged = BankKeys(founding), Kind.KEY_CHANGE.to_bytes(1)
        async for first, leaves in self._reader.bundles(0, self.size, self.size):
            for index, leaf in enumerate(leaves, start=first):
                if leaf[:1] != logged:
                    continue
                try:
                    entry = decode_entry(leaf)
                except MalformedMessage:
                    continue
                if isinstance(entry, KeyChangeEntry):
                    signers = [authority for authority, _ in entry.change.signatures]
                    trusted, threshold = (who.keys, who.threshold) if who else (signers, len(signers))
                    keys = keys.follow(entry.change, trusted, threshold, index)
        return keys.changes

    async def find_key(self) -> bytes | None:
        """The key (32 bytes) in the log's first key entry: before it, no bank can have published anything."""
        async for _, leaves in self._reader.bundles(0, self.size, self.size):
            for leaf in leaves:
                if leaf[:1] == Kind.KEY.to_bytes(1):
                    key = _key_in(leaf)
                    if key is not None:
                        return key
                elif leaf[:1] in {Kind.CERTIFIED.to_bytes(1), Kind.STATEMENT.to_bytes(1)}:
                    # A round's entries are sorted: a key entry, of the lowest kind, stands before them.
                    return None
        return None

    async def run(
        self,
        bank_key: bytes | None,
        spill: Spill,
        pool: Executor,
        ahead: int,
        told: Progress,
        changes: tuple[KeyChange, ...] = (),
    ) -> None:
        """
        Read and check every leaf. ``ahead``: how many chunks are in hand at once; ``changes``: of the bank's
        key, those that count.

        Raises Unavailable, PeerError, MalformedMessage (a file of the log is missing or damaged), UserError.
        """
        self.bank_key, self.changes = bank_key, changes
        loop = asyncio.get_running_loop()
        running: deque[asyncio.Future[Checked]] = deque()
        try:
            async for first, leaves in self._chunked():
                running.append(
                    loop.run_in_executor(pool, check_chunk, Chunk(first, leaves, bank_key, changes))
                )
                if len(running) >= ahead:
                    self._take(await running.popleft(), spill, told)
            while running:
                self._take(await running.popleft(), spill, told)
        finally:
            for future in running:
                future.cancel()
        if self._edge and not is_mark(self._edge):
            self.problems.add(Fault.UNFINISHED, self.size - 1)

    async def _chunked(self) -> AsyncIterator[tuple[int, list[bytes]]]:
        leaves: list[bytes] = []
        first = 0
        async for _, bundle in self._reader.bundles(0, self.size, self.size):
            leaves += bundle
            if len(leaves) >= CHUNK:
                # A bundle is a sixteenth of a chunk, so none is cut.
                yield first, leaves
                first, leaves = first + len(leaves), []
        if leaves:
            yield first, leaves

    def _take(self, done: Checked, spill: Spill, told: Progress) -> None:
        """One chunk's result, in the log's order."""
        before, (first_leaf, self._edge) = self._edge, done.edges
        if before > first_leaf and not is_mark(before):
            self.problems.add(Fault.ORDER, done.first - 1, done.first)
        if done.first_mark is not None:
            index, _, _ = MARK.unpack_from(done.marks)
            if not follows(self.last_mark, index, done.first_mark):
                self.problems.add(Fault.MARK, self.last_mark[0], index)
            self.last_mark = MARK.unpack_from(done.marks, len(done.marks) - MARK.size)
        self._blocks += b"".join(done.blocks)
        self._rest = done.rest
        self.problems.join(done.problems)
        self.kinds += done.kinds
        spill.take(done.records, done.marks, done.landmarks, done.claims)
        told("reading entries, checking signatures", done.first + done.count, self.size)

    def root(self) -> bytes:
        """The root (32 bytes) of all that was read."""
        return self._over(self.size, self._rest)

    async def root_at(self, size: int) -> bytes:
        """
        The root (32 bytes) of the first ``size`` leaves. The block at the edge is read once more.

        Raises as ``run``, and PeerError("tile") when the source gives other leaves than before.
        """
        if size == self.size:
            return self.root()
        part = await self._block(size // BLOCK) if size % BLOCK else []
        return self._over(size, [leaf_hash(leaf) for leaf in part[: size % BLOCK]])

    async def leaf(self, index: int) -> bytes:
        """One leaf, as it was read the first time. Raises as ``root_at``."""
        return (await self._block(index // BLOCK))[index % BLOCK]

    async def _block(self, number: int) -> list[bytes]:
        """The leaves of a block, read again."""
        if self._again[0] == number:
            return self._again[1]
        first = number * BLOCK
        stop = min(first + BLOCK, self.size)
        leaves = [leaf async for _, bundle in self._reader.bundles(first, stop, self.size) for leaf in bundle]
        hashes = [leaf_hash(leaf) for leaf in leaves]
        full = stop - first == BLOCK
        known = self._blocks[HASH_BYTES * number : HASH_BYTES * (number + 1)]
        if not (Frontier().append(hashes).root() == known if full else hashes == self._rest):
            raise PeerError("tile", "the log's entries changed while they were read")
        self._again = (number, leaves)
        return leaves

    def _over(self, size: int, rest: list[bytes]) -> bytes:
        """The root over the full blocks of the first ``size`` leaves, and the hashes of the leaves behind."""
        count = size // BLOCK
        if self._grown.size > count:
            self._grown = Frontier()
        fresh = range(HASH_BYTES * self._grown.size, HASH_BYTES * count, HASH_BYTES)
        # A tree of full blocks is a tree over their hashes; the leaves behind them hang on to its right.
        self._grown = self._grown.append([bytes(self._blocks[at : at + HASH_BYTES]) for at in fresh])
        return Frontier(size, (*self._grown.hashes, *Frontier().append(rest).hashes)).root()


def _key_in(leaf: bytes) -> bytes | None:
    try:
        entry = decode_entry(leaf)
    except MalformedMessage:
        return None
    return entry.public if isinstance(entry, KeyEntry) else None
