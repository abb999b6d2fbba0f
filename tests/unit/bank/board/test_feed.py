"""bank/board/feed.py: the wire between bank and board, and the bank's client against a scripted board."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from bank.board.feed import (
    FEED_PATH,
    MOST_BATCH_BYTES,
    MOST_FEED_BYTES,
    Batch,
    FeedClient,
    open_feed,
    sign_feed,
    sign_receipt,
)
from bank.formats.entry import (
    AccountEntry,
    CertifiedEntry,
    ClaimEntry,
    Entry,
    MapEntry,
    RoundEntry,
    SpentEntry,
)
from mixmint.errors import MalformedMessage, PeerError, Unavailable
from mixmint.keys import SigningKey
from mixmint.wire import encode

BANK = SigningKey(b"b" * 32)
BOARD = SigningKey(b"p" * 32)

fields32 = st.binary(min_size=32, max_size=32)
fields64 = st.binary(min_size=64, max_size=64)
entries = st.one_of(
    st.builds(AccountEntry, fields32),
    st.builds(CertifiedEntry, fields32, st.integers(0, 20), st.integers(0, 2**32 - 1), fields64),
    st.builds(SpentEntry, fields32, fields32, fields64),
).map(lambda entry: entry.encode())
batches = st.builds(Batch, st.integers(1, 2**50), st.lists(st.lists(entries, max_size=5), max_size=6))
GROUPS = [[AccountEntry(bytes([n]) * 32).encode()] for n in range(3)]


@given(batches)
def test_a_batch_has_one_encoding(batch: Batch) -> None:
    """What is signed is the bytes."""
    decoded = Batch.decode(batch.encode())
    assert decoded == batch
    assert decoded.next == batch.first + len(batch.groups)


@given(batches, st.data())
def test_a_batch_cut_short_or_with_bytes_left_over_is_refused(batch: Batch, data: st.DataObject) -> None:
    """Every length is checked before its bytes are used."""
    encoded = batch.encode()
    cut = data.draw(st.integers(0, len(encoded) - 1))
    for wrong in (encoded[:cut], encoded + b"\0"):
        with pytest.raises(MalformedMessage):
            Batch.decode(wrong)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_batch_or_malformed(data: bytes) -> None:
    """No other exception leaves the parser."""
    with contextlib.suppress(MalformedMessage):
        assert Batch.decode(data).encode() == data


def test_a_group_may_be_empty_and_has_its_number() -> None:
    """It stands for a change of the bank's books that shows nothing."""
    batch = Batch.decode(Batch(4, [[], *GROUPS, []]).encode())
    assert (list(batch.groups), batch.next) == ([[], *GROUPS, []], 6 + len(GROUPS))


@pytest.mark.parametrize("entry", [RoundEntry(1, 0, 0), MapEntry(1, 1, 0, bytes(32)), ClaimEntry(b"x")])
def test_what_is_not_the_banks_to_say_is_refused(entry: Entry) -> None:
    """Marks of rounds and map roots are the board's; claims don't come by the feed."""
    with pytest.raises(MalformedMessage, match="kind"):
        Batch.decode(Batch(1, [[entry.encode()]]).encode())


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (bytes(8) + b"\0\0", "number"),
        (b"\xff" * 8 + b"\0\0", "number"),
        (bytes(7) + b"\1\0\1\1\0\1\x09", "kind"),
        (bytes(7) + b"\1\0\1\1\0\2\2a", "length"),
        (bytes(MOST_BATCH_BYTES + 1), "size"),
        (b"", "length"),
    ],
)
def test_each_defect_has_its_reason(batch: bytes, reason: str) -> None:
    """The reason is what the operator's counter shows."""
    with pytest.raises(MalformedMessage) as caught:
        Batch.decode(batch)
    assert caught.value.reason == reason


def test_a_feed_opens_only_with_the_right_bank_board_and_bytes() -> None:
    """A stranger's feed, one meant for another board, and a changed one look alike."""
    batch = Batch(1, GROUPS).encode()
    body = sign_feed(BANK, BOARD.public, batch)
    assert open_feed(BANK.public, BOARD.public, body) == batch
    for wrong in (
        sign_feed(BOARD, BOARD.public, batch),
        sign_feed(BANK, BANK.public, batch),
        body[:-1] + bytes([body[-1] ^ 1]),
    ):
        with pytest.raises(PeerError, match="signature"):
            open_feed(BANK.public, BOARD.public, wrong)
    with pytest.raises(MalformedMessage, match="size"):
        open_feed(BANK.public, BOARD.public, body[:70])


def test_a_batch_is_filled_up_to_its_limit_and_keeps_groups_whole() -> None:
    """The outbox may be longer than one feed can carry."""
    group = [SpentEntry(b"k" * 32, b"e" * 32, b"t" * 64).encode()] * 24
    batch = Batch.fill(7, [group] * 1000)
    size = len(batch.encode())
    assert MOST_BATCH_BYTES - 24 * 131 - 1 < size <= MOST_BATCH_BYTES
    assert len(sign_feed(BANK, BOARD.public, batch.encode())) <= MOST_FEED_BYTES
    assert all(len(taken) == 24 for taken in batch.groups)


Script = Callable[[bytes], web.Response]


