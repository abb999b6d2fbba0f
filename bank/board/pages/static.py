"""The pages' own files: style, scripts, icon. Read once, when the board starts."""

from importlib.resources import files

from aiohttp import web

from bank.board.web.api import ASK_AGAIN, answer_cached
from bank.board.web.endpoints import Endpoint, Handle

_MEDIA_TYPES = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "txt": "text/plain",
}
_ELSEWHERE = {"icon.svg": "/icon.svg", "robots.txt": "/robots.txt"}


def static_files() -> list[Endpoint]:
    """An endpoint for each file in ``bank/board/static``."""
    found = []
    for file in sorted(files("bank.board").joinpath("static").iterdir(), key=lambda file: file.name):
        media_type = _MEDIA_TYPES[file.name.rpartition(".")[2]]
        path = _ELSEWHERE.get(file.name, f"/static/{file.name}")
        serve = _always(file.read_bytes(), media_type)
        found.append(Endpoint(path, "Part of the pages", serve, media_type=media_type))
    return found


def _always(body: bytes, media_type: str) -> Handle:
    """
    The same bytes for everybody. Browsers ask each time whether they changed: after an upgrade, old scripts
    don't fit new pages.
    """

    async def serve(request: web.Request) -> web.StreamResponse:
        return answer_cached(request, body, media_type, ASK_AGAIN)

    return serve
