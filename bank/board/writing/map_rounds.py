"""
The board's map of coins in its log: every so many rounds, its root becomes an entry.

Making a root takes a pass over all coins, in a process of its own (``bank.board.map``); rounds don't wait for
it. So the entry about round r stands in a later one. Proofs about coins are for the newest published entry.
"""

import logging
from dataclasses import replace
from typing import Protocol

from bank.board.board import Board
from bank.board.map.file import MapRoot
from bank.board.totals import Totals
from bank.board.writing import notable
from bank.board.writing.journal import ClosedRound
from bank.board.writing.store import Placed
from bank.formats.entry import Kind, MapEntry, decode_entry
from mixmint.errors import FatalError, UserError

_log = logging.getLogger("bank.board.map")


class Keeper(Protocol):
    """What is needed of ``bank.board.map.keeper.MapKeeper``."""

    def published(self, size: int) -> None:
        """The entry for the map over ``size`` leaves is published."""

    async def advance(self, size: int) -> MapRoot:
        """The map over the log's first ``size`` leaves. Raises Unavailable."""


class MapRounds:
    """``run`` it beside the board. ``every``: rounds between two entries, at least."""

    def __init__(self, board: Board, keeper: Keeper, every: int) -> None:
        self.newest: Placed | None = None
        """The newest published MAP entry; the keeper has been told of it."""
        self._board = board
        self._keeper = keeper
        self._every = every
        self._of = 0
        """The round that the newest map is of."""
        self._totals = Totals()
        """As they were then."""
        self._submitted = 0
        """The round that will show the map that was submitted last."""
        self._failing = False

    async def start(self) -> None:
        """Find the newest published entry, once the board is started."""
        await self._look()

    async def run(self) -> None:
        """Until cancelled."""
        seen = self._board.store.newest.number
        while True:
            closed = await self._board.round_after(seen)
            seen = closed.number
            try:
                if self._submitted and seen >= self._submitted:
                    await self._look()
                    self._submitted = 0
                if not self._submitted and self._is_due(closed):
                    await self._make(closed)
            except (UserError, FatalError) as error:
                if not self._failing:
                    _log.warning("no root of the map: %s; trying again with the next round", error)
                self._failing = True

    def _is_due(self, closed: ClosedRound) -> bool:
        # Totals grow with each coin that changes its state; an account doesn't belong to the map.
        changed = replace(closed.totals, accounts=0) != replace(self._totals, accounts=0)
        return closed.number >= self._of + self._every and changed

    async def _make(self, closed: ClosedRound) -> None:
        made = await self._keeper.advance(closed.size)
        entry = MapEntry(closed.number, made.size, made.coins, made.root).encode()
        (receipt,) = await self._board.submit([entry])
        self._failing = False
        self._submitted, self._of, self._totals = receipt.round, closed.number, closed.totals

    async def _look(self) -> None:
        """Take notice of the newest published entry."""
        store, size = self._board.store, self._board.store.newest.size
        found = await store.read(lambda connection: notable.newest(connection, Kind.MAP, size, 1))
        if not found:
            return
        (placed,) = await store.entries(found[0][0], 1)
        entry = decode_entry(placed.entry)
        if isinstance(entry, MapEntry):
            (of,) = await store.rounds(entry.round - 1, 1)
            self._keeper.published(entry.size)
            self.newest, self._of, self._totals = placed, of.number, of.totals
