"""
Reading the board as somebody who doesn't trust it: whole rounds from a cursor, each one proved.

A wallet reads everything from its cursor on and asks about no single coin, so the board learns nothing about
what it looks for. Rounds are handed on only when the leaves up to their end, which the reader hashes himself,
are the beginning of the log under a checkpoint that the board signed and the reader's policy takes. A board
that rewrites its past is refused there, and what it signed convicts it (bank/board/reading/fork.py).

An older checkpoint than the one before proves nothing: a mirror may lag. It is waited for, as is a checkpoint
with too few cosignatures.

Source: docs/spec/board.md, section 4.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

import aiohttp

from bank.board.log.checkpoint import Checkpoint, open_checkpoint, origin_of
from bank.board.log.note import Note, VerifierKey
from bank.board.log.policy import NO_POLICY, Policy
from bank.board.log.reader import LogReader, Published
from bank.board.log.source import BANK, HttpSource
from bank.board.log.tiles import unpack
from bank.board.log.tree import (
    EMPTY_ROOT,
    Frontier,
    Span,
    consistency_holds,
    extends,
    inclusion_holds,
    inclusion_spans,
    leaf_hash,
    span_nodes,
)
from bank.board.reading.cursor import Cursor, Cutter, VerifiedRound
from bank.board.reading.fork import Fork, ForkedLog
from bank.board.reading.retry import Patient
from bank.formats.entry import Entry, Kind, RoundEntry, decode_entry
from bank.formats.succession import Cut
from mixmint.errors import MalformedMessage, PeerError, Unavailable, UserError

__all__ = ["BoardReader", "Cursor", "VerifiedRound", "check_growth", "log_key", "newest"]

_LONGEST_PAUSE_S = 30.0
_OF_THE_BANK = frozenset({Kind.KEY.to_bytes(1), Kind.KEY_CHANGE.to_bytes(1)})
_TERMS = Kind.TERMS.to_bytes(1)


def log_key(url: str, board_key: bytes, policy: Policy = NO_POLICY) -> VerifierKey:
    """
    The key of a board's log: named by its URL, or as the policy names it.

    Raises UserError when the policy is about another log's key.
    """
    if policy.log is None:
        return VerifierKey(origin_of(url), board_key)
    if policy.log.public != board_key:
        raise UserError(f"the policy's log, {policy.log.name}, has another key than the board at {url}")
    return policy.log


class BoardReader:
    """Reads one board, from wherever ``log`` reads it, under its policy."""

    def __init__(self, log: LogReader) -> None:
        self.log = log
        self._ahead: tuple[int, Sequence[bytes]] = (0, ())
        """Leaves that were read behind the last page, with their first index; not proved yet."""

    @classmethod
    def at(
        cls,
        url: str,
        board_key: bytes,
        session: aiohttp.ClientSession,
        *,
        policy: Policy = NO_POLICY,
        timeout_s: float = 10.0,
    ) -> "BoardReader":
        """
        The board at a URL. ``board_key``: its public key (32 bytes) from the directory.

        Raises UserError when the policy is about another log.
        """
        source = Patient(HttpSource(url, session, timeout_s=timeout_s))
        return cls(LogReader(source, log_key(url, board_key, policy), policy))

    async def head(self) -> Cursor:
        """
        A cursor after the newest round, for a reader who needs nothing of the past: that stays unchecked.

        Raises Unavailable, PeerError, MalformedMessage.
        """
        published = await newest(self.log)
        size, root = published.checkpoint.size, published.checkpoint.root
        if not size:
            return Cursor(note=published.note)
        frontier = await self.log.frontier(size, root)
        leaves = [leaf async for _, part in self.log.bundles(size - 1, size, size) for leaf in part]
        proof = await self.log.inclusion(size - 1, size)
        if not inclusion_holds(leaf_hash(leaves[0]), size - 1, size, proof, root):
            self._forget()
            raise PeerError("tile", "the last entry isn't the checkpoint's")
        mark = decode_entry(leaves[0])
        if not isinstance(mark, RoundEntry) or mark.first >= size:
            raise MalformedMessage("checkpoint", "it isn't the end of a round")
        return Cursor(mark.number, frontier, mark.closed_at_s, published.note)

    async def bank_entries(self) -> list[Entry]:
        """
        The bank's key entries, changes of its key and newest terms, in the log's order, for a reader who
        begins at its head. Each proves itself, so who asks checks signatures, not places; where no board
        answers, all of the log is looked through.

        Raises Unavailable, PeerError, MalformedMessage.
        """
        data = await self.log.source.read(BANK)
        if data is not None:
            return [decode_entry(entry) for entry in unpack(data)]
        published = await newest(self.log)
        found: list[bytes] = []
        terms: list[bytes] = []
        size = published.checkpoint.size
        async for _, leaves in self.log.bundles(0, size, size):
            found += [leaf for leaf in leaves if leaf[:1] in _OF_THE_BANK]
            terms = [leaf for leaf in leaves if leaf[:1] == _TERMS][-1:] or terms
        return [decode_entry(leaf) for leaf in (*found, *terms)]

    async def round_ending(self, cut: Cut) -> int:
        """
        The number of the round at whose end the log had this size and root, of which the reader is sure.

        Raises Unavailable, PeerError, MalformedMessage (no round ends there).
        """
        size = (await newest(self.log)).checkpoint.size
        if not 0 < cut.size <= size:
            raise Unavailable(f"the log has {size} entries yet, not {cut.size}")
        leaves = [leaf async for _, part in self.log.bundles(cut.size - 1, cut.size, size) for leaf in part]
        proof = await self.log.spans(inclusion_spans(cut.size - 1, cut.size), size)
        if not inclusion_holds(leaf_hash(leaves[0]), cut.size - 1, cut.size, proof, cut.root):
            self._forget()
            raise PeerError("tile", "the entry before the cut isn't the log's")
        mark = decode_entry(leaves[0])
        if not isinstance(mark, RoundEntry):
            raise MalformedMessage("checkpoint", "a change of the bank's key cuts inside a round")
        return mark.number

    async def rounds(self, after: Cursor, most: int = 100) -> list[VerifiedRound]:
        """
        The rounds after the cursor, at most ``most``, fewer when they are large; none when there is no newer.

        Raises Unavailable (also for a checkpoint that is too old, or that too few witnesses have seen yet),
        ForkedLog (the board contradicts itself, provably), PeerError or MalformedMessage (it broke the rules
        otherwise). Nothing of what it answered is returned then.
        """
        published = await newest(self.log)
        checkpoint = published.checkpoint
        if after.note is not None:
            older = open_checkpoint(after.note, self.log.log)
            if older.size != after.index or checkpoint.size <= older.size:
                await check_growth(self.log, after.note, published)
            # Else reading on from there will show whether it grew from the older one.
        try:
            return await self._page(after, published, most)
        except PeerError:
            self._forget()
            await self._convict(after, published)
            self._forget()
            raise

    async def follow(
        self, cursor: Cursor, *, poll_s: float = 1.0, patience_s: float = 60.0
    ) -> AsyncIterator[VerifiedRound]:
        """
        Every round after the cursor, and new ones as they close, for ever. Persist ``round.after`` to resume.

        A board that can't be reached is tried again, less and less often; Unavailable is raised once nothing
        was heard for ``patience_s``. Raises PeerError and MalformedMessage at once.
        """
        heard_s = time.monotonic()
        pause_s = poll_s
        while True:
            try:
                rounds = await self.rounds(cursor)
            except Unavailable:
                if time.monotonic() - heard_s > patience_s:
                    raise
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            heard_s, pause_s = time.monotonic(), poll_s
            for round_ in rounds:
                yield round_
                cursor = round_.after
            if not rounds:
                await asyncio.sleep(poll_s)

    async def _page(self, after: Cursor, published: Published, most: int) -> list[VerifiedRound]:
        size, root = published.checkpoint.size, published.checkpoint.root
        if size < after.index:
            raise _too_old(after.index, published)
        cutter = Cutter(after, published.note, most)
        at = after.index
        async with aclosing(self._leaves(at, size)) as leaves:
            async for part in leaves:
                taken = cutter.take(part)
                at += taken
                if cutter.is_full:
                    self._ahead = at, part[taken:]
                    break
        if at == size and not cutter.is_between:
            raise MalformedMessage("checkpoint", "it isn't the end of a round")
        # All of the page at once: that its end is on the way to the checkpoint proves every leaf before.
        end = cutter.rounds[-1].after.frontier if cutter.rounds else after.frontier
        if not extends(end, size, root, await self.log.right(end.size, size)):
            raise PeerError("tile", f"the entries before number {end.size} don't lead to the checkpoint")
        return cutter.rounds

    async def _convict(self, after: Cursor, published: Published) -> None:
        """Whatever is wrong with a page: if it is that the log was forked, say so. Raises ForkedLog."""
        if after.note is None:
            return
        try:
            await check_growth(self.log, after.note, published)
        except ForkedLog:
            raise
        except (PeerError, Unavailable):
            return

    async def _leaves(self, first: int, stop: int) -> AsyncGenerator[Sequence[bytes], None]:
        begin, ahead = self._ahead
        self._ahead = (0, ())
        if begin <= first < begin + len(ahead):
            part = ahead[first - begin : stop - begin]
            yield part
            first += len(part)
        async for _, bundle in self.log.bundles(first, stop, stop):
            yield bundle

    def _forget(self) -> None:
        """What was kept may be what was wrong."""
        self._ahead = (0, ())
        self.log.forget()


async def newest(log: LogReader) -> Published:
    """
    The log's newest checkpoint, for readers who can wait.

    Raises Unavailable (none yet, can't be read, too few cosignatures), PeerError, MalformedMessage.
    """
    try:
        published = await log.checkpoint()
    except PeerError as error:
        if error.reason != "quorum":
            raise
        raise Unavailable(f"the board's newest checkpoint isn't settled yet ({error.detail})") from None
    if not published.checkpoint.size and published.checkpoint.root != EMPTY_ROOT:
        raise MalformedMessage("checkpoint")
    return published


async def check_growth(log: LogReader, older: Note, published: Published) -> None:
    """
    Whether the log that was published grew from the one in an older note, which the log signed.

    Raises ForkedLog (provably not), Unavailable (it is smaller: old, but not wrong), PeerError("tile") (its
    files prove neither).
    """
    before, now = open_checkpoint(older, log.log), published.checkpoint
    if now.size < before.size:
        raise _too_old(before.size, published)
    if now.size == before.size:
        if now.root != before.root:
            raise ForkedLog(Fork(older, published.note, now.root), log.log)
        return
    proof = await log.consistency(before.size, now.size)
    if consistency_holds(before.size, before.root, now.size, now.root, proof):
        return
    log.forget()
    frontier = Frontier(before.size, tuple(await log.nodes(span_nodes(Span(0, before.size)), now.size)))
    proof = await log.consistency(before.size, now.size)
    fork = Fork(older, published.note, frontier.root(), tuple(proof))
    if fork.holds(log.log):
        raise ForkedLog(fork, log.log)
    raise PeerError("tile", "the log's hashes don't lead to its checkpoint")


def _too_old(size: int, published: Published) -> Unavailable:
    checkpoint: Checkpoint = published.checkpoint
    return Unavailable(
        f"{checkpoint.origin} shows an older state ({checkpoint.size} entries) than before ({size}): "
        "a mirror that lags, or a board that was restored from a backup"
    )
