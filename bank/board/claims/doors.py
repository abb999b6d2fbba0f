"""
The ways to the desk: ``POST /api/v1/claims``, and requests of kind CLAIM over the mixes.

Source: docs/spec/claim.md, sections 4 and 5.
"""

import msgspec
from aiohttp import web

from bank.board.claims.desk import Accepted, Desk, WaitYourTurn
from bank.board.claims.parts import Parts
from bank.board.web.endpoints import Endpoint
from bank.board.web.views import ErrorView
from bank.formats.entry import MOST_ENTRY_BYTES
from mix.links.front import read_body

CLAIMS_PATH = "/api/v1/claims"
TAKEN, KNOWN, WAIT, MORE = 1, 2, 3, 4
"""The first byte of an answer over the mixes."""


class HttpDoor:
    """Submissions over HTTP: the body is the entry, the answer a receipt of 104 bytes."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def endpoint(self) -> Endpoint:
        return Endpoint(
            CLAIMS_PATH,
            "A claim, an answer of the bank's, a certificate or an accusation, for the log. Answers a "
            "receipt; 202 when it is new (docs/spec/claim.md)",
            self.submit,
            method="POST",
            media_type="application/octet-stream",
            statuses=(202, 403, 413, 429, 503),
        )

    async def submit(self, request: web.Request) -> web.Response:
        length = request.content_length
        if length is not None and length > MOST_ENTRY_BYTES:
            raise web.HTTPRequestEntityTooLarge(MOST_ENTRY_BYTES, length)
        body = await read_body(request, lambda length: 0 < length <= MOST_ENTRY_BYTES)
        try:
            accepted = await self._desk.submit(body)
        except WaitYourTurn as error:
            answer = msgspec.json.encode(ErrorView("too-many", str(error)))
            headers = {"Retry-After": str(error.after_s), "Cache-Control": "no-store"}
            return web.Response(status=429, body=answer, content_type="application/json", headers=headers)
        return web.Response(
            status=202 if accepted.fresh else 200,
            body=accepted.receipt.encode(),
            content_type="application/octet-stream",
            headers={"Cache-Control": "no-store"},
        )


class MixDoor:
    """
    Submissions over the mixes: parts of an entry (parts.py), each answered:

        1 || receipt 104     taken
        2 || receipt 104     it was there already
        3 || seconds 4       nothing was taken: come again then
        4                    other parts are missing
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._parts = Parts()

    async def handle(self, body: bytes) -> bytes:
        """Raises PeerError (it is no submission, or doesn't verify), Unavailable, UserError."""
        entry = self._parts.add(body)
        if entry is None:
            return MORE.to_bytes(1)
        try:
            accepted = await self._desk.submit(entry)
        except WaitYourTurn as error:
            return WAIT.to_bytes(1) + error.after_s.to_bytes(4)
        return _answer(accepted)


def _answer(accepted: Accepted) -> bytes:
    return (TAKEN if accepted.fresh else KNOWN).to_bytes(1) + accepted.receipt.encode()