@pytest.fixture
async def scripted_board() -> AsyncIterator[Callable[[Script], Awaitable[FeedClient]]]:
    """A FeedClient whose board answers as the test says."""
    servers: list[TestServer] = []
    async with aiohttp.ClientSession() as session:

        async def start(script: Script) -> FeedClient:
            async def answer(request: web.Request) -> web.Response:
                return script(await request.read())

            app = web.Application()
            app.router.add_post(FEED_PATH, answer)
            server = TestServer(app)
            servers.append(server)
            await server.start_server()
            return FeedClient(str(server.make_url("/")), BOARD.public, BANK, session, timeout_s=5)

        yield start
        for server in servers:
            await server.close()


async def test_the_client_returns_a_receipt_that_the_board_signed(
    scripted_board: Callable[[Script], Awaitable[FeedClient]],
) -> None:
    """The receipt carries the board's clock and the round to promise."""

    def script(body: bytes) -> web.Response:
        batch = open_feed(BANK.public, BOARD.public, body)
        return web.Response(body=encode(sign_receipt(BOARD, batch, Batch.decode(batch).next, 6, 5)))

    client = await scripted_board(script)
    receipt = await client.feed(Batch(4, GROUPS))
    assert (receipt.next_group, receipt.round, receipt.newest_closed) == (7, 6, 5)


async def test_a_board_that_waits_for_another_group_says_which(
    scripted_board: Callable[[Script], Awaitable[FeedClient]],
) -> None:
    """A lost receipt is mended by asking again."""

    def script(body: bytes) -> web.Response:
        batch = open_feed(BANK.public, BOARD.public, body)
        return web.Response(status=409, body=encode(sign_receipt(BOARD, batch, 7, 3, 2, taken=False)))

    client = await scripted_board(script)
    assert (await client.feed(Batch(4, GROUPS))).next_group == 7


@pytest.mark.parametrize(
    ("status", "signer", "next_group", "round_", "reason"),
    [
        (200, BANK, 7, 6, "receipt"),
        (200, BOARD, 6, 6, "receipt"),
        (409, BOARD, 4, 6, "receipt"),
        (200, BOARD, 7, 4, "receipt"),
        (400, BOARD, 7, 6, "refused"),
        (302, BOARD, 7, 6, "refused"),
    ],
)
async def test_a_receipt_that_is_forged_or_contradicts_itself_is_refused(
    scripted_board: Callable[[Script], Awaitable[FeedClient]],
    status: int,
    signer: SigningKey,
    next_group: int,
    round_: int,
    reason: str,
) -> None:
    """The bank must not drop groups from its outbox on a stranger's word."""

    def script(body: bytes) -> web.Response:
        batch = open_feed(BANK.public, BOARD.public, body)
        receipt = sign_receipt(signer, batch, next_group, round_, 5, taken=status == 200)
        return web.Response(status=status, body=encode(receipt))

    client = await scripted_board(script)
    with pytest.raises(PeerError) as caught:
        await client.feed(Batch(4, GROUPS))
    assert caught.value.reason == reason


async def test_a_batch_that_was_not_taken_has_no_receipt_of_one_that_was(
    scripted_board: Callable[[Script], Awaitable[FeedClient]],
) -> None:
    """Else who feeds other groups under numbers that the board has could show a promise to publish them."""

    def script(body: bytes) -> web.Response:
        batch = open_feed(BANK.public, BOARD.public, body)
        return web.Response(body=encode(sign_receipt(BOARD, batch, 7, 6, 5, taken=False)))

    client = await scripted_board(script)
    with pytest.raises(PeerError, match="receipt"):
        await client.feed(Batch(4, GROUPS))


async def test_a_receipt_for_another_batch_is_refused(
    scripted_board: Callable[[Script], Awaitable[FeedClient]],
) -> None:
    """An old receipt played again proves nothing about this batch."""
    old = encode(sign_receipt(BOARD, Batch(4, GROUPS[::-1]).encode(), 7, 6, 5))
    client = await scripted_board(lambda _: web.Response(body=old))
    with pytest.raises(PeerError, match="receipt"):
        await client.feed(Batch(4, GROUPS))


async def test_an_endless_answer_is_cut_off(
    scripted_board: Callable[[Script], Awaitable[FeedClient]],
) -> None:
    """A hostile board can't fill the bank's memory."""
    client = await scripted_board(lambda _: web.Response(body=bytes(10_000_000)))
    with pytest.raises(MalformedMessage, match="size"):
        await client.feed(Batch(4, GROUPS))


async def test_a_board_that_is_down_or_full_is_unavailable(
    scripted_board: Callable[[Script], Awaitable[FeedClient]], unused_tcp_port: int
) -> None:
    """The bank keeps the groups and tries again later."""
    client = await scripted_board(lambda _: web.Response(status=503))
    with pytest.raises(Unavailable, match="can't write"):
        await client.feed(Batch(4, GROUPS))
    async with aiohttp.ClientSession() as session:
        nobody = FeedClient(f"http://127.0.0.1:{unused_tcp_port}", BOARD.public, BANK, session)
        with pytest.raises(Unavailable, match="reached"):
            await nobody.feed(Batch(4, GROUPS))
