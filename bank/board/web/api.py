"""The board for programs: JSON, paged by cursor, open to every web page (CORS), and the bank's feed."""

import asyncio
import sqlite3
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Literal

import msgspec
from aiohttp import web

from bank.board.board import Board
from bank.board.feed import FEED_PATH, MOST_FEED_BYTES
from bank.board.log.tiles import pack
from bank.board.web.endpoints import Endpoint, Parameter
from bank.board.web.views import (
    CertifiedView,
    CoinPage,
    EntriesPage,
    LogPage,
    PostedView,
    ReplacedView,
    RoundsPage,
    SpentView,
    TotalsPage,
    View,
    entry_view,
    round_view,
    totals_view,
)
from bank.board.writing import notable
from bank.board.writing.store import Placed
from bank.formats.entry import CertifiedEntry, Kind, ReplacedEntry, decode_entry
from bank.formats.succession import BankKeys
from mix.links.front import read_body
from mixmint.wire import encode

MOST_KEYS = 64
"""Key entries and changes of the bank's key that are shown: more keys than any bank will have."""
MOST_PAGE = 1000
MOST_PAGE_BYTES = 1 << 19
"""Four times a page of coins. A thousand entries of 32 KB would make 43 MB, for anyone who asks."""
MOST_FEEDS = 32
"""Bodies of feeds that come at a time, of 1 MiB each: whose they are is known only when they are whole."""
NEVER_CHANGES = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"

AFTER = Parameter("after", "rounds with higher numbers than this one", default=0, most=2**32 - 1)
CURSOR = Parameter("cursor", "index of the first entry wanted", default=0)
LIMIT = Parameter("limit", "how many at most", default=100, least=1, most=MOST_PAGE)
COIN = Parameter("id", "a coin id, 64 hexadecimal digits", place="path", hex_bytes=32)


def answer_json(request: web.Request, answer: Any, *, closed: bool = False) -> web.Response:
    """
    JSON with an ETag. ``closed``: a page that is full of closed rounds never changes, so it may be kept.
    """
    return answer_cached(
        request,
        msgspec.json.encode(answer),
        "application/json",
        NEVER_CHANGES if closed else ASK_AGAIN,
    )


def answer_cached(request: web.Request, body: bytes, media_type: str, cache: str) -> web.Response:
    """A body under its hash: who has it already gets 304 and no body."""
    etag = sha256(body).hexdigest()[:32]
    headers = {"ETag": f'"{etag}"', "Cache-Control": cache}
    known = request.if_none_match or ()
    if any(one.value in (etag, "*") for one in known):
        return web.Response(status=304, headers=headers)
    charset = "utf-8" if media_type.startswith("text/") else None
    return web.Response(body=body, content_type=media_type, charset=charset, headers=headers)


