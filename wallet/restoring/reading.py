"""
The board's log as bare leaves, for whoever reads all of it: whole rounds, each page proved.

The same checks as ``BoardReader``'s, but entries stay bytes: to decode a million of them costs more than all
the hashing. The newest checkpoint is fixed at the beginning, so that reading comes to an end; what closes
meanwhile is an ordinary reader's, from the last page's cursor on.

Source: docs/spec/board.md, section 4.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from hashlib import sha256

from bank.board.log.reader import LogReader, Published
from bank.board.log.tiles import WIDTH
from bank.board.log.tree import extends
from bank.board.reading.client import check_growth, newest
from bank.board.reading.cursor import MOST_ROUND_BYTES, Cursor
from bank.board.rounds import MOST_ROUND_ENTRIES, check_round, is_mark
from mixmint.errors import MalformedMessage, PeerError, Unavailable

PAGE_LEAVES = 16_384
"""About 2 MiB of coins: what is held at a time, besides one open round."""
_AT_ONCE = 8
"""Bundles asked for at a time: quick over a long way, and no burden for a small board."""


@dataclass(frozen=True, slots=True)
class BareRound:
    """A round: its number, the index of its first leaf, and its leaves without the mark."""

    number: int
    first: int
    leaves: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Page:
    """Some rounds, proved, and the place behind them. ``size``: how many leaves the log has."""

    rounds: list[BareRound]
    after: Cursor
    size: int


class BareReader:
    """Reads one log from a cursor to its newest checkpoint, about ``page_leaves`` at a time."""

    def __init__(self, log: LogReader, page_leaves: int = PAGE_LEAVES) -> None:
        self._log = log
        self._page_leaves = page_leaves
        self._published: Published | None = None

    async def pages(self, after: Cursor, stop: int | None = None) -> AsyncIterator[Page]:
        """
        Pages of whole rounds after the cursor. ``stop``: end at this leaf, which a round begins with, instead
        of at the checkpoint.

        Raises as ``BoardReader.rounds``: Unavailable, ForkedLog, PeerError, MalformedMessage. Nothing of a
        page that isn't proved is handed on.
        """
        published = await self._checkpoint(after)
        size = published.checkpoint.size
        end = size if stop is None else stop
        at, leaves = after.index, list[bytes]()
        while at < end:
            part = await self._leaves(at, min(end, at + self._page_leaves), size)
            at += len(part)
            leaves += part
            page, taken = self._cut(leaves, after, published)
            leaves = leaves[taken:]
            if len(leaves) > MOST_ROUND_ENTRIES or sum(map(len, leaves)) > MOST_ROUND_BYTES:
                raise MalformedMessage("count", f"round {page.after.round + 1} has no end")
            if page.rounds:
                await self._prove(after, page.after, published)
                after = page.after
                yield page
        if leaves:
            raise MalformedMessage("checkpoint", "it isn't the end of a round")

    async def _checkpoint(self, after: Cursor) -> Published:
        """The newest checkpoint at the first call; the same one ever after."""
        if self._published is None:
            published = await newest(self._log)
            if after.note is not None:
                await check_growth(self._log, after.note, published)
            self._published = published
        if self._published.checkpoint.size < after.index:
            raise Unavailable("the board shows an older state than before; a mirror that lags?")
        return self._published

    async def _leaves(self, first: int, stop: int, size: int) -> list[bytes]:
        found: list[bytes] = []
        while first < stop:
            parts: list[Coroutine[None, None, list[bytes]]] = []
            while first < stop and len(parts) < _AT_ONCE:
                until = min(stop, (first // WIDTH + 1) * WIDTH)
                parts.append(self._bundle(first, until, size))
                first = until
            for part in await asyncio.gather(*parts):
                found += part
        return found

    async def _bundle(self, first: int, stop: int, size: int) -> list[bytes]:
        return [leaf async for _, part in self._log.bundles(first, stop, size) for leaf in part]

    def _cut(self, leaves: list[bytes], after: Cursor, published: Published) -> tuple[Page, int]:
        """The whole rounds at the beginning of these leaves, and how many leaves they are."""
        rounds: list[BareRound] = []
        begin, number, closed_at_s, taken = after.index, after.round, after.closed_at_s, 0
        for place, leaf in enumerate(leaves, start=1):
            if is_mark(leaf):
                part = leaves[taken:place]
                mark = check_round(part, number + 1, begin + taken, closed_at_s)
                rounds.append(BareRound(mark.number, begin + taken, part[:-1]))
                number, closed_at_s, taken = mark.number, mark.closed_at_s, place
        # leaf_hash, written out: a million of them are a second's work.
        frontier = after.frontier.append([sha256(b"\0" + leaf).digest() for leaf in leaves[:taken]])
        cursor = Cursor(number, frontier, closed_at_s, published.note)
        return Page(rounds, cursor, published.checkpoint.size), taken

    async def _prove(self, before: Cursor, after: Cursor, published: Published) -> None:
        """That the page's end is on the way to the checkpoint proves every leaf before."""
        size, root = published.checkpoint.size, published.checkpoint.root
        if extends(after.frontier, size, root, await self._log.right(after.index, size)):
            return
        self._log.forget()
        if before.note is not None:
            # If it is that the log was forked, say so: that is proof.
            await check_growth(self._log, before.note, published)
        raise PeerError("tile", f"the entries before number {after.index} don't lead to the checkpoint")
