"""
What the board serves, as data: routes are made from these, and so is their description.

Queries are read strictly: an unknown name, a second value or a number out of its bounds is refused, with one
kind of error for all of them.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web

from mixmint.errors import MalformedMessage

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Parameter:
    """
    A number (``least`` to ``most``); with ``hex_bytes``, that many bytes in hexadecimal; with ``pattern``,
    text that the handler reads itself.
    """

    name: str
    description: str
    place: Literal["query", "path"] = "query"
    default: int | None = None
    least: int = 0
    most: int = 2**63 - 1
    hex_bytes: int = 0
    pattern: str = ""

    def number(self, request: web.Request) -> int:
        """Raises MalformedMessage("query")."""
        text = self._text(request)
        if text is None and self.default is not None:
            return self.default
        # isdecimal alone would take the digits of other scripts; 19 digits hold every allowed number.
        if text is None or not (text.isascii() and text.isdecimal() and len(text) <= 19):
            raise MalformedMessage("query", f"{self.name} must be a number")
        number = int(text)
        if not self.least <= number <= self.most:
            raise MalformedMessage("query", f"{self.name} must be from {self.least} to {self.most}")
        return number

    def data(self, request: web.Request) -> bytes:
        """Raises MalformedMessage("query")."""
        text = self._text(request) or ""
        try:
            # fromhex would skip spaces.
            data = bytes.fromhex(text) if len(text) == 2 * self.hex_bytes else b""
        except ValueError:
            data = b""
        if len(data) != self.hex_bytes:
            raise MalformedMessage("query", f"{self.name} must be {2 * self.hex_bytes} hexadecimal digits")
        return data

    def _text(self, request: web.Request) -> str | None:
        return request.match_info.get(self.name) if self.place == "path" else request.query.get(self.name)


@dataclass(frozen=True)
class Endpoint:
    """
    One path. ``answer``: the struct that a 200 carries as JSON, or None for another ``media_type``.

    ``statuses``: what else can come back, besides 400 for a malformed request. ``route``: the path as the
    router wants it, where it differs.
    """

    path: str
    summary: str
    handle: Handle = field(repr=False)
    answer: type | None = None
    method: Literal["GET", "POST"] = "GET"
    media_type: str = "application/json"
    parameters: Sequence[Parameter] = ()
    statuses: Sequence[int] = ()
    route: str = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Check the query's names, then handle."""
        known = {parameter.name for parameter in self.parameters if parameter.place == "query"}
        for name in request.query:
            if name not in known:
                raise MalformedMessage("query", "unknown name; see /openapi.json")
            if len(request.query.getall(name)) > 1:
                raise MalformedMessage("query", f"{name} is given twice")
        return await self.handle(request)
