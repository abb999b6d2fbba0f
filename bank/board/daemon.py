"""
The board's daemon: a public port for people, programs and the bank's feed, a loopback port for the operator.

What goes wrong is told in one way: a small JSON object under /api, a page elsewhere. The word in it is the
word of the operator's counter; bytes of the request are in neither.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import aiohttp
import msgspec
from aiohttp import web

from bank.board.board import Board
from bank.board.claims.desk import Desk, SubmissionMetrics
from bank.board.claims.doors import HttpDoor
from bank.board.claims.rules import Parties
from bank.board.feed import MOST_FEED_BYTES
from bank.board.log.folder import TileFolder
from bank.board.log.policy import NO_POLICY, Policy
from bank.board.log.source import CHECKPOINT
from bank.board.map.api import CoinProofs
from bank.board.map.keeper import MapKeeper
from bank.board.metrics import BoardMetrics
from bank.board.pages import Pages
from bank.board.pages.site import Identity
from bank.board.settings import BoardSettings
from bank.board.web.api import Api, answer_json, parted
from bank.board.web.endpoints import Endpoint
from bank.board.web.logfiles import LogFiles
from bank.board.web.openapi import describe
from bank.board.web.views import ErrorView
from bank.board.witness.collector import Collector, CollectorMetrics
from bank.board.writing.map_rounds import MapRounds
from bank.board.writing.publisher import Publisher, growth_proofs
from bank.board.writing.store import BoardStore, Placed
from bank.formats.succession import BankKeys
from mix.directory.network import Authorities
from mixmint.errors import PeerError, UserError
from mixmint.keys import SigningKey

BOARD = web.AppKey("board", Board)
DESK = web.AppKey("desk", Desk)

_FOR_PROGRAMS = ("/api/", "/openapi.json", "/events", "/tile/")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
_WORDS = {404: "not-found", 405: "method", 413: "size"}
_FORBIDDEN = {"signature", "unproved"}

_log = logging.getLogger("bank.board")

Alongside = Callable[[Board], AbstractAsyncContextManager[None]]
"""What runs as long as the board does, such as its answers over the mixes."""


def build_app(
    settings: BoardSettings,
    key: SigningKey,
    bank_key: bytes,
    *,
    metrics: BoardMetrics | None = None,
    policy: Policy = NO_POLICY,
    authorities: Authorities | None = None,
    alongside: Alongside | None = None,
) -> web.Application:
    """
    The public application. ``key`` signs the log; ``bank_key`` (32 bytes): the bank's founding key, whose
    feed is taken until ``authorities`` change it; ``policy``: which witnesses are asked.

    The database is opened and rounds begin to close when the application starts. Raises UserError when the
    log can't be called as the settings say.
    """
    folder = TileFolder(settings.log_path)
    store = BoardStore(settings.database_path, folder, settings.round_entries)
    publisher = Publisher(store, folder, key, settings.log_origin)
    board = Board(
        store,
        publisher,
        key,
        bank_key,
        round_s=settings.round_ms / 1000,
        check_entries=settings.check_entries,
        subscribers=settings.subscribers,
        metrics=metrics,
    )
    identity = Identity(settings.name, publisher.log, policy, bank_key)
    pages = Pages(board, identity, lambda: publisher.recent, authorities)
    files = LogFiles(folder)
    keeper = MapKeeper(settings.map_path, settings.log_path)
    maps = MapRounds(board, keeper, settings.map_rounds)

    async def counting(coin: bytes) -> list[Placed]:
        # A proof shows what counts: a void certificate would look like the coin's.
        return parted(await store.coin(coin), board.keys)[0]

    proofs = CoinProofs(keeper, folder, lambda: maps.newest, counting)
    desk = Desk(
        board, Parties(key.public, BankKeys(bank_key), authorities), SubmissionMetrics(board.metrics.registry)
    )
    endpoints = [
        *Api(board).endpoints(),
        HttpDoor(desk).endpoint(),
        *files.endpoints(),
        *proofs.endpoints(),
        *pages.endpoints(),
    ]
    endpoints.append(_description(endpoints))
    app = web.Application(middlewares=[_refusals(board, pages)], client_max_size=MOST_FEED_BYTES)
    app[BOARD], app[DESK] = board, desk
    for endpoint in endpoints:
        if endpoint.method == "POST":
            app.router.add_post(endpoint.route or endpoint.path, endpoint.serve)
        else:
            # A HEAD of an endless answer would never end.
            endless = endpoint.media_type == "text/event-stream"
            app.router.add_get(endpoint.route or endpoint.path, endpoint.serve, allow_head=not endless)
    app.on_response_prepare.append(_headers)
    app.on_shutdown.append(_end_feeds)
    app.cleanup_ctx.append(_witnesses(board, settings, policy))
    app.cleanup_ctx.append(_work(board, alongside))
    app.cleanup_ctx.append(_map(board, keeper, maps))
    app.on_cleanup.append(_close(files))
    return app


def _description(endpoints: list[Endpoint]) -> Endpoint:
    async def openapi(request: web.Request) -> web.Response:
        return answer_json(request, document)

    own = Endpoint("/openapi.json", "This description", openapi)
    document = describe([*endpoints, own])
    return own


def _witnesses(
    board: Board, settings: BoardSettings, policy: Policy
) -> Callable[[web.Application], AsyncIterator[None]]:
    async def witnesses(_: web.Application) -> AsyncIterator[None]:
        if not policy.witnesses:
            yield
            return
        async with aiohttp.ClientSession() as session:
            board.publisher.cosigners = Collector(
                policy,
                board.publisher.log.name,
                growth_proofs(TileFolder(settings.log_path)),
                session,
                timeout_s=settings.cosign_timeout_ms / 1000,
                fail_open=settings.cosign_fail_open,
                metrics=CollectorMetrics(board.metrics.registry),
            )
            yield

    return witnesses


def _map(
    board: Board, keeper: MapKeeper, maps: MapRounds
) -> Callable[[web.Application], AsyncIterator[None]]:
    async def work(_: web.Application) -> AsyncIterator[None]:
        async with keeper:
            await maps.start()
            task = asyncio.create_task(maps.run())
            task.add_done_callback(board.note_end)
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    return work


def _close(files: LogFiles) -> Callable[[web.Application], Awaitable[None]]:
    async def close(_: web.Application) -> None:
        files.close()

    return close


def _work(board: Board, alongside: Alongside | None) -> Callable[[web.Application], AsyncIterator[None]]:
    async def work(_: web.Application) -> AsyncIterator[None]:
        await board.start()
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
            board.publisher.stop()
            await board.store.close()

    return work


async def _end_feeds(app: web.Application) -> None:
    app[BOARD].hub.close()


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "mixmint"
    response.headers["X-Content-Type-Options"] = "nosniff"
    if _is_for_programs(request.path):
        response.headers["Access-Control-Allow-Origin"] = "*"
    else:
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Referrer-Policy"] = "no-referrer"


def _is_for_programs(path: str) -> bool:
    return path == f"/{CHECKPOINT}" or path.startswith(_FOR_PROGRAMS)


def _refusals(board: Board, pages: Pages) -> Callable[..., Awaitable[web.StreamResponse]]:
    @web.middleware
    async def refuse(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except PeerError as error:
            status, word, message = 403 if error.reason in _FORBIDDEN else 400, error.reason, str(error)
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
        if _is_for_programs(request.path):
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
    """
    For /healthz: not ok while the store can't write, and once a part of the board has stopped. Witnesses are
    neighbours: while too few cosign the board itself is well, and ``witnesses`` says who is missing.
    """
    newest = board.store.newest
    status = "ok" if board.writes else "the store can't write; is the disk full?"
    return {
        "status": board.stopped or status,
        "round": newest.number,
        "leaves": newest.size,
        "witnesses": board.publisher.cosigners.trouble or "ok",
    }
