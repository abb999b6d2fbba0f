"""
The board for people: made on the server, without script, loading nothing from anywhere else.

Every value is escaped by the template engine; the policy header forbids whatever might slip through.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import jinja2
from aiohttp import web

from bank.board.api import ASK_AGAIN, answer_cached, coin_page
from bank.board.board import Board
from bank.board.endpoints import Endpoint, Parameter
from bank.board.journal import ClosedRound
from bank.board.store import Placed
from bank.board.views import AccountView, CertifiedView, KeyView, SpentView, entry_view, totals_view
from mixmint.errors import MalformedMessage

ROUNDS_SHOWN = 12
ENTRIES_SHOWN = 200

ROUND = Parameter("round", "a closed round's number", place="path", least=1, most=2**32 - 1)
FROM = Parameter("from", "index of the first entry to show", default=0)
COIN_TYPED = Parameter("id", "a coin id, 64 hexadecimal digits; without it the empty form", hex_bytes=32)

ICON = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    b'<rect width="32" height="32" rx="9" fill="#0b6b53"/>'
    b'<circle cx="16" cy="16" r="9.5" fill="none" stroke="#fff" stroke-width="2.2"/>'
    b'<path d="M16 21.500c0-5.500 1.200-8.500 5.500-10.500-.2 5.300-1.800 8.700-5.500 10.500z'
    b'm0 0c0-3.800-1-6-4.500-7.800 0 4 1.300 6.400 4.500 7.800z" fill="#a5e8d0"/></svg>'
)


@dataclass(frozen=True)
class Row:
    """A line of the newest rounds: a round with entries, or how many empty ones stand between two."""

    closed: ClosedRound | None = None
    empty: int = 0


@dataclass(frozen=True)
class Line:
    """An entry in a round's table."""

    index: int
    kind: str
    about: str
    coin: str = ""
    units: int = 0


class Pages:
    """The pages' handlers. ``name``: what the board is called."""

    def __init__(self, board: Board, name: str) -> None:
        self._board = board
        self._style = files("bank.board").joinpath("templates/style.css").read_bytes()
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("bank.board"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["name"] = name
        self._templates.filters["number"] = lambda number: f"{number:,}"
        self._templates.filters["clock"] = lambda s: f"{_utc(s):%-d %b %Y, %H:%M:%S}"
        self._templates.filters["iso"] = lambda s: f"{_utc(s):%Y-%m-%dT%H:%M:%SZ}"

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
            Endpoint("/style.css", "How the pages look", self.style, media_type="text/css"),
            Endpoint("/icon.svg", "The board's sign", self.icon, media_type="image/svg+xml"),
        ]

    async def home(self, request: web.Request) -> web.Response:
        newest = self._board.store.newest
        shown = await self._board.store.newest_with_entries(ROUNDS_SHOWN)
        return self._answer(
            request,
            "home.html",
            newest=newest,
            totals=totals_view(newest.totals),
            rows=rows_of(newest.round.number, shown, complete=len(shown) < ROUNDS_SHOWN),
        )

    async def round(self, request: web.Request) -> web.Response:
        number, start = ROUND.number(request), FROM.number(request)
        rounds = await self._board.store.rounds(number - 1, 1)
        if not rounds:
            raise web.HTTPNotFound
        closed = rounds[0]
        start = max(start, closed.round.first)
        count = max(0, min(ENTRIES_SHOWN, closed.round.next - start))
        found = await self._board.store.entries(start, count) if count else []
        more = start + count if start + count < closed.round.next else 0
        return self._answer(
            request,
            "round.html",
            closed=closed,
            totals=totals_view(closed.totals),
            newest=self._board.store.newest.round.number,
            entries=[line_of(placed) for placed in found],
            more=more,
        )

    async def coin(self, request: web.Request) -> web.Response:
        typed = request.query.get("id", "").strip()
        if not typed:
            return self._answer(request, "coin.html", coin=None, asked="", error="")
        try:
            coin = bytes.fromhex(typed) if len(typed) == 64 else b""
        except ValueError:
            coin = b""
        if len(coin) != 32:
            self._board.note_refusal(MalformedMessage("query"))
            error = f"That isn't a coin id: it has 64 hexadecimal digits, this has {len(typed)} characters."
            return self._answer(request, "coin.html", 400, coin=None, asked=typed[:80], error=error)
        page = coin_page(coin, await self._board.store.coin(coin))
        return self._answer(request, "coin.html", coin=page, asked="", error="")

    async def style(self, request: web.Request) -> web.Response:
        return answer_cached(request, self._style, "text/css", "public, max-age=600")

    async def icon(self, request: web.Request) -> web.Response:
        return answer_cached(request, ICON, "image/svg+xml", "public, max-age=86400")

    def error(self, request: web.Request, status: int, message: str) -> web.Response:
        """The page for anything that went wrong."""
        title = {404: "There is no such page.", 503: "Not now."}.get(status, "That didn't work.")
        return self._answer(request, "error.html", status, title=title, message=message)

    def _answer(self, request: web.Request, template: str, status: int = 200, **values: Any) -> web.Response:
        body = self._templates.get_template(template).render(values).encode()
        if status != 200:
            return web.Response(status=status, body=body, content_type="text/html", charset="utf-8")
        return answer_cached(request, body, "text/html", ASK_AGAIN)


def _utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def rows_of(newest: int, shown: list[ClosedRound], *, complete: bool) -> list[Row]:
    """
    The newest rounds with entries (descending), and between them how many empty ones there were.

    ``complete``: there are no others, so the empty ones before the first are counted too.
    """
    rows: list[Row] = []
    above = newest + 1
    for closed in shown:
        if above - closed.round.number > 1:
            rows.append(Row(empty=above - closed.round.number - 1))
        rows.append(Row(closed))
        above = closed.round.number
    if complete and above > 1:
        rows.append(Row(empty=above - 1))
    return rows


def line_of(placed: Placed) -> Line:
    """What a round's table says of an entry."""
    view = entry_view(placed.index, placed.round, placed.entry)
    if isinstance(view, CertifiedView):
        return Line(view.index, "certified", "", view.coin, view.units)
    if isinstance(view, SpentView):
        return Line(view.index, "spent", "", view.coin)
    if isinstance(view, AccountView):
        return Line(view.index, "account", view.account)
    if isinstance(view, KeyView):
        return Line(view.index, "key", view.public)
    raise TypeError(view)
