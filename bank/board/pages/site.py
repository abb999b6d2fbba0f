"""
Which pages there are, and what each asks the board for. Queries are bounded, and pages long only by choice.

Every value is escaped by the template engine; the policy header forbids whatever might slip through.
"""

import asyncio
import re
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice

from aiohttp import web

from bank.board.board import Board
from bank.board.log.note import Note, VerifierKey
from bank.board.log.policy import Policy
from bank.board.pages import supply
from bank.board.pages.accusations import accusation_view
from bank.board.pages.checkpoints import CheckpointView, checkpoint_view
from bank.board.pages.coins import coin_view
from bank.board.pages.lines import line_of
from bank.board.pages.plot import spread
from bank.board.pages.render import Renderer
from bank.board.pages.rounds import rows_of, tile_paths
from bank.board.pages.sets import Sets
from bank.board.pages.statements import StatementView, statement_view
from bank.board.pages.static import static_files
from bank.board.pages.terms import TermsView, terms_view
from bank.board.web.api import NEVER_CHANGES, answer_cached, parted
from bank.board.web.endpoints import Endpoint, Parameter
from bank.board.web.views import totals_view
from bank.board.writing import notable
from bank.board.writing.coins import MOST_REPEATS
from bank.board.writing.journal import ClosedRound, read_round
from bank.board.writing.store import Placed
from bank.formats.entry import Kind, StatementEntry, TermsEntry, decode_entry
from mix.directory import Authorities
from mixmint.errors import MalformedMessage

ROUNDS_SHOWN = 8
ENTRIES_SHOWN = 200
CHECKPOINTS_SHOWN = 8
ACCUSATIONS_SHOWN = 20
ACCUSATIONS_KEPT = 64
"""Checked accusations, so that nobody can make the board check one again and again."""

ROUND = Parameter("round", "a closed round's number", place="path", least=1, most=2**32 - 1)
FROM = Parameter("from", "index of the first entry to show", default=0)
BEFORE = Parameter("before", "accusations below this index", default=2**63 - 1)
INDEX = Parameter("index", "an accusation's index in the log", place="path")
COIN_TYPED = Parameter("id", "a coin id, 64 hexadecimal digits; without it the empty form", hex_bytes=32)


_LOCAL = re.compile(r"(localhost|127(\.[0-9]+){3}|\[::1\])(:[0-9]+)?")


@dataclass(frozen=True)
class Identity:
    """Whose pages these are. ``policy``: the witnesses that the board asks; ``bank_key``: 32 bytes."""

    name: str
    log: VerifierKey
    policy: Policy
    bank_key: bytes

    @property
    def url(self) -> str:
        """Where others reach it: over https, but for a board that only its own machine does."""
        local = _LOCAL.fullmatch(self.log.name.partition("/")[0])
        return f"{'http' if local else 'https'}://{self.log.name}"


@dataclass(frozen=True)
class _History:
    """The plots as of one round: made once for all who look."""

    round: int
    plots: list[supply.Plot]
    table: list[supply.Row]


Recent = Callable[[], Iterable[tuple[int, Note]]]
"""The newest published checkpoints with their rounds (0: not known), the newest first."""


