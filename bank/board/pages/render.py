"""Templates, and how an answer goes out."""

from datetime import UTC, datetime
from typing import Any

import jinja2
from aiohttp import web

from bank.board.web.api import ASK_AGAIN, answer_cached


class Renderer:
    """Fills templates in. ``name``: what the board is called. Every value is escaped by the engine."""

    def __init__(self, name: str) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("bank.board"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["name"] = name
        self._templates.filters["number"] = lambda number: f"{number:,}"
        self._templates.filters["clock"] = lambda at_s: f"{utc(at_s):%-d %b %Y, %H:%M:%S}"
        self._templates.filters["iso"] = lambda at_s: f"{utc(at_s):%Y-%m-%dT%H:%M:%SZ}"

    def text(self, template: str, **values: Any) -> str:
        """The page as text."""
        return self._templates.get_template(template).render(values)

    def answer(self, request: web.Request, template: str, status: int = 200, **values: Any) -> web.Response:
        """
        The page as an answer; a 200 has an ETag. Browsers ask again each time: the next round is near.
        """
        body = self.text(template, **values).encode()
        if status != 200:
            return web.Response(status=status, body=body, content_type="text/html", charset="utf-8")
        return answer_cached(request, body, "text/html", ASK_AGAIN)


def utc(seconds: int) -> datetime:
    """A moment (Unix seconds), for people all over the world."""
    return datetime.fromtimestamp(seconds, UTC)
