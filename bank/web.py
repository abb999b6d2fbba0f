"""
The bank's direct HTTP side. Not anonymous: the bank sees who connects. Wallets use it for what names an
account anyway; orders belong on the mixes.

A body is exactly the request bytes that would travel in a packet, an answer exactly the signed answer bytes.
"""

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from bank.formats.coin import MOST_EXPONENT
from bank.formats.order import MOST_INPUTS, MOST_OUTPUTS
from bank.formats.request import MOST_REQUEST_BYTES, Kind
from bank.ledger import Signer
from bank.openapi import describe
from bank.outbox import BoardClock
from bank.service import Bank
from mixmint.errors import FatalError, Unavailable, UserError

PATHS = {
    "/api/v1/order": (Kind.ORDER, Kind.EXECUTE),
    "/api/v1/withdraw": (Kind.WITHDRAW,),
    "/api/v1/deposit": (Kind.DEPOSIT,),
    "/api/v1/replace": (Kind.REPLACE,),
    "/api/v1/statements": (Kind.STATEMENTS,),
}
_BYTES = "application/octet-stream"
_RETRY_AFTER_S = "2"

_log = logging.getLogger("bank.web")


def build_app(bank: Bank, signer: Signer, clock: BoardClock) -> web.Application:
    """The application; whoever builds it runs and closes ``bank``."""
    app = web.Application(client_max_size=MOST_REQUEST_BYTES)
    for path, kinds in PATHS.items():
        app.router.add_post(path, _asking(bank, kinds))

    async def keys(_: web.Request) -> web.Response:
        return web.json_response(_keys(signer, clock), headers={"Cache-Control": "no-cache"})

    async def openapi(_: web.Request) -> web.Response:
        return web.json_response(describe(list(PATHS)))

    app.router.add_get("/api/v1/keys", keys)
    app.router.add_get("/openapi.json", openapi)
    return app


def _asking(bank: Bank, kinds: tuple[Kind, ...]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def ask(request: web.Request) -> web.Response:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _error(413, f"a request has at most {MOST_REQUEST_BYTES} bytes")
        if not body or body[0] not in kinds:
            return _error(400, "not a request of this kind")
        try:
            answer = await bank.ask(body)
        except UserError as error:
            # Not signed: it says nothing about the request, only that nothing happened.
            why = (
                str(error) if isinstance(error, Unavailable) else "the bank can't write now; try again later"
            )
            return _error(503, why)
        except FatalError:
            return _error(503, "the bank has stopped")
        return web.Response(body=answer, content_type=_BYTES)

    return ask


def _error(status: int, text: str) -> web.Response:
    headers = {"Retry-After": _RETRY_AFTER_S} if status == 503 else {}
    return web.json_response({"error": text}, status=status, headers=headers)


def _keys(signer: Signer, clock: BoardClock) -> dict[str, object]:
    terms = signer.terms
    return {
        "bank": signer.bank.hex(),
        "signing_key": signer.key.public.hex(),
        "epoch": clock.epoch(),
        "newest_closed": clock.closed,
        "values": [1 << exponent for exponent in range(MOST_EXPONENT + 1)],
        "terms": {
            "epoch_s": terms.epoch_s,
            "life_epochs": terms.life_epochs,
            "grace_epochs": terms.grace_epochs,
            "hold_rounds": terms.hold_rounds,
            "promise_rounds": terms.promise_rounds,
            "claim_rounds": terms.claim_rounds,
        },
        "limits": {
            "inputs": MOST_INPUTS,
            "outputs": MOST_OUTPUTS,
            "request_bytes": MOST_REQUEST_BYTES,
        },
    }
