"""How many coins look alike: the sets of each value and coin epoch, for people and for programs."""

from dataclasses import dataclass
from itertools import groupby

from aiohttp import web

from bank.board.board import Board
from bank.board.pages.render import Renderer
from bank.board.web.api import answer_json
from bank.board.web.endpoints import Endpoint
from bank.board.web.sets import NO_SETS, SetsPage, SetView, sets_page
from bank.board.writing import notable
from bank.formats.entry import Kind, StatementEntry, decode_entry

TINY = 10
"""In a smaller set a guess is right more often than one time in ten."""


@dataclass(frozen=True)
class EpochView:
    """One coin epoch's sets; ``unspent``: coins of all values."""

    epoch: int
    sets: list[SetView]

    @property
    def unspent(self) -> int:
        return sum(one.unspent for one in self.sets)

    @property
    def replaced(self) -> bool:
        """Whether anything ever was, so that it deserves a column."""
        return any(one.replaced for one in self.sets)


def epochs_of(page: SetsPage) -> list[EpochView]:
    """The sets by epoch, the newest first. Pure."""
    return [EpochView(epoch, list(sets)) for epoch, sets in groupby(page.sets, key=lambda one: one.epoch)]


class Sets:
    """``/sets`` and ``/api/v1/sets``."""

    def __init__(self, board: Board, render: Renderer) -> None:
        self._board = board
        self._render = render

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("/sets", "How many coins look alike, for people", self.page, media_type="text/html"),
            Endpoint(
                "/api/v1/sets",
                "How many coins of each value and epoch were certified, spent and are unspent, by the bank's "
                "newest statement",
                self.data,
                SetsPage,
            ),
        ]

    async def page(self, request: web.Request) -> web.Response:
        page = await self._read()
        return self._render.answer(request, "sets.html", page=page, epochs=epochs_of(page), tiny=TINY)

    async def data(self, request: web.Request) -> web.Response:
        return answer_json(request, await self._read())

    async def _read(self) -> SetsPage:
        size = self._board.store.newest.size
        found = await self._board.store.read(
            lambda connection: (
                notable.newest(connection, Kind.STATEMENT, size, 1),
                notable.standing(connection),
            )
        )
        places, standing = found
        if not places:
            return NO_SETS
        index, round_ = places[0]
        entry = decode_entry((await self._board.store.entries(index, 1))[0].entry)
        if not isinstance(entry, StatementEntry):
            return NO_SETS
        keys = self._board.keys
        signed = entry.statement.holds(keys.key_at(index), keys.id)
        return sets_page(entry.statement, round_, standing, signed=signed)