class Api:
    """The handlers; ``endpoints`` says where each belongs."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._coming: dict[int, web.Request] = {}
        """Feeds whose bodies are being read, the oldest first."""

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("/api/v1/rounds", "Closed rounds", self.rounds, RoundsPage, parameters=(AFTER, LIMIT)),
            Endpoint(
                "/api/v1/entries",
                "The log's leaves: entries of closed rounds, and the marks between them",
                self.entries,
                EntriesPage,
                parameters=(CURSOR, LIMIT),
            ),
            Endpoint("/api/v1/totals", "Running totals", self.totals, TotalsPage),
            Endpoint(
                "/api/v1/coins/{id}",
                "The entries about one coin, at most 32 repeats. For people: who asks shows interest in it",
                self.coin,
                CoinPage,
                parameters=(COIN,),
            ),
            Endpoint(
                "/api/v1/bank",
                "The bank's key, all changes of it and its newest terms: entries of the log, each behind its "
                "length (2 bytes)",
                self.bank,
                media_type="application/octet-stream",
            ),
            Endpoint("/api/v1/log", "The log's verifier key, for first sight", self.log, LogPage),
            Endpoint(
                FEED_PATH,
                "The bank's outbox, signed. Answers a msgpack receipt (docs/spec/board.md)",
                self.feed,
                method="POST",
                media_type="application/octet-stream",
                statuses=(403, 409, 503),
            ),
            Endpoint(
                "/events",
                "Server-sent events, one per closed round, its data as in /api/v1/rounds",
                self.events,
                media_type="text/event-stream",
                statuses=(503,),
            ),
        ]

    async def log(self, request: web.Request) -> web.Response:
        return answer_json(request, LogPage(self._board.publisher.log.text()))

    async def bank(self, request: web.Request) -> web.Response:
        size = self._board.store.newest.size

        def places(connection: sqlite3.Connection) -> list[int]:
            keys = [
                index
                for kind in (Kind.KEY, Kind.KEY_CHANGE)
                for index, _ in notable.newest(connection, kind, size, MOST_KEYS)
            ]
            terms = notable.newest(connection, Kind.TERMS, size, 1)
            return sorted([*keys, *(index for index, _ in terms)])

        found = await self._board.store.read(places)
        entries = [placed.entry for at in found for placed in await self._board.store.entries(at, 1)]
        return answer_cached(request, pack(entries), "application/octet-stream", ASK_AGAIN)

    async def rounds(self, request: web.Request) -> web.Response:
        limit = LIMIT.number(request)
        rounds = await self._board.store.rounds(AFTER.number(request), limit)
        page = RoundsPage([round_view(closed) for closed in rounds])
        return answer_json(request, page, closed=len(rounds) == limit)

    async def entries(self, request: web.Request) -> web.Response:
        cursor, limit = CURSOR.number(request), LIMIT.number(request)
        found = await self._board.store.entries(cursor, limit, MOST_PAGE_BYTES)
        page = EntriesPage([_view(placed) for placed in found], cursor + len(found))
        return answer_json(request, page, closed=len(found) == limit)

    async def totals(self, request: web.Request) -> web.Response:
        newest = self._board.store.newest
        totals = totals_view(newest.totals)
        page = TotalsPage(newest.number, newest.size, newest.root.hex(), newest.closed_at_s, totals)
        return answer_json(request, page)

    async def coin(self, request: web.Request) -> web.Response:
        coin = COIN.data(request)
        found = await self._board.store.coin(coin)
        counting, void = parted(found, self._board.keys)
        return answer_json(request, coin_page(coin, counting, void))

    async def feed(self, request: web.Request) -> web.Response:
        if len(self._coming) >= MOST_FEEDS:
            # The slowest goes: the bank's own takes milliseconds.
            slowest = self._coming.pop(next(iter(self._coming)))
            if slowest.transport is not None:
                slowest.transport.abort()
        self._coming[id(request)] = request
        try:
            body = await read_body(request, lambda length: 0 < length <= MOST_FEED_BYTES)
        finally:
            self._coming.pop(id(request), None)
        taken, receipt = await self._board.feed(body)
        return web.Response(
            status=200 if taken else 409,
            body=encode(receipt),
            content_type="application/octet-stream",
            headers={"Cache-Control": "no-store"},
        )

    async def events(self, request: web.Request) -> web.StreamResponse:
        events = self._board.hub.subscribe()
        # The first one comes before the status line: it raises Unavailable when there are too many.
        first = await anext(events)
        response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        response.content_type = "text/event-stream"
        response.charset = "utf-8"
        try:
            await response.prepare(request)
            await _write(response, first)
            async for event in events:
                await _write(response, event)
        except (ConnectionError, TimeoutError):
            # He is gone, or doesn't read: his place is for the next one.
            if request.transport is not None:
                request.transport.abort()
        finally:
            await events.aclose()
        return response


async def _write(response: web.StreamResponse, event: bytes) -> None:
    async with asyncio.timeout(10):
        await response.write(event)


def _view(placed: Placed) -> Any:
    return entry_view(placed.index, placed.round, placed.entry)


def parted(found: Sequence[Placed], keys: BankKeys) -> tuple[list[Placed], list[Placed]]:
    """
    Entries about one coin, those that count and those that are void: signed by a key that another had
    replaced. Nobody's signature is looked at where the bank has had one key only.
    """
    void = [placed for placed in found if is_void(placed, keys)]
    return [placed for placed in found if placed not in void], void


def is_void(placed: Placed, keys: BankKeys) -> bool:
    """Whether an earlier key of the bank's signed this entry, at a place where that counts no more."""
    entry, counting = decode_entry(placed.entry), keys.key_at(placed.index)
    if counting == keys.founding or not isinstance(entry, CertifiedEntry | ReplacedEntry):
        return False
    earlier = keys.all[: keys.all.index(counting)]
    return any(entry.holds(key, keys.id) for key in earlier)


def coin_page(coin: bytes, found: list[Placed], void: Sequence[Placed] = ()) -> CoinPage:
    """A coin's state by its entries."""
    views = [_view(placed) for placed in found]
    certified = [view for view in views if isinstance(view, CertifiedView)]
    spent = [view for view in views if isinstance(view, SpentView)]
    posted = [view for view in views if isinstance(view, PostedView)]
    replaced = [view for view in views if isinstance(view, ReplacedView)]
    state = _state(certified or posted, spent, replaced)
    return CoinPage(coin.hex(), state, certified, spent, posted, replaced, [placed.index for placed in void])


def _state(
    certified: Sequence[View], spent: Sequence[View], replaced: Sequence[View]
) -> Literal["unknown", "certified", "spent", "replaced"]:
    """The highest: states only grow."""
    if replaced:
        return "replaced"
    if spent:
        return "spent"
    return "certified" if certified else "unknown"
