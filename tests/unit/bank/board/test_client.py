"""bank/board/client.py: reading a real board, and boards that lie in every way the reader must notice."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bank.board.client import MOST_PAGE_BYTES, BoardReader, Cursor
from bank.board.feed import Batch
from bank.board.rounds import NO_DIGEST, sign_round
from bank.formats.entry import decode_entry
from mixmint.errors import MalformedMessage, PeerError, Unavailable
from mixmint.keys import SigningKey

KEY = SigningKey(b"k" * 32)


async def test_whole_rounds_are_read_in_order_and_verified(start_board, mint) -> None:
    """Entries come decoded, empty rounds come too, and the cursor leads on."""
    board = await start_board()
    await board.feed.feed(Batch(1, [[mint.certified(1, 3), mint.spent(2)]]))
    await board.close_round()
    await board.close_round()
    await board.feed.feed(Batch(2, [[mint.certified(3)]]))
    await board.close_round()
    rounds = await board.reader.rounds(Cursor())
    assert [(one.number, len(one.entries)) for one in rounds] == [(1, 2), (2, 0), (3, 1)]
    assert rounds[0].entries == tuple(decode_entry(e) for e in sorted([mint.certified(1, 3), mint.spent(2)]))
    assert await board.reader.rounds(rounds[2].after) == []
    assert await board.reader.rounds(rounds[0].after) == rounds[1:]
    assert await board.reader.head() == rounds[2].after


async def test_many_small_rounds_take_one_request_for_their_entries(start_board, mint) -> None:
    """A round per request would make catching up slow."""
    board = await start_board()
    for number in range(1, 30):
        await board.feed.feed(Batch(number, [[mint.certified(number)]]))
        await board.close_round()
    rounds = await board.reader.rounds(Cursor(), most=20)
    assert [one.number for one in rounds] == list(range(1, 21))
    rest = await board.reader.rounds(rounds[-1].after)
    assert [one.number for one in rest] == list(range(21, 30))


async def test_a_round_larger_than_a_page_is_read_whole(start_board, mint) -> None:
    """Pages are the board's business; rounds are the reader's."""
    board = await start_board(round_entries=5000)
    await board.feed.feed(Batch(1, [[mint.certified(n)] for n in range(1, 1203)]))
    await board.close_round()
    (one,) = await board.reader.rounds(Cursor())
    assert len(one.entries) == 1202


async def test_following_goes_on_from_a_stored_cursor(start_board, mint) -> None:
    """Over a restart of the reader nothing is read twice and nothing is missed."""
    board = await start_board()
    await board.close_round()
    seen = []
    following = board.reader.follow(Cursor(), poll_s=0.01)
    seen.append(await anext(following))
    waiting = asyncio.ensure_future(anext(following))
    await board.feed.feed(Batch(1, [[mint.certified(1)]]))
    await board.close_round()
    seen.append(await asyncio.wait_for(waiting, 5))
    await following.aclose()
    stored = Cursor.decode(seen[-1].after.encode())
    await board.close_round()
    again = await asyncio.wait_for(anext(board.reader.follow(stored, poll_s=0.01)), 5)
    assert [one.number for one in (*seen, again)] == [1, 2, 3]


async def test_following_waits_for_a_board_that_is_away_and_then_gives_up(unused_tcp_port: int) -> None:
    """Patience has an end, so that a command can say so."""
    async with aiohttp.ClientSession() as session:
        reader = BoardReader(f"http://127.0.0.1:{unused_tcp_port}", KEY.public, session)
        with pytest.raises(Unavailable, match="is it running"):
            await anext(reader.follow(Cursor(), poll_s=0.01, patience_s=0.05))


class Script:
    """A board that answers from dictionaries; tests change what it says."""

    def __init__(self, entries: list[bytes], previous: bytes = NO_DIGEST) -> None:
        self.round, _ = sign_round(KEY, 1, 0, previous, entries)
        self.rounds: list[dict[str, Any]] = [self.describe()]
        self.entries: list[dict[str, Any]] = [
            {"index": index, "round": 1, "bytes": base64.b64encode(entry).decode(), "kind": "spent"}
            for index, entry in enumerate(entries)
        ]
        self.raw: bytes | None = None
        self.status = 200

    def describe(self) -> dict[str, Any]:
        numbers = ("certified_units", "spent_units", "outstanding_units", "coins", "spent_coins", "accounts")
        return {
            "round": 1,
            "first": 0,
            "count": self.round.count,
            "closed_at": 5,
            "digest": self.round.digest.hex(),
            "previous": self.round.previous.hex(),
            "signature": self.round.signature.hex(),
            "totals": dict.fromkeys((*numbers, "repeats", "unknown"), 0),
        }

    async def answer(self, request: web.Request) -> web.Response:
        if self.raw is not None or self.status != 200:
            return web.Response(status=self.status, body=self.raw or b"")
        if request.path.endswith("rounds"):
            return web.json_response({"rounds": self.rounds})
        cursor = int(request.query["cursor"])
        return web.json_response({"entries": self.entries[cursor:], "next": len(self.entries)})


@pytest.fixture
async def read() -> AsyncIterator[Callable[[Script], Awaitable[Any]]]:
    servers: list[TestServer] = []
    async with aiohttp.ClientSession() as session:

        async def read_first(script: Script) -> Any:
            app = web.Application()
            app.router.add_get("/api/v1/{what}", script.answer)
            server = TestServer(app)
            servers.append(server)
            await server.start_server()
            return await BoardReader(str(server.make_url("/")), KEY.public, session).rounds(Cursor())

        yield read_first
        for server in servers:
            await server.close()


@pytest.fixture
def script(mint) -> Script:
    return Script(sorted([mint.certified(1), mint.spent(2), mint.spent(3)]))


async def test_the_scripted_board_is_believed_when_it_is_honest(read, script: Script) -> None:
    """Else the lies below would prove nothing."""
    (one,) = await read(script)
    assert len(one.entries) == 3


def _change(field: str, value: Any) -> Callable[[Script], None]:
    def change(script: Script) -> None:
        script.rounds[0][field] = value

    return change


def _swap(script: Script) -> None:
    script.entries[0]["bytes"], script.entries[1]["bytes"] = (
        script.entries[1]["bytes"],
        script.entries[0]["bytes"],
    )


def _forge(script: Script) -> None:
    forged, _ = sign_round(SigningKey(b"x" * 32), 1, 0, NO_DIGEST, [])
    script.rounds[0].update(count=0, digest=forged.digest.hex(), signature=forged.signature.hex())


def _rewrite(script: Script) -> None:
    """Its own key, another past."""
    other, _ = sign_round(KEY, 1, 0, b"p" * 32, [])
    script.rounds[0].update(
        count=0, digest=other.digest.hex(), previous=other.previous.hex(), signature=other.signature.hex()
    )


LIES: dict[str, tuple[Callable[[Script], None], str]] = {
    "an entry changed": (lambda s: s.entries[2].update(bytes=s.entries[1]["bytes"]), "digest"),
    "entries swapped": (_swap, "sorted"),
    "an entry missing": (lambda s: s.entries.pop(), "entries"),
    "an entry of another round": (lambda s: s.entries[1].update(round=2), "entries"),
    "an index twice": (lambda s: s.entries[1].update(index=0), "entries"),
    "an entry that is none": (lambda s: s.entries[1].update(bytes="AAAA"), "sorted"),
    "no base64": (lambda s: s.entries[1].update(bytes="*"), "encoding"),
    "another count": (_change("count", 2), "signature"),
    "a huge count": (_change("count", 2**31), "encoding"),
    "a round that isn't the next": (_change("round", 2), "chain"),
    "a hole before it": (_change("first", 1), "chain"),
    "a round below zero": (_change("first", -1), "encoding"),
    "another digest": (_change("digest", "00" * 32), "signature"),
    "a short digest": (_change("digest", "00"), "encoding"),
    "a stranger's signature": (_forge, "signature"),
    "another past": (_rewrite, "chain"),
    "more rounds than asked for": (lambda s: s.rounds.extend([s.rounds[0]] * 100), "rounds"),
    "a field that nobody knows": (_change("extra", 1), "encoding"),
    "not JSON": (lambda s: setattr(s, "raw", b"\xff{"), "encoding"),
    "deep nesting": (lambda s: setattr(s, "raw", b"[" * 100_000), "encoding"),
    "an endless answer": (lambda s: setattr(s, "raw", bytes(MOST_PAGE_BYTES + 1)), "size"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_lying_board_is_refused(read, script: Script, lie: str) -> None:
    """Each lie by itself, with its own reason; nothing of the answer is used."""
    change, reason = LIES[lie]
    change(script)
    with pytest.raises(MalformedMessage) as caught:
        await read(script)
    assert caught.value.reason == reason


async def test_a_signed_round_of_entries_that_nobody_can_read_is_refused(read) -> None:
    """A board's signature doesn't make bytes into entries."""
    with pytest.raises(MalformedMessage, match="kind"):
        await read(Script([b"\x63nonsense"]))


@pytest.mark.parametrize(
    ("status", "kind"), [(503, Unavailable), (500, Unavailable), (404, PeerError), (301, PeerError)]
)
async def test_statuses_become_errors_of_ours(read, script: Script, status: int, kind: type) -> None:
    """Not now, or not a board: never a redirect to somewhere else."""
    script.status = status
    with pytest.raises(kind):
        await read(script)


def test_a_cursor_survives_storage_and_nothing_else_is_one() -> None:
    """44 bytes."""
    cursor = Cursor(7, b"d" * 32, 2**40)
    assert Cursor.decode(cursor.encode()) == cursor
    assert len(cursor.encode()) == 44
    with pytest.raises(MalformedMessage):
        Cursor.decode(cursor.encode()[:-1])
