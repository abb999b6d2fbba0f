"""The log over HTTP: exactly as C2SP tlog-tiles says, and nothing but the log's files."""

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from bank.board.feed import Batch
from bank.board.log.checkpoint import open_checkpoint
from bank.board.log.note import Note
from bank.board.log.tiles import tiles_of, unpack
from bank.board.web.logfiles import AT_ONCE, LogFiles
from tests.unit.bank.board.conftest import LOG

ENTRIES = 300


@pytest.fixture
async def board(start_board, mint):
    """One round of 300 entries."""
    board = await start_board()
    await board.feed.feed(Batch(1, [[mint.certified(n)] for n in range(1, ENTRIES + 1)]))
    await board.close_round()
    return board


async def get(board, path: str, method: str = "GET", **headers: str):
    # Sent as written: a client that tidies the path up would hide what a hostile one sends.
    host, port = board.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    writer.close()
    status, *rest = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.lower().split(": ", 1) for line in rest), body


async def test_the_checkpoint_is_a_signed_note_that_is_never_cached_unasked(board) -> None:
    """Text, revalidated each time, open to every web page."""
    status, headers, body = await get(board, "/checkpoint")
    assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert (headers["cache-control"], headers["access-control-allow-origin"]) == ("no-cache", "*")
    newest = board.board.store.newest
    checkpoint = open_checkpoint(Note.decode(body), LOG)
    assert (checkpoint.size, checkpoint.root) == (newest.size, newest.root) == (ENTRIES + 1, newest.root)
    again, _, nothing = await get(board, "/checkpoint", If_None_Match=headers["etag"])
    assert (again, nothing) == (304, b"")


async def test_an_empty_board_has_a_checkpoint_too(start_board) -> None:
    """So that a reader can tell it from one that is away."""
    _, _, body = await get(await start_board(), "/checkpoint")
    assert open_checkpoint(Note.decode(body), LOG).size == 0


async def test_every_tile_of_the_log_is_served_as_it_stands_in_the_folder(board, tmp_path: Path) -> None:
    """Bytes, cached for ever: what is under a name never changes."""
    for tile in tiles_of(ENTRIES + 1):
        status, headers, body = await get(board, f"/{tile.path()}")
        assert (status, headers["content-type"]) == (200, "application/octet-stream")
        assert headers["cache-control"] == "public, max-age=31536000, immutable"
        assert headers["access-control-allow-origin"] == "*"
        assert "content-encoding" not in headers
        assert body == (tmp_path / "log" / tile.path()).read_bytes()


async def test_entries_are_zipped_for_those_who_ask(board) -> None:
    """And hashes, which don't shrink, are not."""
    _, _, plain = await get(board, "/tile/entries/000")
    for wanted, zipped in (
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("br", False),
    ):
        _, headers, body = await get(board, "/tile/entries/000", Accept_Encoding=wanted)
        assert headers["vary"] == "accept-encoding"
        assert (headers.get("content-encoding") == "gzip") is zipped
        assert (gzip.decompress(body) if zipped else body) == plain
    assert len(unpack(plain)) == 256
    _, headers, _ = await get(board, "/tile/0/000", Accept_Encoding="gzip")
    assert "content-encoding" not in headers


async def test_head_says_what_get_would(board) -> None:
    """Without the bytes."""
    for path in ("/checkpoint", "/tile/0/000", "/tile/entries/001.p/45"):
        _, headers, body = await get(board, path)
        status, same, nothing = await get(board, path, method="HEAD")
        assert (status, nothing) == (200, b"")
        assert same["content-length"] == headers["content-length"] == str(len(body))


ABSENT = [
    "/tile/0/001.p/46",
    "/tile/0/001.p/44",
    "/tile/0/001",
    "/tile/0/002",
    "/tile/1/000",
    "/tile/2/000.p/1",
    "/tile/0/000.p/0",
    "/tile/0/000.p/256",
    "/tile/0/000.p/01",
    "/tile/0/0",
    "/tile/0/x000/000",
    "/tile/0/000/",
    "/tile/8/000",
    "/tile/-1/000",
    "/tile/00/000",
    "/tile/data/000",
    "/tile/entries/x999/x999/x999/x999/x999/x999/999",
    "/tile/0/000%00",
    "/tile/0/%30%30%30/..",
    "/tile/../checkpoint",
    "/tile/..%2fcheckpoint",
    "/tile/0/../../../board.db",
    "/tile/%2e%2e/%2e%2e/board.key",
    "/tile//etc/passwd",
    "/tile/",
    "/tile",
    "/tile/0/%D9%A0%D9%A0%D9%A0",
    "/checkpoint/",
    "/checkpoint.new",
]


@pytest.mark.parametrize("path", ABSENT)
async def test_what_does_not_exist_is_404(board, path: str) -> None:
    """Other spellings of a name, other widths, other files: all alike."""
    status, headers, body = await get(board, path)
    assert (status, headers["cache-control"]) == (404, "no-store")
    assert not path.startswith("/tile/") or json.loads(body)["error"] == "not-found"


async def test_a_query_is_refused(board) -> None:
    """A name has one spelling, or caches would hold it many times."""
    status, _, _ = await get(board, "/tile/0/000?x=1")
    assert status == 400


async def test_a_flood_of_readers_is_bounded_and_everybody_else_goes_on(
    board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many are served at a time, so many more may wait; the rest are told to come again."""
    reading, most = 0, 0
    release = asyncio.Event()
    real = LogFiles._read

    async def slow(self, work):
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        await release.wait()
        reading -= 1
        return await real(self, work)

    monkeypatch.setattr(LogFiles, "_read", slow)
    monkeypatch.setattr("bank.board.web.logfiles.MOST_WAITING", AT_ONCE + 10)
    asked = [asyncio.create_task(get(board, "/tile/0/000")) for _ in range(AT_ONCE + 30)]
    refused = []
    async with asyncio.timeout(10):
        while len(refused) < 20:
            done, _ = await asyncio.wait(asked, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
            refused = [task.result() for task in done]
    assert all((status, headers["retry-after"]) == (503, "1") for status, headers, _ in refused)
    assert most == AT_ONCE
    release.set()
    answers = await asyncio.gather(*asked)
    assert sorted(status for status, _, _ in answers) == [200] * (AT_ONCE + 10) + [503] * 20
