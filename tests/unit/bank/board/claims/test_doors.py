"""The ways to the desk, and the customer's end of them."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from bank.board.anonymous import Kind, LogHandler
from bank.board.claims.client import submit, submit_over_mixes
from bank.board.claims.desk import WaitYourTurn
from bank.board.claims.doors import CLAIMS_PATH, MixDoor
from bank.board.claims.limits import BUCKET
from bank.board.receipts import sign_entry_receipt
from bank.formats.entry import MOST_ENTRY_BYTES, AccountEntry, RoundEntry
from mixmint.errors import MalformedMessage, PeerError, Unavailable
from mixmint.keys import SigningKey
from replyblocks.formats import REQUEST_BODY_BYTES
from replyblocks.service import Request
from tests.unit.bank.board.claims.claimants import (
    BANK,
    BOARD,
    answer,
    claim,
    double_certificate,
    entry,
    posted,
    two_logs,
)
from tests.unit.bank.board.claims.conftest import Clock, Site


async def test_new_is_202_and_known_is_200(site: Site) -> None:
    """Each with a receipt, which nothing may keep."""
    for data in (entry(claim(1)), answer(b"s" * 32), posted(2), double_certificate(3), two_logs(4)):
        first, again = await site.post(data), await site.post(data)
        assert (first.status, again.status) == (202, 200)
        assert first.headers["Cache-Control"] == "no-store"
        assert first.receipt(data).round == again.receipt(data).round == 1


@pytest.mark.parametrize(
    ("data", "status", "word"),
    [
        (b"", 400, "length"),
        (b"\x09", 400, "length"),
        (b"\x09" + bytes(200), 400, ""),
        (AccountEntry(bytes(32)).encode(), 400, "kind"),
        (RoundEntry(1, 2, 3).encode(), 400, "kind"),
        (entry(claim(1))[:-1] + b"\0", 403, "unproved"),
        (posted(1, bank=BOARD), 403, "unproved"),
        (bytes(MOST_ENTRY_BYTES + 1), 413, "size"),
    ],
)
async def test_what_is_refused_and_how(site: Site, data: bytes, status: int, word: str) -> None:
    """One small JSON object, one counter; the next honest one is taken."""
    reply = await site.post(data)
    assert reply.status == status
    assert b'"error":"' + word.encode() in reply.body
    assert len(reply.body) < 200
    if word:
        assert site.running.refused(word) == 1
    assert (await site.post(entry(claim(2)))).status == 202


async def test_who_must_wait_is_told_how_long(site: Site, clock: Clock) -> None:
    """429 with Retry-After; the client hears it too."""
    for number in range(BUCKET):
        assert (await site.post(answer(number.to_bytes(32)))).status == 202
    reply = await site.post(answer(b"x" * 32))
    assert (reply.status, reply.headers["Retry-After"]) == (429, "5")
    clock.now_s += 2
    with pytest.raises(WaitYourTurn) as wait:
        await submit(site.running.url, BOARD.public, answer(b"x" * 32), site.running.session)
    assert wait.value.after_s == 3
    clock.now_s += 3
    receipt = await submit(site.running.url, BOARD.public, answer(b"x" * 32), site.running.session)
    assert receipt.holds(BOARD.public, answer(b"x" * 32))


async def test_a_flood_of_garbage_costs_the_honest_one_nothing(site: Site) -> None:
    """Thousands of bytes that are nothing, and a claim in the middle of them."""
    garbage = [bytes([9]) + n.to_bytes(2) * 700 for n in range(150)]
    honest = entry(claim(1))
    replies = await asyncio.gather(*(site.post(data) for data in [*garbage, honest, *garbage]))
    assert [reply.status for reply in replies].count(400) == 300
    assert replies[150].status == 202
    assert site.count("unknown", "malformed") == 300


async def test_a_path_is_described(site: Site) -> None:
    """For programs."""
    async with site.running.session.get(site.running.url + "/openapi.json") as response:
        document = await response.json()
    assert set(document["paths"][CLAIMS_PATH]["post"]["responses"]) == {
        "200", "202", "400", "403", "413", "429", "503"
    }  # fmt: skip


Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (202, sign_entry_receipt(BANK, bytes(32), 1, 0).encode(), PeerError),
        (202, sign_entry_receipt(BOARD, bytes(32), 1, 0).encode(), PeerError),
        (200, b"", MalformedMessage),
        (202, bytes(2000), MalformedMessage),
        (400, b"", PeerError),
        (302, b"", PeerError),
        (429, b"", Unavailable),
        (503, b"", Unavailable),
    ],
)
async def test_a_customer_believes_no_board_without_its_signature(
    site: Site, status: int, body: bytes, error: type[Exception]
) -> None:
    """A receipt is the board's, and a fresh one is for this entry."""

    async def lie(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, body=body)

    runner = web.ServerRunner(web.Server(lie), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with pytest.raises(error):
            await submit(
                f"http://127.0.0.1:{runner.addresses[0][1]}", BOARD.public, posted(1), site.running.session
            )
    finally:
        await runner.cleanup()


async def test_a_board_that_is_away(site: Site) -> None:
    """Nothing is known; the same again is right."""
    with pytest.raises(Unavailable, match="can't be reached"):
        await submit("http://127.0.0.1:9", BOARD.public, posted(1), site.running.session)


class Mixes:
    """Requests as the mixes would bring them, each at most a packet long."""

    def __init__(self, site: Site) -> None:
        board = site.running.board
        door = MixDoor(site.desk)
        self._handler = LogHandler(board.publisher._folder, lambda: board.store.newest.size, {
            Kind.CLAIM: door.handle
        })  # fmt: skip
        self.asked = 0

    async def ask(self, body: bytes) -> bytes:
        assert len(body) <= REQUEST_BODY_BYTES
        self.asked += 1
        (found,) = await self._handler.handle([Request(bytes(16), body)])
        return found


@pytest.mark.parametrize(("coins", "packets"), [((1,), 1), (tuple(range(1, 9)), 2)])
async def test_over_the_mixes(site: Site, coins: tuple[int, ...], packets: int) -> None:
    """The largest claim takes two packets; the same again is known."""
    mixes, data = Mixes(site), entry(claim(*coins))
    receipt = await submit_over_mixes(mixes.ask, BOARD.public, data)
    assert receipt.holds(BOARD.public, data)
    assert mixes.asked == packets
    again = await submit_over_mixes(mixes.ask, BOARD.public, data)
    assert (again.leaf, again.round) == (receipt.leaf, receipt.round)
    await site.running.close_round()
    assert data in await site.leaves()


async def test_over_the_mixes_everything_else_is_one_refusal(site: Site) -> None:
    """And who must wait is told so, since he can't be told by a status."""
    mixes = Mixes(site)
    for bad in (posted(1, bank=BOARD), entry(claim(1))[:-1] + b"\0", AccountEntry(bytes(32)).encode()):
        with pytest.raises(PeerError):
            await submit_over_mixes(mixes.ask, BOARD.public, bad)
    with pytest.raises(MalformedMessage):
        await submit_over_mixes(mixes.ask, BOARD.public, b"\x0b" + bytes(70_000))
    for number in range(BUCKET):
        await submit_over_mixes(mixes.ask, BOARD.public, answer(number.to_bytes(32)))
    with pytest.raises(WaitYourTurn):
        await submit_over_mixes(mixes.ask, BOARD.public, answer(b"x" * 32))


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\0",
        b"\4",
        b"\4\1",
        b"\4\1" + bytes(104),
        b"\4\3",
        b"\4\3\0\0",
        b"\4\4",
        b"\4\4\0",
        b"\4\7",
        b"\1",
    ],
)
async def test_a_distant_board_is_not_believed_either(reply: bytes) -> None:
    """Whatever comes back."""

    async def ask(_: bytes) -> bytes:
        return reply

    with pytest.raises((PeerError, Unavailable)):
        await submit_over_mixes(ask, SigningKey(bytes(32)).public, entry(claim(1)))
