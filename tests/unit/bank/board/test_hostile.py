"""Hostile bytes at the board's port: one kind of refusal, a counter, and the board goes on."""

import asyncio
import contextlib
import sqlite3

import pytest

from bank.board.daemon import health
from bank.board.feed import FEED_PATH, MOST_FEED_BYTES, Batch, sign_feed
from bank.board.reading.client import Cursor
from bank.board.web.api import MOST_FEEDS
from mixmint.errors import Unavailable
from mixmint.keys import SigningKey

BANK = SigningKey(b"b" * 32)
KEY = SigningKey(b"k" * 32)


async def post(board, body: bytes) -> tuple[int, bytes]:
    async with board.session.post(board.url + FEED_PATH, data=body) as response:
        return response.status, await response.read()


async def is_alive(board, mint, first: int = 1) -> bool:
    """The next honest batch is taken."""
    return (await board.feed.feed(Batch(first, [[mint.certified(99)]]))).next_group == first + 1


def signed(batch: bytes) -> bytes:
    return sign_feed(BANK, KEY.public, batch)


HEAD = (1).to_bytes(8)
BODIES = {
    "nothing": (b"", 400, "length"),
    "too short": (bytes(73), 400, "size"),
    "noise": (bytes(range(256)) * 4, 403, "signature"),
    "another bank's": (sign_feed(KEY, KEY.public, HEAD + b"\0\0"), 403, "signature"),
    "for another board": (sign_feed(BANK, BANK.public, HEAD + b"\0\0"), 403, "signature"),
    "a signature that isn't the batch's": (signed(HEAD + b"\0\0") + b"\0", 403, "signature"),
    "signed, but cut short": (signed(HEAD + b"\0\1"), 400, "length"),
    "signed, but an entry of no kind": (signed(HEAD + b"\0\1\1\0\1\x09"), 400, "kind"),
    "signed, but number zero": (signed(bytes(8) + b"\0\0"), 400, "number"),
}


