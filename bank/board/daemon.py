"""
The board's daemon: a public port for people, programs and the bank's feed, a loopback port for the operator.

What goes wrong is told in one way: a small JSON object under /api, a page elsewhere. The word in it is the
word of the operator's counter; bytes of the request are in neither.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import msgspec
from aiohttp import web

from bank.board.api import Api, answer_json
from bank.board.board import Board
from bank.board.endpoints import Endpoint
from bank.board.feed import MOST_FEED_BYTES
from bank.board.metrics import BoardMetrics
from bank.board.openapi import describe
from bank.board.pages import Pages
from bank.board.settings import BoardSettings
from bank.board.store import BoardStore
from bank.board.views import ErrorView
from mixmint.errors import PeerError, UserError
from mixmint.keys import SigningKey

BOARD = web.AppKey("board", Board)

_FOR_PROGRAMS = ("/api/", "/openapi.json", "/events")
_POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
_WORDS = {404: "not-found", 405: "method", 413: "size"}

_log = logging.getLogger("bank.board")

Alongside = Callable[[Board], AbstractAsyncContextManager[None]]
"""What runs as long as the board does, such as its answers over the mixes."""


def build_app(
    settings: BoardSettings,
    key: SigningKey,
    bank_key: bytes,
    *,
    metrics: BoardMetrics | None = None,
    alongside: Alongside | None = None,
) -> web.Application:
    """
    The public application. ``key`` signs rounds; ``bank_key`` (32 bytes) is whose feed is taken.

    The database is opened and rounds begin to close when the application starts.
    """
    store = BoardStore(settings.database_path, key, settings.round_entries)
    board = Board(
        store,
        key,
        bank_key,
        round_s=settings.round_ms / 1000,
        check_entries=settings.check_entries,
        subscribers=settings.subscribers,
        metrics=metrics,
    )
    pages = Pages(board, settings.name)
    endpoints = [*Api(board).endpoints(), *pages.endpoints()]
    endpoints.append(_description(endpoints))
    app = web.Application(middlewares=[_refusals(board, pages)], client_max_size=MOST_FEED_BYTES)
    app[BOARD] = board
    for endpoint in endpoints:
        if endpoint.method == "POST":
            app.router.add_post(endpoint.path, endpoint.serve)
        else:
            # A HEAD of an endless answer would never end.
            endless = endpoint.media_type == "text/event-stream"
            app.router.add_get(endpoint.path, endpoint.serve, allow_head=not endless)
    app.on_response_prepare.append(_headers)
    app.on_shutdown.append(_end_feeds)
    app.cleanup_ctx.append(_work(board, alongside))
    return app


def _description(endpoints: list[Endpoint]) -> Endpoint:
    async def openapi(request: web.Request) -> web.Response:
        return answer_json(request, document)

    own = Endpoint("/openapi.json", "This description", openapi)
    document = describe([*endpoints, own])
    return own


def _work(board: Board, alongside: Alongside | None) -> Callable[[web.Application], AsyncIterator[None]]:
    async def work(_: web.Application) -> AsyncIterator[None]:
        board.store.open()
        tasks = [asyncio.create_task(board.close_rounds()), asyncio.create_task(board.check_samples())]
        for task in tasks:
            task.add_done_callback(board.note_end)
        try:
            if alongside is None:
                yield
            else:
                async with alongside(board):
                    yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await board.store.close()

    return work


async def _end_feeds(app: web.Application) -> None:
    app[BOARD].hub.close()


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "mixmint"
    response.headers["X-Content-Type-Options"] = "nosniff"
    if request.path.startswith(_FOR_PROGRAMS):
        response.headers["Access-Control-Allow-Origin"] = "*"
    else:
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Referrer-Policy"] = "no-referrer"


def _refusals(board: Board, pages: Pages) -> Callable[..., Awaitable[web.StreamResponse]]:
    @web.middleware
    async def refuse(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except PeerError as error:
            status, word, message = 403 if error.reason == "signature" else 400, error.reason, str(error)
        except UserError as error:
            status, word, message = 503, "unavailable", str(error)
        except web.HTTPException as error:
            if error.status not in _WORDS:
                raise
            status, word, message = error.status, _WORDS[error.status], error.reason
        except Exception:  # noqa: BLE001 - the outermost loop: the next request must find the daemon alive
            _log.exception("a request failed")
            status, word, message = 500, "fault", "a fault of the board; its operator can see it"
        board.metrics.refused.labels(word).inc()
        if request.path.startswith(_FOR_PROGRAMS):
            body = msgspec.json.encode(ErrorView(word, message))
            answer = web.Response(status=status, body=body, content_type="application/json")
        else:
            answer = pages.error(request, status, message)
        answer.headers["Cache-Control"] = "no-store"
        if status == 503:
            answer.headers["Retry-After"] = "1"
        if request.can_read_body:
            # What is left of the body would be read as the next request.
            answer.force_close()
        return answer

    return refuse


def health(board: Board) -> dict[str, object]:
    """For /healthz: not ok while the store can't write, and once a part of the board has stopped."""
    newest = board.store.newest
    status = "ok" if board.writes else "the store can't write; is the disk full?"
    return {
        "status": board.stopped or status,
        "round": newest.round.number,
        "entries": newest.round.next,
    }