class Pages:
    """The pages' handlers."""

    def __init__(
        self, board: Board, identity: Identity, recent: Recent, authorities: Authorities | None = None
    ) -> None:
        self._board = board
        self._identity = identity
        self._recent = recent
        self._render = Renderer(identity.name)
        self._sets = Sets(board, self._render)
        self._history = _History(0, [], [])
        # A log's entry never changes, and so doesn't what a check of it comes to.
        self._judged = lru_cache(ACCUSATIONS_KEPT)(partial(accusation_view, who=authorities))

    def endpoints(self) -> list[Endpoint]:
        html = "text/html"
        return [
            Endpoint("/", "Totals and newest rounds, for people", self.home, media_type=html),
            Endpoint(
                "/rounds/{round}",
                "One round, for people",
                self.round,
                media_type=html,
                parameters=(ROUND, FROM),
                statuses=(404,),
            ),
            Endpoint(
                "/coins",
                "Search by coin id, for people",
                self.coin,
                media_type=html,
                parameters=(COIN_TYPED,),
            ),
            Endpoint("/checkpoints", "The newest checkpoints, for people", self.checkpoints, media_type=html),
            Endpoint(
                "/accusations",
                "Accusations, for people",
                self.accusations,
                media_type=html,
                parameters=(BEFORE,),
            ),
            Endpoint(
                "/accusations/{index}",
                "One accusation, checked, for people",
                self.accusation,
                media_type=html,
                parameters=(INDEX,),
                statuses=(404,),
            ),
            Endpoint(
                "/accusations/{index}/file",
                "An accusation's file, for `mixmint board check-accusation`",
                self.accusation_file,
                media_type="text/plain",
                parameters=(INDEX,),
                statuses=(404,),
            ),
            *self._sets.endpoints(),
            *static_files(),
        ]

    async def home(self, request: web.Request) -> web.Response:
        newest = self._board.store.newest
        shown = await self._board.store.newest_with_entries(ROUNDS_SHOWN)
        history = await self._history_at(newest)
        checkpoints = self._checkpoints(1)
        found = await self._newest(Kind.MAP)
        return self._render.answer(
            request,
            "home.html",
            round=newest.number,
            size=newest.size,
            totals=totals_view(newest.totals),
            rows=rows_of(newest.number, shown, complete=len(shown) < ROUNDS_SHOWN)[:ROUNDS_SHOWN],
            rows_shown=ROUNDS_SHOWN,
            plots=history.plots,
            history=history.table,
            statement=await self._statement(),
            terms=await self._terms(),
            checkpoint=checkpoints[0] if checkpoints else None,
            map=found and decode_entry(found.entry),
        )

    async def _history_at(self, newest: ClosedRound) -> _History:
        if self._history.round != newest.number:
            numbers = spread(newest.number, supply.MOST_SAMPLES)
            rounds = await self._board.store.read(lambda connection: _rounds_at(connection, numbers))
            samples = [
                supply.Sample(one.number, one.closed_at_s, one.size, one.totals.outstanding_units)
                for one in rounds
            ]
            self._history = _History(newest.number, supply.plots(samples), supply.table(samples))
        return self._history

    async def _statement(self) -> StatementView | None:
        found = await self._newest(Kind.STATEMENT)
        entry = found and decode_entry(found.entry)
        if found is None or not isinstance(entry, StatementEntry):
            return None
        rows = await self._board.store.read(notable.standing)
        keys = self._board.keys
        signed = entry.statement.holds(keys.key_at(found.index), keys.id)
        return statement_view(entry.statement, found.round, rows, signed=signed)

    async def _terms(self) -> TermsView | None:
        found = await self._newest(Kind.TERMS)
        entry = found and decode_entry(found.entry)
        if found is None or not isinstance(entry, TermsEntry):
            return None
        return terms_view(entry.terms, found.round, self._board.keys.key_at(found.index))

    async def _newest(self, kind: Kind) -> Placed | None:
        """The newest published entry of a rare kind."""
        size = self._board.store.newest.size
        found = await self._board.store.read(lambda connection: notable.newest(connection, kind, size, 1))
        return (await self._board.store.entries(found[0][0], 1))[0] if found else None

    async def round(self, request: web.Request) -> web.Response:
        number, start = ROUND.number(request), FROM.number(request)
        rounds = await self._board.store.rounds(number - 1, 1)
        if not rounds:
            raise web.HTTPNotFound
        closed, newest = rounds[0], self._board.store.newest
        # The mark, the last leaf, has a place of its own on the page.
        first, mark = closed.first, closed.size - 1
        start = min(max(start, first), mark)
        count = min(ENTRIES_SHOWN, mark - start)
        found = await self._board.store.entries(start, count) if count else []
        paths, left = tile_paths(closed, newest.size)
        return self._render.answer(
            request,
            "round.html",
            round=closed,
            root=closed.root.hex(),
            totals=closed.totals,
            newest=newest.number,
            lines=[line_of(placed.index, placed.entry, self._board.keys.changes) for placed in found],
            before=max(first, start - ENTRIES_SHOWN) if start > first else None,
            more=start + count if start + count < mark else None,
            tiles=paths,
            tiles_left=left,
        )

    async def coin(self, request: web.Request) -> web.Response:
        typed = request.query.get("id", "").strip()
        if not typed:
            return self._render.answer(request, "coin.html", coin=None, asked="", error="")
        try:
            coin = bytes.fromhex(typed) if len(typed) == 64 else b""
        except ValueError:
            coin = b""
        if len(coin) != 32:
            self._board.note_refusal(MalformedMessage("query"))
            error = f"That isn't a coin id: it has 64 hexadecimal digits, this has {len(typed)} characters."
            return self._render.answer(request, "coin.html", 400, coin=None, asked=typed[:80], error=error)
        found = await self._board.store.coin(coin)
        _, void = parted(found, self._board.keys)
        return self._render.answer(
            request,
            "coin.html",
            coin=coin_view(
                coin,
                [(placed.index, placed.round, placed.entry) for placed in found],
                {placed.index for placed in void},
            ),
            identity=self._identity,
            keys=self._board.keys,
            most_repeats=MOST_REPEATS,
            asked="",
            error="",
        )

    async def checkpoints(self, request: web.Request) -> web.Response:
        return self._render.answer(
            request,
            "checkpoints.html",
            identity=self._identity,
            checkpoints=self._checkpoints(CHECKPOINTS_SHOWN),
        )

    def _checkpoints(self, most: int) -> list[CheckpointView]:
        policy = self._identity.policy
        return [checkpoint_view(note, policy, number) for number, note in islice(self._recent(), most)]

    async def accusations(self, request: web.Request) -> web.Response:
        before = min(BEFORE.number(request), self._board.store.newest.size)
        found = await self._board.store.read(
            lambda connection: notable.newest(connection, Kind.ACCUSATION, before, ACCUSATIONS_SHOWN + 1)
        )
        placed = [await self._accusation(index) for index, _ in found[:ACCUSATIONS_SHOWN]]
        return self._render.answer(
            request,
            "accusations.html",
            lines=[accusation_view(one.index, one.round, one.entry[1:], judge=False) for one in placed],
            more=placed[-1].index if len(found) > len(placed) else None,
        )

    async def accusation(self, request: web.Request) -> web.Response:
        placed = await self._accusation(INDEX.number(request))
        line = await asyncio.to_thread(self._judged, placed.index, placed.round, placed.entry[1:])
        return self._render.answer(request, "accusation.html", line=line)

    async def accusation_file(self, request: web.Request) -> web.Response:
        placed = await self._accusation(INDEX.number(request))
        return answer_cached(request, placed.entry[1:], "text/plain", NEVER_CHANGES)

    async def _accusation(self, index: int) -> Placed:
        """Raises HTTPNotFound when there is no accusation at this index."""
        found = await self._board.store.entries(index, 1)
        if not found or found[0].entry[0] != Kind.ACCUSATION:
            raise web.HTTPNotFound
        return found[0]

    def error(self, request: web.Request, status: int, message: str) -> web.Response:
        """The page for anything that went wrong."""
        title = {404: "There is no such page.", 503: "Not now."}.get(status, "That didn't work.")
        return self._render.answer(request, "error.html", status, title=title, message=message)


def _rounds_at(connection: sqlite3.Connection, numbers: Sequence[int]) -> list[ClosedRound]:
    rows = [
        connection.execute("SELECT * FROM rounds WHERE round = ?", (number,)).fetchone() for number in numbers
    ]
    return [read_round(row) for row in rows if row]