@pytest.mark.parametrize("what", BODIES)
async def test_a_bad_feed_is_refused_and_counted_and_the_next_good_one_is_taken(
    start_board, mint, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """Whatever comes, nothing of it is stored, and no traceback is written."""
    board = await start_board()
    body, status, reason = BODIES[what]
    got, answer = await post(board, body)
    assert got == status
    assert answer == b'{"error":"%s","message":"%s"}' % (reason.encode(), reason.encode())
    assert board.refused(reason) == 1
    assert await is_alive(board, mint)
    assert not any(record.exc_info for record in caplog.records)


async def test_an_oversized_feed_is_refused_before_it_is_read(start_board, mint) -> None:
    """The announced length is enough to say no."""
    board = await start_board()
    host, port = board.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {FEED_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {MOST_FEED_BYTES + 1}\r\n\r\n"
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.read(2000), 5)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b'"error":"length"' in answer
    writer.close()
    assert board.refused("length") == 1
    assert await is_alive(board, mint)


@pytest.mark.parametrize("path", [FEED_PATH, "/api/v1/claims"])
async def test_who_goes_away_in_the_middle_is_counted_and_does_not_fill_the_log(
    start_board, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It was thirty lines for each, as of a fault of ours, and costs a stranger nothing."""
    board = await start_board()
    _, writer = await asyncio.open_connection(*board.runner.addresses[0])
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\nabc".encode())
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()
    for _ in range(500):
        if board.refused("truncated") + board.refused("fault"):
            break
        await asyncio.sleep(0.01)
    assert (board.refused("truncated"), board.refused("fault")) == (1, 0)
    assert "a request failed" not in caplog.text


async def test_slow_feeds_hold_a_bounded_memory_and_the_bank_is_heard(start_board, mint) -> None:
    """Anyone may begin one, and keep a mebibyte for 20 s; beyond 32 of them the oldest is cut off."""
    board = await start_board()
    host, port = board.runner.addresses[0]
    head = f"POST {FEED_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {MOST_FEED_BYTES}\r\n\r\n".encode()
    slow = []
    for _ in range(MOST_FEEDS + 8):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(head + bytes(1000))
        await writer.drain()
        slow.append((reader, writer))
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(slow[0][0].read(1), 5) == b""
    assert await is_alive(board, mint)
    assert not slow[-1][0].at_eof()
    for _, writer in slow:
        writer.close()


async def test_a_feed_without_a_length_is_refused(start_board, mint) -> None:
    """A chunked body could go on for ever."""
    board = await start_board()

    async def endless():
        yield b"x" * 1000

    async with board.session.post(board.url + FEED_PATH, data=endless()) as response:
        assert response.status == 400
    assert board.refused("length") == 1


async def test_replays_gaps_and_overlaps_change_nothing(start_board, mint) -> None:
    """Each is answered with the number to go on with; the log holds everything once."""
    board = await start_board()
    groups = [[mint.certified(n)] for n in range(1, 4)]
    assert (await post(board, signed(Batch(1, groups).encode())))[0] == 200
    for first in (1, 2, 3, 5, 2**62):
        status, _ = await post(board, signed(Batch(first, groups).encode()))
        assert status == 409
        assert (await board.feed.feed(Batch(first, groups))).next_group == 4
    await board.close_round()
    (one,) = await board.reader.rounds(Cursor())
    assert len(one.entries) == 3


async def test_the_same_batch_over_many_connections_at_once_is_taken_once(start_board, mint) -> None:
    """A bank that restarts may still have its old connection's batch in flight."""
    board = await start_board()
    body = signed(Batch(1, [[mint.certified(1)], [mint.spent(1)]]).encode())
    statuses = sorted([status for status, _ in await asyncio.gather(*(post(board, body) for _ in range(20)))])
    assert statuses == [200] + [409] * 19


GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20_000,
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    b"POST /api/v1/feed HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    b"POST /api/v1/feed HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /api/v1/feed HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort",
    b"\x00" * 5000,
    b"GET /api/v1/coins/%ff%fe%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
async def test_bytes_that_are_no_http_do_no_harm(start_board, mint, garbage: bytes) -> None:
    """The connection ends with an error or in silence; nobody else notices."""
    board = await start_board()
    host, port = board.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(garbage)
    writer.write_eof()
    try:
        answer = await asyncio.wait_for(reader.read(100_000), 10)
    except ConnectionResetError:
        answer = b""
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert b"Traceback" not in answer
    writer.close()
    assert await is_alive(board, mint)


async def test_a_full_disk_is_503_then_nothing_is_lost_and_the_board_recovers(
    start_board, mint, caplog: pytest.LogCaptureFixture
) -> None:
    """The bank keeps its groups; the health check says why; rounds go on when there is room."""
    board = await start_board()
    await board.feed.feed(Batch(1, [[mint.certified(1)]]))

    async def limit(pages: int) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute(f"PRAGMA max_page_count={pages}")

        await board.board.store._writer.run(work)

    await limit(1)
    many = [[mint.certified(n)] for n in range(2, 300)]
    with pytest.raises(Unavailable, match="can't write"):
        await board.feed.feed(Batch(2, many))
    assert health(board.board)["status"] != "ok"
    await limit(1_000_000)
    await board.close_round()
    assert health(board.board)["status"] != "ok"  # a small write that fits doesn't make it well
    board.board.calm_s = 0.0
    assert (await board.feed.feed(Batch(1, []))).next_group == 2
    assert (await board.feed.feed(Batch(2, many))).next_group == 300
    assert health(board.board)["status"] == "ok"
    assert sum("can't write" in record.message for record in caplog.records) == 1
    await board.close_round()
    rounds = await board.reader.rounds(Cursor())
    assert sum(len(one.entries) for one in rounds) == 299
